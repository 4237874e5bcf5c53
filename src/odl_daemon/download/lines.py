"""Reads the lines that a child process writes into a pipe, without ever waiting for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

LONGEST: Final = 8 * 1024
"""Bytes of a line; what is beyond is dropped."""


class Lines:
    """Calls `heard` for each line until every writer has closed the pipe; then `over` is set."""

    def __init__(self, fd: int, heard: Callable[[str], None]) -> None:
        self.over = asyncio.Event()
        self._fd = fd
        self._heard = heard
        self._begun = bytearray()
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    def close(self) -> None:
        """Stops reading; safe to call twice."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        """Takes one piece, so that a chatterbox cannot hold the loop."""
        try:
            piece = os.read(self._fd, 64 * 1024)
        except BlockingIOError:
            return
        if piece:
            self._split(piece)
            return
        self._say(self._begun)
        self.close()
        self.over.set()

    def _split(self, piece: bytes) -> None:
        *ended, rest = piece.split(b"\n")
        for end in ended:
            self._say(self._begun + end[:LONGEST])
            self._begun.clear()
        self._begun += rest[: max(0, LONGEST - len(self._begun))]

    def _say(self, line: bytearray) -> None:
        text = bytes(line[:LONGEST]).decode("utf-8", "replace").strip()
        if text:
            self._heard(text)
