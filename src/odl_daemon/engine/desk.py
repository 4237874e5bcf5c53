"""What every door may ask for: submit, look, wish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from odl_daemon.engine.bell import Bell
from odl_daemon.engine.news import News
from odl_daemon.model.lifecycle import grants
from odl_daemon.model.patience import clock_time
from odl_daemon.model.task import Phase, Task, Wish
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


class Desk:
    """The one counter in front of the queue: a door comes here, and never to an adapter."""

    def __init__(
        self,
        *,
        store: Store,
        news: News,
        bell: Bell,
        clock: Callable[[], datetime],
        why_not_claiming: Callable[[], str],
        rival: Callable[[], str] = lambda: "",
    ) -> None:
        self._store = store
        self._news = news
        self._bell = bell
        self._clock = clock
        self._why_not_claiming = why_not_claiming
        self.rival = rival
        """Tells, in a sentence, who else works on the table; "" if nobody was seen."""

    # --- asking for something

    async def submit(self, requests: Sequence[Request]) -> list[Task]:
        """Writes checked requests into the queue, all or none, and rings."""
        tasks: list[Task] = []
        for start in range(0, len(requests), ROWS_AT_ONCE):
            tasks += await self._store.add(requests[start : start + ROWS_AT_ONCE], self._clock())
            self._bell.ring()
        return tasks

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
        failed = Filter(owner=owner, phases=frozenset({Phase.FAILED, Phase.EXPIRED}))
        count = await self._store.wish_all(failed, Wish.RETRY)
        self._bell.ring_for_wishes()
        return count

    # --- looking

    async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        """The newest first, with live progress where this daemon works on them."""
        return [self._news.overlaid(task) for task in await self._store.tasks(which, limit, before)]

    async def why(self, task_id: int) -> str:
        """The rule that a task waits for, as a sentence. Raises NoTask."""
        found = await self._find([task_id])
        if not found:
            raise NoTask(f"no task {task_id}")
        return await self._why(found[0])

    async def _why(self, task: Task) -> str:
        if task.wish is not None and not task.phase.held:
            return f"somebody asked to {task.wish} it: that happens as soon as a daemon looks"
        match task.phase:
            case Phase.WAITING:
                return await self._why_waiting(task)
            case Phase.PAUSED:
                return "it is paused: resume it to go on"
            case Phase.QUEUED:
                return f"it is claimed by {task.holder} and stands in line for a transfer slot"
            case Phase.FETCHING:
                return f"it does not wait: {task.holder} is downloading it"
            case Phase.COMMITTING:
                return "it does not wait: its bytes are here and are being put into the library"
            case Phase.UNKNOWN:
                return "its row has a status that is none of ours: it is left alone"
            case _:
                return f"it does not wait: it is {task.phase}" + (f" ({task.comment})" if task.comment else "")

    async def _why_waiting(self, task: Task) -> str:
        now = self._clock()
        if task.due > 0 and task.due > now.timestamp() * 1e6:
            due = datetime.fromtimestamp(task.due / 1e6, tz=now.tzinfo)
            return task.comment or f"it waits until {clock_time(due, now)}"
        if reason := self._why_not_claiming():
            return reason
        ahead = await self._store.ahead_of(task, now)
        if ahead:
            return f"all transfer slots are busy; {ahead} of the same user's tasks come before it"
        return "all transfer slots are busy; it is the next of its user"

    async def _find(self, ids: Sequence[int]) -> list[Task]:
        found: list[Task] = []
        for start in range(0, len(ids), ROWS_AT_ONCE):
            part = tuple(ids[start : start + ROWS_AT_ONCE])
            found += await self._store.tasks(Filter(ids=part), len(part))
        return found


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
