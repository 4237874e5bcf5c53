"""Steps of tasks made durable, many in one transaction: each caller waits for its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from odl_daemon.model.task import Phase, Task
from odl_daemon.ports import LeaseLost
from odl_daemon.store.connection import Lanes
from odl_daemon.store.plain import Spelling, in_plainer_words
from odl_daemon.store.rows import mark_of, micros, shared_values, side_values
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Fault, Session, SqlRow, number_of, text_of
from odl_daemon.store.sides import let_go

log = logging.getLogger(__name__)

STEPS_AT_ONCE = 200
"""Steps in one transaction."""

PACE = 0.01
"""Seconds from one transaction to the next: a commit costs the same for one step and for a hundred. A step that
comes after a rest is kept at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """A task as it shall be kept, and who waits for that."""

    task: Task
    by_holder: bool
    kept: asyncio.Future[bool]
    """False: the row is not the writer's any longer."""


class Journal:
    """Gathers what is to be kept while the transaction before is under way, then keeps it in one go."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._waiting: deque[Step] = deque()
        self._asked = False
        """A transaction is in line, or will be at its time, that will take what is waiting."""
        self._next = 0.0
        """When the next transaction may come, by the clock of the loop."""

    async def save(self, task: Task) -> None:
        """Keeps a task of its holder. Raises LeaseLost."""
        if not await self._keep(task, by_holder=True):
            raise LeaseLost(f"task {task.id}: its lease is lost")

    async def settle(self, tasks: Sequence[Task]) -> list[int]:
        """Keeps tasks that nobody holds; returns the ids of those whose epoch still stood."""
        kept = await asyncio.gather(*[self._keep(task, by_holder=False) for task in tasks])
        return [task.id for task, is_kept in zip(tasks, kept, strict=True) if is_kept]

    def _keep(self, task: Task, *, by_holder: bool) -> asyncio.Future[bool]:
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(Step(task, by_holder, kept))
        if not self._asked:
            self._ask_in_time()
        return kept

    def _ask_in_time(self) -> None:
        self._asked = True
        loop = asyncio.get_running_loop()
        if loop.time() >= self._next:
            self._ask()
        else:
            loop.call_at(self._next, self._ask)

    def _ask(self) -> None:
        self._next = asyncio.get_running_loop().time() + PACE
        batch: list[Step] = []

        async def flush(sql: Session) -> list[bool | Exception]:
            return await _write(sql, batch)

        self._lanes.step(flush, partial(self._take, batch)).add_done_callback(partial(self._tell, batch))

    def _take(self, batch: list[Step]) -> None:
        while self._waiting and len(batch) < STEPS_AT_ONCE:
            batch.append(self._waiting.popleft())
        self._asked = False
        if self._waiting:
            self._ask_in_time()

    def _tell(self, batch: list[Step], outcome: asyncio.Future[list[bool | Exception]]) -> None:
        """The transaction is over: everybody hears of his own step."""
        if not batch:  # the store closed before a lane came to it
            self._take(batch)
        error = outcome.exception()
        kept = [error] * len(batch) if error is not None else outcome.result()
        for step, answer in zip(batch, kept, strict=True):
            if step.kept.done():
                continue
            if isinstance(answer, BaseException):
                step.kept.set_exception(answer)
            else:
                step.kept.set_result(answer)


async def _write(sql: Session, batch: Sequence[Step]) -> list[bool | Exception]:
    """All in one go; if one of them cannot be kept, each by itself."""
    try:
        return list(await _write_together(sql, batch))
    except Exception as error:
        if sql.fault(error) is not Fault.DATA:
            raise
        log.debug("a step cannot be kept as it is, so each is kept by itself (%s)", error)
    await sql.roll_back()
    return [await _write_alone(sql, step) for step in batch]


async def _write_alone(sql: Session, step: Step) -> bool | Exception:
    """One step in its own transaction; words that the shared table cannot spell become plainer."""

    async def write(spelling: Spelling) -> list[bool]:
        path = spelling(step.task.path) if step.task.phase is Phase.DONE else step.task.path
        task = replace(step.task, comment=spelling(step.task.comment), path=path)
        return await _write_together(sql, [replace(step, task=task)])

    try:
        kept, lost = await in_plainer_words(sql, write)
    except Exception as error:
        if sql.fault(error) is not Fault.DATA:
            raise
        return error
    if lost:
        log.warning("task %d: the shared table cannot spell its comment or path, some of it is lost", step.task.id)
    return kept[0]


async def _write_together(sql: Session, batch: Sequence[Step]) -> list[bool]:
    stand = await _standing(sql, batch)
    verdicts = [_judge(step, stand.get(step.task.id)) for step in batch]
    # a caller that was cancelled may be followed by another one with the same task: the later step counts
    accepted = {step.task.id: step for step, verdict in zip(batch, verdicts, strict=True) if verdict == _WRITE}
    if accepted:
        await _write_sides(sql, list(accepted.values()), stand)
        await _write_shared(sql, [step.task for step in accepted.values()])
    gone = [step.task.id for step, verdict in zip(batch, verdicts, strict=True) if verdict == _GONE]
    if gone:
        log.warning("%d tasks: their rows were deleted or replaced by somebody, leaving them alone", len(gone))
    await let_go(sql, gone)
    return [verdict in (_WRITE, _WRITTEN) for verdict in verdicts]


_WRITE, _WRITTEN, _LOST, _GONE = "write", "written", "lost", "gone"
"""What becomes of a step. _WRITTEN: an earlier try of the same unit did it, only its reply was lost."""

_STANDING: Final = f"""
    SELECT t.odr_id, t.epoch, t.wish, t.holder, t.lease_until, t.phase, t.changed,
           r.odr_id, r.url, r.owner, CAST(r.timestamp AS CHAR)
    FROM odl_task t LEFT JOIN {TABLE} r ON r.odr_id = t.odr_id
    WHERE t.odr_id IN (:ids) ORDER BY t.odr_id"""


async def _standing(sql: Session, batch: Sequence[Step]) -> dict[int, SqlRow]:
    ids = sorted({step.task.id for step in batch})
    return {number_of(row[0]): row for row in await sql.rows(_STANDING + sql.locking, ids=ids)}


def _judge(step: Step, stands: SqlRow | None) -> str:
    if stands is None:
        return _LOST
    task = step.task
    _, epoch, _, holder, _, phase, changed, shared, url, owner, timestamp = stands
    if step.by_holder:
        ours = epoch == task.epoch
    elif epoch == task.epoch + 1 and phase == task.phase and changed == micros(task.changed):
        return _WRITTEN
    else:
        ours = epoch == task.epoch and holder == ""
    if not ours:
        return _LOST
    leaving = not task.phase.held
    if shared is None or (leaving and task.mark != mark_of(text_of(url), text_of(owner), text_of(timestamp))):
        return _GONE
    return _WRITE


async def _write_sides(sql: Session, steps: Sequence[Step], stand: dict[int, SqlRow]) -> None:
    sides = []
    for step in steps:
        _, _, wish, _, lease_until, *_ = stand[step.task.id]
        task = step.task if step.by_holder else replace(step.task, epoch=step.task.epoch + 1)
        sides.append(
            side_values(
                task,
                lease_until=number_of(lease_until) if task.phase.held else 0,
                wish=_wish_after(step, text_of(wish)),
            )
        )
    await sql.put("odl_task", sides)


def _wish_after(step: Step, stands: str) -> str:
    """Whoever asks writes the wish, so the holder leaves it alone, until he lets go of the task: then it is
    settled. One that came at the last moment outlives a retry, and is settled by the dispatcher."""
    task = step.task
    if step.by_holder and (task.phase.held or stands in _OUTLIVES.get(task.phase, ())):
        return stands
    return str(task.wish or "")


_OUTLIVES: Final = {Phase.WAITING: ("pause", "cancel"), Phase.PAUSED: ("cancel",)}


async def _write_shared(sql: Session, tasks: Sequence[Task]) -> None:
    done = [task for task in tasks if task.phase is Phase.DONE]
    await sql.update(TABLE, [shared_values(task) for task in tasks if task.phase is not Phase.DONE])
    await sql.update(TABLE, [shared_values(task) | {"path": task.path} for task in done])
