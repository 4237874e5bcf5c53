"""What moves, gathered for those who watch: each audience gets one piece a second, made once for all of it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from odl_daemon.engine.desk import Desk
from odl_daemon.model.shown import as_json
from odl_daemon.model.tabs import tab_counts
from odl_daemon.model.task import Phase, Task

TICK: Final = 1.0
"""Seconds between two pieces."""

KEPT: Final = 60
"""Pieces that are kept for those who come back."""

MOST: Final = 500
"""Tasks in one piece; if more moved, the list is to be read anew."""

BREATH: Final = 15.0
"""Seconds until a word that means nothing keeps a silent connection alive."""

EVERYBODY: Final = ""


class Audience:
    """All who watch the same owner's tasks, or everybody's."""

    def __init__(self, life: str) -> None:
        self._life = life
        self._number = 0
        self._pieces: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self.members = 0
        self.moved: dict[int, Task] = {}
        self.too_many = False
        self.recount = False

    def note(self, task: Task) -> None:
        """This task has moved."""
        before = self.moved.get(task.id)
        self.recount = self.recount or before is None or before.phase is not task.phase
        if len(self.moved) < MOST or task.id in self.moved:
            self.moved[task.id] = task
        else:
            self.too_many = True

    def give(self, events: str) -> None:
        """One more piece for all."""
        self._number += 1
        piece = f"id: {self._life}-{self._number}\n{events}".encode(errors="replace")
        self._pieces.append((self._number, piece))
        self._news.set()
        self._news = asyncio.Event()

    async def pieces(self, last: str) -> AsyncIterator[bytes]:
        """From the one after `last` on, for ever; now and then a word that means nothing."""
        seen = self._resumed(last)
        if seen is None:
            seen = self._number
            yield _event("reset", {}) if last else b""
        while True:
            news = self._news
            for number, piece in list(self._pieces):
                if number > seen:
                    seen = number
                    yield piece
            try:
                async with asyncio.timeout(BREATH):
                    await news.wait()
            except TimeoutError:
                yield b": still here\n\n"

    def _resumed(self, last: str) -> int | None:
        """The number of the last piece that somebody has seen; None if he missed more than is kept."""
        life, _, number = last.rpartition("-")
        if life != self._life or not number.isascii() or not number.isdecimal():
            return None
        oldest = self._pieces[0][0] if self._pieces else self._number + 1
        return int(number) if oldest - 1 <= int(number) <= self._number else None


class Live:
    """Listens to the news while anybody watches. `run` must be running."""

    def __init__(self, desk: Desk, tick: float = TICK) -> None:
        self._desk = desk
        self._tick = tick
        self._life = secrets.token_hex(4)
        self._audiences: dict[str, Audience] = {}

    @property
    def watchers(self) -> int:
        return sum(audience.members for audience in self._audiences.values())

    async def run(self) -> None:
        """Gives out pieces, for ever."""
        with self._desk.news.listening(self._heard):
            while True:
                await asyncio.sleep(self._tick)
                for owner, audience in list(self._audiences.items()):
                    if audience.moved or audience.too_many:
                        await self._give(owner, audience)

    @contextmanager
    def _joined(self, owner: str) -> Iterator[Audience]:
        audience = self._audiences.setdefault(owner, Audience(self._life))
        audience.members += 1
        try:
            yield audience
        finally:
            audience.members -= 1
            if not audience.members and owner != EVERYBODY:
                self._leave_later(owner, audience)

    def _leave_later(self, owner: str, audience: Audience) -> None:
        """A browser that comes back at once goes on where it was."""

        def leave() -> None:
            if not audience.members and self._audiences.get(owner) is audience:
                del self._audiences[owner]

        asyncio.get_running_loop().call_later(KEPT * self._tick, leave)

    @asynccontextmanager
    async def watching(self, owner: str, last: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Server-sent events of what moves of this owner's, or with EVERYBODY of all; `last` is the id of the last
        piece that was seen, or ""."""
        with self._joined(owner) as audience:
            yield audience.pieces(last)

    def _heard(self, task: Task) -> None:
        for owner in (task.owner, EVERYBODY):
            audience = self._audiences.get(owner)
            if audience is not None:
                audience.note(task)

    async def _give(self, owner: str, audience: Audience) -> None:
        moved, too_many, recount = audience.moved, audience.too_many, audience.recount
        audience.moved, audience.too_many, audience.recount = {}, False, False
        events = _text("reset", {}) if too_many else await self._tasks(list(moved.values()))
        if recount or too_many:
            events += _text("counts", await self._counts(owner))
        audience.give(events)

    async def _tasks(self, tasks: list[Task]) -> str:
        waits = await self._desk.waits([task for task in tasks if task.phase in _WAITING])
        return _text("tasks", {"tasks": [as_json(task, waits.get(task.id)) for task in tasks]})

    async def _counts(self, owner: str) -> dict[str, int]:
        phases: dict[Phase, int] = {}
        for counts in (await self._desk.counts(owner)).values():
            for phase, count in counts.items():
                phases[phase] = phases.get(phase, 0) + count
        return tab_counts(phases)


_WAITING: Final = frozenset({Phase.WAITING, Phase.QUEUED, Phase.PAUSED})


def _event(name: str, content: object) -> bytes:
    return _text(name, content).encode(errors="replace")


def _text(name: str, content: object) -> str:
    return f"event: {name}\ndata: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"
