"""Figures and texts as people read them in a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from odl_daemon.model.source import shown


def size(count: int) -> str:
    """Bytes, like `1.5 GiB`."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def clock(seconds: float) -> str:
    """A time to go, like `1:05` or `2:03:04`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return "days"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bar(part: float, width: int) -> str:
    """How far it is, from 0 to 1, as a bar of `width` columns."""
    room = width - 2
    filled = min(room, int(part * room))
    return f"[{'#' * filled}{'.' * (room - filled)}]"


def link(url: object) -> str:
    """A link without its login, its query and anything that a terminal would obey."""
    return plain(shown(str(url)))


def plain(text: object) -> str:
    """A stranger's text with everything out that a terminal would obey, or that hides what it says."""
    return "".join("?" if unicodedata.category(each) in _UNSEEN else each for each in str(text))


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_columns(each) for each in text)


def clipped(text: str, width: int) -> str:
    """The text, cut so that it takes `width` columns at most."""
    if columns(text) <= width:
        return text
    kept, room = "", max(width - 1, 0)
    for each in text:
        room -= _columns(each)
        if room < 0:
            break
        kept += each
    return kept + "…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Lines with aligned columns; those in `right` stand at the right of theirs."""
    widths = [max(map(columns, column)) for column in zip(head, *rows, strict=True)]
    return [_line(row, widths, right) for row in (head, *rows)]


def _line(row: Sequence[str], widths: Sequence[int], right: frozenset[int]) -> str:
    return "  ".join(_padded(text, widths[at], at in right) for at, text in enumerate(row)).rstrip()


def _padded(text: str, width: int, right: bool) -> str:
    room = " " * (width - columns(text))
    return room + text if right else text + room


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
