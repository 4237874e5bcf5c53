"""What every door may ask for: submit, look, wish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.keyring import Keyring
from odl_daemon.engine.news import News
from odl_daemon.engine.preflight import Preflight
from odl_daemon.model.lifecycle import grants
from odl_daemon.model.shares import Share, Used
from odl_daemon.model.task import Phase, Task, Wish
from odl_daemon.model.waiting import Obstacle, Scene, Wait, wait_of
from odl_daemon.ports import Filter, Request, Store

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 500
"""Rows that are read and adopted together: memory does not grow with the queue."""

ALLOWED_IN = {wish: frozenset(phase for phase in Phase if grants(phase, wish)) for wish in Wish}
"""The phases in which each wish can be granted."""


class NoTask(Exception):
    """There is no task with this id."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one wish."""

    id: int
    granted: bool
    sentence: str
    """For the user: what will happen, or why not."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one user may take, and has taken."""

    owner: str
    group: str
    """The group of his share, or ""."""
    share: Share
    used: Used


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request did not become a task."""

    sentence: str


class Desk:
    """The one counter in front of the queue: a door comes here, and never to an adapter."""

    def __init__(
        self,
        *,
        store: Store,
        news: News,
        bell: Bell,
        clock: Callable[[], datetime],
        allowance: Allowance,
        keyring: Keyring,
        obstacle: Callable[[], Obstacle | None],
        preflight: Preflight | None = None,
        rival: Callable[[], str] = lambda: "",
        away: Callable[[], bool] = lambda: False,
    ) -> None:
        """`obstacle` tells why nothing at all is claimed."""
        self._store = store
        self._bell = bell
        self.clock = clock
        self._allowance = allowance
        self._obstacle = obstacle
        self.preflight = preflight
        """Looks at links before they are handed over; None where no daemon runs."""
        self.keyring = keyring
        """Makes, knows and takes back the keys of users."""
        self._counting = asyncio.Lock()
        self.news = news
        """Whoever shows what moves listens here."""
        self.rival = rival
        """Tells, in a sentence, who else works on the table; "" if nobody was seen."""
        self.away = away
        """Tells whether the database is away, so that all that is asked for here waits for it."""

    # --- asking for something

    async def submit(self, requests: Sequence[Request]) -> list[Task | Refusal]:
        """Writes checked requests into the queue, and rings; for each, in this order, its task, or why it was refused:
        its user has handed over enough."""
        answers: list[Task | Refusal] = []
        for start in range(0, len(requests), ROWS_AT_ONCE):
            answers += await self._submit_some(requests[start : start + ROWS_AT_ONCE])
            self._bell.ring()
        return answers

    async def _submit_some(self, requests: Sequence[Request]) -> list[Task | Refusal]:
        """One after the other where the number of tasks is limited: two at once would each count without the other."""
        async with self._counting if self._allowance.shares.watch_doors else nullcontext():
            sentences = await self._allowance.refusals([request.owner for request in requests])
            granted = [request for request, refused in zip(requests, sentences, strict=True) if not refused]
            tasks = await self._store.add(granted, self.clock()) if granted else []
            for task in tasks:
                self._allowance.handed_over(task.owner)
            await self._allowance.flush()
        self.news.entered(tasks)
        written = iter(tasks)
        return [Refusal(sentence) if sentence else next(written) for sentence in sentences]

    async def wish(self, ids: Sequence[int], wish: Wish) -> list[Answer]:
        """Asks for something to happen to these tasks; whoever holds them carries it out."""
        granted = set(await self._store.wish(ids, wish, ALLOWED_IN[wish]))
        self._bell.ring_for_wishes()
        refused = [task_id for task_id in ids if task_id not in granted]
        known = {task.id: task for task in await self._find(refused)}
        return [
            Answer(task_id, True, _GRANTED[wish]) if task_id in granted else _refusal(task_id, known.get(task_id), wish)
            for task_id in ids
        ]

    async def retry_failed(self, owner: str = "") -> int:
        """Asks for another try of everything that failed or ran out of time; returns how many there are."""
        return await self.wish_all(Filter(owner=owner, phases=frozenset({Phase.FAILED, Phase.EXPIRED})), Wish.RETRY)

    # --- looking

    async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        """The newest first, with live progress where this daemon works on them."""
        return [self.news.overlaid(task) for task in await self._store.tasks(which, limit, before)]

    async def moved(self, since: int, seconds: float) -> int:
        """Returns as soon as a task has moved that this daemon knows of, or after so many seconds; the number is for
        the next time. 0 has seen nothing yet."""
        try:
            async with asyncio.timeout(seconds):
                return await self.news.moved(since)
        except TimeoutError:
            return since

    async def why(self, task_id: int) -> str:
        """The rule that a task waits for, as a sentence. Raises NoTask."""
        found = await self._find([task_id])
        if not found:
            raise NoTask(f"no task {task_id}")
        task = found[0]
        wait = (await self.waits([task])).get(task.id)
        return wait.sentence if wait else _why_not_waiting(task)

    async def waits(self, tasks: Sequence[Task]) -> dict[int, Wait]:
        """What each of these tasks waits for, by its id; those that do not wait are left out."""
        now, obstacle = self.clock(), self._obstacle()
        in_line = [task for task in tasks if task.phase is Phase.WAITING]
        ahead = dict(zip((task.id for task in in_line), await self._store.ahead_of(in_line, now), strict=True))
        used = await self._used({task.owner for task in in_line})
        waits: dict[int, Wait] = {}
        for task in tasks:
            share = self._allowance.shares.of(task.owner)
            scene = Scene(now, obstacle, share, used.get(task.owner, Used()), ahead.get(task.id, 0))
            if wait := wait_of(task, scene):
                waits[task.id] = wait
        return waits

    async def _used(self, owners: Iterable[str]) -> Mapping[str, Used]:
        limited = [owner for owner in owners if self._allowance.shares.watch_claims]
        return await self._allowance.used(limited) if limited else {}

    async def counts(self, owner: str = "") -> dict[str, dict[Phase, int]]:
        """How many tasks there are in each phase, by owner; of one, or of everybody."""
        return await self._store.count_phases(owner)

    async def phases(self, owner: str = "") -> dict[Phase, int]:
        """How many tasks there are in each phase, of one owner or of everybody together."""
        phases: dict[Phase, int] = {}
        for counts in (await self.counts(owner)).values():
            for phase, count in counts.items():
                phases[phase] = phases.get(phase, 0) + count
        return phases

    async def wish_all(self, which: Filter, wish: Wish) -> int:
        """Asks for something to happen to all of these tasks that it can happen to; returns how many there are."""
        phases = which.phases & ALLOWED_IN[wish] if which.phases else ALLOWED_IN[wish]
        if not phases:
            return 0
        count = await self._store.wish_all(replace(which, phases=phases), wish)
        self._bell.ring_for_wishes()
        return count

    async def limits(self, owner: str = "") -> list[Limit]:
        """What this user may take and has taken; without a name, everybody of whom anything is known."""
        used = await self._allowance.used([owner] if owner else [])
        shares = self._allowance.shares
        return [Limit(each, shares.group_of(each), shares.of(each), used[each]) for each in sorted(used)]

    async def _find(self, ids: Sequence[int]) -> list[Task]:
        found: list[Task] = []
        for start in range(0, len(ids), ROWS_AT_ONCE):
            part = tuple(ids[start : start + ROWS_AT_ONCE])
            found += await self._store.tasks(Filter(ids=part), len(part))
        return found


def _why_not_waiting(task: Task) -> str:
    match task.phase:
        case Phase.FETCHING:
            return f"it does not wait: {task.holder} is downloading it"
        case Phase.COMMITTING:
            return "it does not wait: its bytes are here and are being put into the library"
        case Phase.UNKNOWN:
            return "its row has a status that is none of ours: it is left alone"
        case _:
            return f"it does not wait: it is {task.phase}" + (f" ({task.comment})" if task.comment else "")


_GRANTED = {
    Wish.PAUSE: "will pause",
    Wish.RESUME: "will go on",
    Wish.CANCEL: "will be cancelled",
    Wish.RETRY: "will be tried again",
}


def _refusal(task_id: int, task: Task | None, wish: Wish) -> Answer:
    if task is None:
        return Answer(task_id, False, f"no task {task_id}")
    allowed = _either(sorted(ALLOWED_IN[wish]))
    return Answer(task_id, False, f"task {task_id} is {task.phase}: only a task that is {allowed} can be {_DONE[wish]}")


_DONE = {Wish.PAUSE: "paused", Wish.RESUME: "resumed", Wish.CANCEL: "cancelled", Wish.RETRY: "retried"}


def _either(phases: Iterable[Phase]) -> str:
    *some, last = phases
    return f"{', '.join(some)} or {last}" if some else str(last)
