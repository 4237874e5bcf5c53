"""Rows that others put into the table become tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.news import News
from odl_daemon.model import names, source
from odl_daemon.model.lifecycle import BEGUN, CLAIMED_ONLY, Event, advance
from odl_daemon.model.task import Reason, Status, Task
from odl_daemon.ports import Row, Scratch, Store

log = logging.getLogger(__name__)

ROWS_AT_ONCE: Final = 500
"""Rows that are read and adopted together: memory does not grow with the queue."""


class Adoption:
    """Makes tasks of rows that have none."""

    def __init__(
        self,
        *,
        store: Store,
        scratch: Scratch,
        bell: Bell,
        news: News,
        allowance: Allowance,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._news = news
        self._allowance = allowance
        self._scratch = scratch
        self._bell = bell
        self._clock = clock
        self.up_to = 0
        """The newest row that was adopted."""

    async def new(self) -> int:
        """Rows that were inserted since the last look; returns how many became tasks."""
        return await self._adopt(self.up_to, frozenset({Status.WAITING}))

    async def all(self) -> int:
        """The full look: also rows whose insert became visible late, and ended rows that were set back to
        WAITING; forgets our side of rows that were deleted."""
        adopted = await self._adopt(0, frozenset({Status.WAITING}))
        while forgotten := await self._store.forget_deleted(ROWS_AT_ONCE):
            log.info("%d rows were deleted by somebody: forgotten", len(forgotten))
        return adopted

    async def again(self, task_id: int) -> None:
        """A row that was ours holds another request now: it is a new task, which takes the turn of the old one.
        A deleted one is nothing."""
        rows = await self._store.strangers(task_id - 1, _BEFORE_ITS_END, 1)
        if rows and rows[0].id == task_id:
            await self._store.adopt([self._task_of(rows[0])])
            self._bell.ring()

    async def take_over(self) -> int:
        """At the start: rows in DOWNLOADING, then in QUEUING, that no daemon of ours knows are the interrupted
        work of the worker that we replace; they go first, with the bytes that it left."""
        interrupted = [frozenset({Status.DOWNLOADING}), frozenset({Status.QUEUING})]
        return sum([await self._adopt(0, statuses) for statuses in interrupted])

    async def _adopt(self, above: int, statuses: frozenset[Status]) -> int:
        adopted = 0
        while rows := await self._store.strangers(above, statuses, ROWS_AT_ONCE):
            above = rows[-1].id
            if Status.WAITING in statuses:
                self.up_to = max(self.up_to, above)
            tasks = await self._tasks_of(rows)
            made = set(await self._store.adopt(tasks))
            self._tell([task for task in tasks if task.id in made])
            adopted += len(made)
            self._bell.ring()
        return adopted

    async def _tasks_of(self, rows: Sequence[Row]) -> list[Task]:
        tasks = [await self._with_its_bytes(self._task_of(row), row) for row in rows]
        fresh = [task for task in tasks if _is_handed_over(task)]
        refusals = await self._allowance.refusals([task.owner for task in fresh])
        refused = {task.id: sentence for task, sentence in zip(fresh, refusals, strict=True) if sentence}
        return [self._refused(task, refused[task.id]) if task.id in refused else task for task in tasks]

    def _refused(self, task: Task, sentence: str) -> Task:
        return advance(task, Event.FAILED, at=self._clock(), reason=Reason.OVER_LIMIT, comment=sentence)

    def _tell(self, made: Sequence[Task]) -> None:
        self._news.entered(made)
        for task in made:
            if _is_handed_over(task):
                self._allowance.handed_over(task.owner)

    async def _with_its_bytes(self, task: Task, row: Row) -> Task:
        """The task with what the old worker has fetched of it: its comment names the folder."""
        if row.status is Status.WAITING or not row.comment or task.final:
            return task
        progress = await self._scratch.inherit(task.id, row.comment)
        return replace(task, progress=progress) if progress else task

    def _task_of(self, row: Row) -> Task:
        """A task made of a row that somebody else wrote: nothing of it was checked yet."""
        now = self._clock()
        task = row.before and advance(row.before, Event.RENEWED, at=now)
        if task is None:
            task = Task(row.id, row.owner, row.library, row.path, row.url, created=now, changed=now, target=row.path)
        if row.status is not Status.WAITING:
            task = replace(task, due=BEGUN if row.status is Status.DOWNLOADING else CLAIMED_ONLY)
        return _checked(replace(task, mark=row.mark, epoch=task.epoch + 1), now)


def _is_handed_over(task: Task) -> bool:
    """Whether it is new, and can be fetched: interrupted work was handed over long ago."""
    return not task.final and task.due >= 0


def _checked(task: Task, now: datetime) -> Task:
    """The task with its URL and target parsed, or failed with the sentence that says what is wrong."""
    try:
        parsed = source.parse(task.url)
    except source.Unusable as unusable:
        return advance(task, Event.FAILED, at=now, reason=Reason.BAD_URL, comment=str(unusable))
    try:
        return replace(task, kind=parsed.kind, target=names.folder_path(task.target))
    except ValueError as error:
        return advance(task, Event.FAILED, at=now, reason=Reason.BAD_TARGET, comment=str(error))


_BEFORE_ITS_END: Final = frozenset({Status.WAITING, Status.QUEUING, Status.DOWNLOADING})
