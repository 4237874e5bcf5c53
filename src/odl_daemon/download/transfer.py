"""One transfer as the server sees it: an entry of aria2 under a GID of our own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from enum import Enum

from odl_daemon.model.task import Progress


class State(Enum):
    """Where a transfer stands."""

    NEW = "aria2 has not confirmed it yet"
    LINED_UP = "aria2 has it in line"
    RUNNING = "aria2 fetches it"
    COMPLETE = "aria2 has it in full"
    FAILED = "aria2 gave it up"
    REFUSED = "aria2 did not take it"
    LOST = "it went down with aria2, or aria2 knows nothing of it: it may be added anew"


class Part(Enum):
    """What part a transfer had in the end of its aria2."""

    NONE = "none: aria2 lives, or somebody else has killed it"
    BYSTANDER = "aria2 crashed or froze while this one was in line"
    PRESENT = "aria2 crashed or froze while it fetched this one"
    BLAMED = "the same, and this one may well be the cause"


ENDED = frozenset({State.COMPLETE, State.FAILED, State.REFUSED, State.LOST})


class Transfer:
    """What is known of one GID. Only the server changes it; whoever owns it awaits `changed` and reads.

    `gone` is set when aria2 cannot touch its folder any longer; that it ended is not enough for that only
    while it is still to be removed.
    """

    def __init__(
        self, gid: str, url: str, options: Mapping[str, str], *, resumed: bool = False, earlier: int = 0
    ) -> None:
        """`resumed`: it continues a file. `earlier`: bytes that were here when an aria2 died over this task."""
        self.gid = gid
        self.url = url
        self.options = options
        self.first = False
        """Its owner has nothing else in aria2's hands: it goes before everything that stands in line."""
        self.resumed = resumed
        self.earlier = earlier
        self.state = State.NEW
        self.sent = False
        """aria2 may know of it."""
        self.closing = False
        self.gone = asyncio.Event()
        self.done = 0
        self.total: int | None = None
        self.speed = 0
        self.began = 0.0
        self.moved = 0.0
        """When the last new byte came, on the loop's clock."""
        self.stalled = False
        self.part = Part.NONE
        self.fed = False
        """New bytes came."""
        self.code = 0
        self.message = ""
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def in_hands(self) -> bool:
        """aria2 is at work on it, or on the message that hands it over."""
        return self.state is State.RUNNING or (self.state is State.NEW and self.sent)

    @property
    def grew(self) -> bool:
        """It is further than its task was at any earlier death of an aria2."""
        return self.done > self.earlier

    def progress(self, validator: str = "") -> Progress:
        return Progress(done=self.done, total=self.total, speed=self.speed, validator=validator)

    async def changed(self) -> None:
        """Returns when something is new since the last call."""
        await self._changed.wait()
        self._changed.clear()

    async def ends_within(self, seconds: float) -> bool:
        """Whether it has ended, given so much time since it began."""
        try:
            async with asyncio.timeout_at(self.began + seconds):
                while not self.ended:
                    await self.changed()
        except TimeoutError:
            pass
        return self.ended

    def ring(self) -> None:
        self._changed.set()

    def lines_up(self) -> None:
        if self.state is State.NEW:  # its start is often told before the answer to its adding comes
            self.state = State.LINED_UP
            self.ring()

    def runs(self, now: float) -> None:
        if self.state in (State.NEW, State.LINED_UP):
            self.state = State.RUNNING
            self.began = self.moved = now
            self.ring()

    def ends(self, state: State, code: int = 0, message: str = "") -> None:
        if self.ended:
            return
        self.state, self.code, self.message, self.speed = state, code, message, 0
        self.ring()

    def reports(self, done: int, total: int | None, speed: int, now: float) -> None:
        """Takes aria2's figures of a running transfer."""
        # `done` grows by 16 KiB at a time, so a drip shows in the speed alone; aria2's average goes on for ten
        # seconds after the last byte, but it only falls then.
        if done != self.done or speed > self.speed:
            self.moved = now
            self.fed = self.fed or bool(speed) or not self.resumed or self.done > 0
        if (done, total, speed) != (self.done, self.total, self.speed):
            self.done, self.total, self.speed = done, total, speed
            self.ring()


def gid_of(task_id: int, epoch: int, count: int) -> str:
    """16 hex digits that name this try of this holder: adding it twice is refused instead of done twice."""
    return hashlib.blake2b(f"{task_id}/{epoch}/{count}".encode(), digest_size=8).hexdigest()
