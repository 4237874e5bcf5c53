"""What moves, gathered for those who watch: each audience gets one piece a second, made once for all of it."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from odl_daemon.engine.desk import Desk
from odl_daemon.model.shown import as_json, moment_as_json
from odl_daemon.model.tabs import tab_counts
from odl_daemon.model.task import Phase, Task
from odl_daemon.model.waiting import Wait

log = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two pieces."""

KEPT: Final = 60
"""Pieces that are kept for those who come back."""

MOST: Final = 500
"""Tasks in one piece; if more moved, the list is to be read anew."""

ANSWER_LIMIT: Final = 5.0
"""Seconds that a piece waits for the database: figures go on without it."""

EVERYBODY: Final = ""


class Audience:
    """All who watch the same owner's tasks, or everybody's."""

    def __init__(self) -> None:
        self._life = secrets.token_hex(4)
        self._number = 0
        self._pieces: deque[bytes] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._before: Mapping[int, Task] = {}
        """What the last piece was made of."""
        self.members = 0
        self.moved: dict[int, Task] = {}
        self.too_many = False
        self.recount = False

    # --- for Live

    def note(self, task: Task) -> None:
        """This task has moved."""
        before = self.moved.get(task.id) or self._before.get(task.id)
        self.recount = self.recount or before is None or before.phase is not task.phase
        if len(self.moved) < MOST or task.id in self.moved:
            self.moved[task.id] = task
        else:
            self.too_many = True

    def taken(self) -> list[Task]:
        """What has moved since the last time."""
        self._before, self.moved = self.moved, {}
        return list(self._before.values())

    def give(self, events: str) -> None:
        """One more piece for all."""
        self._number += 1
        self._pieces.append(f"{self.mark(self._number)}{events}".encode(errors="replace"))
        self._news.set()
        self._news = asyncio.Event()

    # --- for those who watch

    @property
    def newest(self) -> int:
        """The number of the last piece; 0 if there was none."""
        return self._number

    @property
    def oldest(self) -> int:
        """The number of the first piece that is still kept, or will be."""
        return self._number - len(self._pieces) + 1

    def piece(self, number: int) -> bytes:
        """One that is kept."""
        return self._pieces[number - self.oldest]

    def mark(self, number: int) -> str:
        """By which whoever comes back says how far he had come."""
        return f"id: {self._life}-{number}\n"

    def read(self, mark: str) -> int | None:
        """The number of the last piece that somebody has seen; None if he missed more than is kept."""
        life, _, number = mark.rpartition("-")
        if life != self._life or not (number.isascii() and number.isdecimal() and len(number) < 20):
            return None
        return int(number) if self.oldest - 1 <= int(number) <= self._number else None

    async def more(self) -> None:
        """Returns when there is a new piece."""
        await self._news.wait()


class Watch:
    """One who watches, and how far he has come."""

    def __init__(self, audience: Audience, last: str, now: str) -> None:
        """`last` is the mark of the last piece that he has seen, or ""."""
        self._audience = audience
        seen = audience.read(last)
        self._missed = bool(last) and seen is None
        self._seen = audience.newest if seen is None else seen
        self._now = now

    def greeting(self) -> bytes:
        hello = f"retry: 2000\n{self._audience.mark(self._seen)}{_event('hello', {'now': self._now})}"
        return f"{hello}{_event('reset', {}) if self._missed else ''}".encode()

    async def next(self, within: float) -> bytes:
        """The next piece, as soon as there is one; nothing if none comes within so many seconds."""
        if self._seen >= self._audience.newest:
            try:
                async with asyncio.timeout(within):
                    await self._audience.more()
            except TimeoutError:
                return b""
        if self._seen + 1 < self._audience.oldest:  # he reads more slowly than it comes
            self._seen = self._audience.newest
            return f"{self._audience.mark(self._seen)}{_event('reset', {})}".encode()
        self._seen += 1
        return self._audience.piece(self._seen)


class Live:
    """Listens to the news while anybody watches. `run` must be running."""

    def __init__(self, desk: Desk, tick: float = TICK) -> None:
        self._desk = desk
        self._tick = tick
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
                    if audience.moved:
                        await self._give_what_moved(owner, audience)

    @contextmanager
    def watching(self, owner: str, last: str) -> Iterator[Watch]:
        """Follows what moves of this owner's, or with EVERYBODY of all; `last` is the mark of the last piece that was
        seen, or ""."""
        audience = self._audiences.setdefault(owner, Audience())
        audience.members += 1
        try:
            yield Watch(audience, last, moment_as_json(self._desk.clock()))
        finally:
            audience.members -= 1
            if not audience.members:
                self._leave_later(owner, audience)

    def _leave_later(self, owner: str, audience: Audience) -> None:
        """A browser that comes back at once goes on where it was."""

        def leave() -> None:
            if not audience.members and self._audiences.get(owner) is audience:
                del self._audiences[owner]

        asyncio.get_running_loop().call_later(KEPT * self._tick, leave)

    def _heard(self, task: Task) -> None:
        for owner in (task.owner, EVERYBODY):
            audience = self._audiences.get(owner)
            if audience is not None:
                audience.note(task)

    # --- making pieces

    async def _give_what_moved(self, owner: str, audience: Audience) -> None:
        try:
            await self._give(owner, audience)
        except Exception:  # the others go on watching, and the daemon working
            log.exception("the live view broke")

    async def _give(self, owner: str, audience: Audience) -> None:
        moved, too_many, recount = audience.taken(), audience.too_many, audience.recount
        audience.too_many, audience.recount = False, False
        events = _event("reset", {}) if too_many else await self._tasks(moved)
        if recount or too_many:
            events += await self._counts(owner, audience)
        audience.give(events)

    async def _tasks(self, tasks: list[Task]) -> str:
        waits: Mapping[int, Wait] = {}
        if not self._desk.away():
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_LIMIT):
                    waits = await self._desk.waits([task for task in tasks if task.phase in _WAITING])
        return _event("tasks", {"tasks": [as_json(task, waits.get(task.id)) for task in tasks]})

    async def _counts(self, owner: str, audience: Audience) -> str:
        if not self._desk.away():
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_LIMIT):
                    return _event("counts", tab_counts(await self._desk.phases(owner)))
        audience.recount = True
        return ""


_WAITING: Final = frozenset({Phase.WAITING, Phase.QUEUED, Phase.PAUSED})


def _event(name: str, content: object) -> str:
    return f"event: {name}\ndata: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"
