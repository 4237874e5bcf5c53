"""A terminal whose last lines are drawn again and again, while lines that stay pass above them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from odl_daemon.cli.human import clipped, columns


class Screen:
    """Standard output. Where it is no terminal, only the lines that stay are written."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self._drawn: list[int] = []
        """How many columns each line of the drawn block has."""

    def show(self, lines: Sequence[str], block: Sequence[str]) -> None:
        """Writes `lines`, to stay, and below them draws `block` in place of the block before."""
        if not self.live:
            if lines:
                print(*lines, sep="\n", flush=True)
            return
        width, height = shutil.get_terminal_size()
        fitting = _fitting(block, max(height - 2, 1))
        drawn = [clipped(line, width - 1) for line in fitting]
        sys.stdout.write(self._back(width) + "".join(f"{line}\n" for line in [*lines, *drawn]))
        sys.stdout.flush()
        self._drawn = [columns(line) for line in drawn]

    def _back(self, width: int) -> str:
        """To the first line of the block and everything below away. A terminal that became narrower has broken
        its lines into several."""
        rows = sum(max(1, -(-each // max(width, 1))) for each in self._drawn)
        return (f"\x1b[{rows}F" if rows else "") + "\x1b[J"


def _fitting(block: Sequence[str], rows: int) -> list[str]:
    if len(block) <= rows:
        return list(block)
    return [*block[: rows - 1], f"       … and {len(block) - rows + 1} more"]
