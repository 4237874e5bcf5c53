"""What users may still take: asked at the doors before a task is written, and while it is fetched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from odl_daemon.model.patience import clock_time
from odl_daemon.model.shares import NO_LIMITS, Shares, Tally, Used
from odl_daemon.model.task import Progress, Reason, Task
from odl_daemon.ports import Remedy, Store, Taken, Trouble

log = logging.getLogger(__name__)

FLUSH: Final = 1.0
"""Seconds between two writes of what was taken: so much of it can be forgotten by a crash."""

FRESH: Final = 30.0
"""Seconds for which a count of the table is good: other daemons add to it, too."""


@dataclass(slots=True)
class _Day:
    """What the table said that a user had fetched in a day, and when it was asked."""

    used: Used
    asked: float


class Allowance:
    """Counts what users take against their shares. `run` must be running where bytes are counted."""

    def __init__(self, *, store: Store, clock: Callable[[], datetime], shares: Shares = NO_LIMITS) -> None:
        self.shares = shares
        """What holds from now on."""
        self._store = store
        self._clock = clock
        self._new: dict[str, Taken] = {}
        self._taken = asyncio.Event()
        self._days: dict[str, _Day] = {}
        self._coming: dict[int, tuple[str, int]] = {}
        """What running tasks have still to bring: owner and bytes."""

    async def run(self) -> None:
        """Writes down what was taken, for ever."""
        while True:
            await self._taken.wait()
            await self.flush()
            await asyncio.sleep(FLUSH)

    async def flush(self) -> None:
        """Writes down what was taken since the last time, if anything was."""
        self._taken.clear()
        new, self._new = self._new, {}
        if new:
            await self._store.charge(new, self._clock())
            self._days = {owner: day for owner, day in self._days.items() if owner not in new and self._is_fresh(day)}

    # --- at the doors

    async def refusals(self, owners: Sequence[str]) -> list[str]:
        """For one task each of these owners, in this order: "" or the sentence why it may not be handed over."""
        if not self.shares.watch_doors:
            return [""] * len(owners)
        tally = Tally(self.shares, await self.used(list(dict.fromkeys(owners))))
        return [tally.refusal(owner) for owner in owners]

    def handed_over(self, owner: str) -> None:
        """One more task of this owner is in the table."""
        if self.shares.watch_doors:
            self._take(owner, Taken(tasks=1))

    async def used(self, owners: Sequence[str] = ()) -> Mapping[str, Used]:
        """What these owners have taken; without names, everybody who has taken anything."""
        found = await self._store.used(owners, self._clock())
        return {owner: self._with_news(owner, used) for owner, used in found.items()}

    def _with_news(self, owner: str, used: Used) -> Used:
        new = self._new.get(owner)
        return replace(used, tasks=used.tasks + new.tasks) if new else used

    # --- while it is fetched

    def fetched(self, owner: str, count: int) -> None:
        """So many more bytes came."""
        if count > 0 and self.shares.watch_claims:
            self._take(owner, Taken(bytes=count))

    def check_size(self, task: Task, size: int) -> None:
        """Raises Trouble if its owner may not fetch a file of this size, on whatever day."""
        share = self.shares.of(task.owner)
        if 0 < share.max_size < size:
            raise too_large(size, f"limit max_size: at most {share.max_size:,}")
        if 0 < share.bytes_per_day < size:
            raise too_large(size, f"limit bytes_per_day: at most {share.bytes_per_day:,} in 24 hours")

    async def check(self, task: Task, progress: Progress) -> None:
        """Raises Trouble if its owner may not fetch what is still to come of it today. A file that is here before
        anybody could look is counted, and not held."""
        limit = self.shares.of(task.owner).bytes_per_day
        if not limit:
            return
        total = progress.total or 0
        used = await self._day(task.owner)
        self._coming[task.id] = (task.owner, max(total - progress.done, 0))
        coming = sum(missing for owner, missing in self._coming.values() if owner == task.owner)
        if used.bytes + self._unwritten(task.owner) + coming > limit:
            del self._coming[task.id]
            raise self._used_up(used, limit)

    def over(self, task: Task) -> None:
        """Nothing more of it is to come just now."""
        self._coming.pop(task.id, None)

    def _used_up(self, used: Used, limit: int) -> Trouble:
        now = self._clock()
        at = used.below(max(used.bytes, 1))
        after = max((at - now).total_seconds(), 60.0)
        goes_on = f"; it goes on at {clock_time(at, now)}" if at > now else ""
        sentence = f"limit bytes_per_day: its user may fetch {limit:,} bytes in 24 hours{goes_on}"
        return Trouble(Reason.OVER_LIMIT, sentence, Remedy.WAIT, after=after)

    async def _day(self, owner: str) -> Used:
        day = self._days.get(owner)
        if day is None or not self._is_fresh(day):
            used = (await self._store.used([owner], self._clock()))[owner]
            day = self._days[owner] = _Day(used, _now())
        return day.used

    def _unwritten(self, owner: str) -> int:
        new = self._new.get(owner)
        return new.bytes if new else 0

    def _is_fresh(self, day: _Day) -> bool:
        return _now() - day.asked < FRESH

    def _take(self, owner: str, more: Taken) -> None:
        before = self._new.get(owner, Taken())
        self._new[owner] = Taken(before.tasks + more.tasks, before.bytes + more.bytes)
        self._taken.set()


def too_large(size: int, limit: str) -> Trouble:
    return Trouble(Reason.TOO_LARGE, f"the file is larger than allowed here ({size:,} bytes; {limit})")


def _now() -> float:
    return asyncio.get_running_loop().time()
