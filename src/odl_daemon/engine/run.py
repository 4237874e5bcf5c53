"""One task in this daemon's hands: what is known of it, and how its current work is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from odl_daemon.model.lifecycle import CUT_OFF, GRANTED_BY, Event, grants
from odl_daemon.model.task import Progress, Task, Wish
from odl_daemon.ports import Beat


class Left(Exception):
    """The current work was left before its end; the facts of the run tell why."""


class Run:
    """From the claim of a task to the moment when this daemon lets go of it.

    The worker walks; others (pulse, shutdown) only note a fact here and make the worker leave its block.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        """The newest state that the store was asked to keep."""
        self.progress = task.progress
        self.before = task.progress.done
        """Bytes that the best earlier attempt brought."""
        self.may_be_committing = task.due == CUT_OFF and task.intent is not None
        """Its holder died where he may have given the bytes to the library, which may be at it still."""
        self.reserved = 0
        """Bytes that are set aside for it where its library has a quota."""
        self.wish: Wish | None = task.wish
        self.lost = False
        """The lease is somebody else's."""
        self.changed_outside = False
        self.stopping = False
        self.ended = asyncio.Event()
        """Nothing of this run touches the task or its folder any longer."""
        self._started: float | None = None
        self._block: asyncio.Timeout | None = None

    # --- facts from outside

    def heed(self, wish: Wish | None) -> None:
        """Somebody wishes something of this task."""
        if wish is None:
            return
        self.wish = wish
        if self.granted is not None:
            self._leave()

    def lose(self) -> None:
        self.lost = True
        self._leave()

    def change_outside(self) -> None:
        self.changed_outside = True
        self._leave()

    def stop(self) -> None:
        self.stopping = True
        self._leave()

    @property
    def unwanted(self) -> bool:
        """Whether a fact asks the worker to leave."""
        return self.lost or self.changed_outside or self.stopping or self.granted is not None

    @property
    def granted(self) -> Event | None:
        """The event that the user's wish asks for, if the lifecycle allows it in this phase."""
        if self.wish is None or not grants(self.task.phase, self.wish):
            return None
        return GRANTED_BY[self.wish]

    # --- the block that can be left

    @asynccontextmanager
    async def leavable(self) -> AsyncIterator[None]:
        """A block that is left as soon as a fact asks for it, or when the deadline passes: it raises Left then."""
        if self.unwanted:
            raise Left
        try:
            async with asyncio.timeout(None) as self._block:
                yield
        except TimeoutError:
            if self._block is None or not self._block.expired():
                raise
            raise Left from None
        finally:
            self._block = None

    def _leave(self) -> None:
        if self._block is not None and not self._block.expired() and self._block.when() != 0.0:
            self._block.reschedule(0.0)

    # --- the time limit, which counts in FETCHING only

    def start_clock(self, limit: float) -> None:
        """The transfer runs: from here the time counts, up to `limit` seconds in all attempts together."""
        now = asyncio.get_running_loop().time()
        self._started = now
        if self._block is not None and self._block.when() is None:
            self._block.reschedule(now + max(limit - self.task.spent, 0.0))

    def stop_clock(self) -> float:
        """The transfer is over; returns the seconds spent in all attempts."""
        spent = self.spent
        self._started = None
        return spent

    @property
    def clock_runs(self) -> bool:
        return self._started is not None

    @property
    def spent(self) -> float:
        if self._started is None:
            return self.task.spent
        return self.task.spent + asyncio.get_running_loop().time() - self._started

    # --- what the pulse reports

    @property
    def beat(self) -> Beat:
        best = max(self.progress.done, self.before)
        kept = Progress(best, self.progress.total, self.progress.speed, self.progress.validator)
        return Beat(self.task.id, self.task.epoch, kept, self.spent)
