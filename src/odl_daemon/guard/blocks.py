"""The block log: what the guard has refused, for the admin alone."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypedDict

from odl_daemon.guard.guests import Guests
from odl_daemon.guard.rules import Blocked

log = logging.getLogger(__name__)

BLOCKS: Final = "blocks.jsonl"
"""The file's name in the daemon's state folder."""

LARGEST: Final = 4 << 20
"""Bytes of the file; then it becomes the older one, and a new one begins."""

WAITING: Final = 10_000
"""Blocks that wait for the disk at most; of a flood beyond it only the number is kept."""


class Block(TypedDict):
    """One line of the log."""

    at: str
    """UTC."""
    task: int | None
    """None if it cannot be told which of the user's tasks it was."""
    owner: str
    host: str
    port: int
    address: str
    """What the name resolved to; "" if that does not matter."""
    reason: str


class BlockLog:
    """Keeps blocks in a file. `run` writes, so that nothing waits for the disk."""

    def __init__(self, file: Path, guests: Guests, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._guests = guests
        self._clock = clock
        self._waiting: deque[Block] = deque()
        self._lost = 0
        self.count = 0
        """Blocks since the start."""
        self._bell = asyncio.Event()

    def note(self, blocked: Blocked, who: str) -> None:
        """guard.dial.Heard."""
        self.count += 1
        if len(self._waiting) >= WAITING:
            self._lost += 1
            return
        guest = self._guests.guess(who, blocked.host)
        self._waiting.append(
            Block(
                at=self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                task=guest.task,
                owner=guest.owner,
                host=blocked.host,
                port=blocked.port,
                address=blocked.address,
                reason=blocked.reason,
            )
        )
        self._bell.set()

    async def run(self) -> None:
        """For ever; what waits is written before it ends."""
        try:
            while True:
                await self._bell.wait()
                self._bell.clear()
                await self.flush()
        finally:
            self._write()

    async def flush(self) -> None:
        """Returns when everything that was noted is written."""
        await asyncio.to_thread(self._write)

    def _write(self) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            log.warning("%d more blocks than the block log could take are not in it", lost)
        lines = ""
        while self._waiting:
            lines += json.dumps(self._waiting.popleft(), ensure_ascii=False) + "\n"
        if not lines:
            return
        try:
            self._append(lines.encode(errors="replace"))
        except OSError as error:
            log.error("the block log %s cannot be written: %s", self._file, error.strerror)

    def _append(self, lines: bytes) -> None:
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(handle, "ab") as file:
            file.write(lines)
            full = file.tell() > LARGEST
        if full:
            self._file.replace(older(self._file))


def older(file: Path) -> Path:
    """Where the log's earlier half lies."""
    return file.with_name(f"{file.name}.1")


def read(file: Path) -> Iterator[Block]:
    """What was blocked, the newest first; half a line of a crash is passed over. Raises OSError."""
    for each in (file, older(file)):
        try:
            lines = each.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        for line in reversed(lines):
            try:
                yield json.loads(line)
            except ValueError:
                continue
