"""Rows of the shared table that others wrote: found, adopted, and forgotten when they are deleted."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from odl_daemon.model.task import Phase, Status, Task
from odl_daemon.ports import Row
from odl_daemon.store.connection import Lanes
from odl_daemon.store.plain import in_plainer_words
from odl_daemon.store.rows import (
    BOTH,
    SHARED,
    SIDE_COLUMNS,
    SharedRow,
    fitting,
    known_task,
    micros,
    shared_row,
    shared_values,
    side_values,
)
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Fault, Session, SqlRow, number_of, quoted, text_of

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 500
"""Rows in one transaction."""

_ALIVE: Final = quoted(phase for phase in Phase if phase is Phase.WAITING or phase.held)


class Strangers:
    """What others put into the shared table."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def strangers(self, above: int, statuses: frozenset[Status], limit: int) -> list[Row]:
        """Rows without a task of ours, or with one that has ended, the oldest first."""
        found: list[Row] = []
        while len(found) < limit:
            rows = await self._lanes.sweep(partial(_look, above=above, statuses=statuses, limit=limit))
            found += [row for row in map(_row_of, rows) if row is not None]
            if len(rows) < limit:
                break
            above = number_of(rows[-1][0])
        return found[:limit]

    async def adopt(self, tasks: Sequence[Task]) -> list[int]:
        """Makes tasks of rows; returns the ids of those that it made."""
        adopted: list[int] = []
        for start in range(0, len(tasks), ROWS_AT_ONCE):
            part = tasks[start : start + ROWS_AT_ONCE]
            adopted += await self._lanes.write(partial(_adopt, tasks=part))
        return adopted

    async def forget_deleted(self, limit: int) -> list[int]:
        """Drops our side of rows that are gone and that nobody holds."""
        gone = await self._lanes.sweep(partial(_orphans, limit=limit))
        return await self._lanes.write(partial(_forget, ids=gone)) if gone else []


# --- looking


async def _look(sql: Session, above: int, statuses: Iterable[Status], limit: int) -> list[SqlRow]:
    wanted = ", ".join(str(int(status)) for status in sorted(statuses))
    return await sql.rows(
        f"SELECT {BOTH} FROM {TABLE} r LEFT JOIN odl_task t ON t.odr_id = r.odr_id"
        f" WHERE r.status IN ({wanted}) AND r.odr_id > :above"
        f" AND (t.phase IS NULL OR t.phase NOT IN ({_ALIVE})) ORDER BY r.odr_id LIMIT :limit",
        {"above": above, "limit": limit},
    )


def _row_of(row: SqlRow) -> Row | None:
    """The row for the desk; None if it is a paused task of ours, which has not ended."""
    shared, side = shared_row(row), dict(zip(SIDE_COLUMNS, row[9:], strict=True))
    before = known_task(shared, side) if text_of(side["mark"]) == shared.mark else None
    if before is not None and not before.final:
        return None
    if before is not None and shared.path != side["path_done"]:
        before = replace(before, target=shared.path)  # whoever set it back asked for another folder, too
    return Row(
        shared.id,
        shared.owner,
        shared.library,
        shared.path,
        shared.url,
        shared.status,
        shared.comment,
        shared.mark,
        before,
    )


# --- adopting


@dataclass(frozen=True, slots=True)
class _Side:
    """What our side table says of a row so far."""

    phase: str
    holder: str
    epoch: int
    mark: str
    path_done: str
    created: int


async def _adopt(sql: Session, tasks: Sequence[Task]) -> list[int]:
    """All in one go; if the shared table cannot spell one of the comments, each by itself."""
    try:
        return await _adopt_together(sql, tasks)
    except Exception as error:
        if sql.fault(error) is not Fault.DATA:
            raise
    await sql.roll_back()
    return [made for task in tasks for made in await _adopt_alone(sql, task)]


async def _adopt_alone(sql: Session, task: Task) -> list[int]:
    adopted, lost = await in_plainer_words(
        sql, lambda spelling: _adopt_together(sql, [replace(task, comment=spelling(task.comment))])
    )
    if lost:
        log.warning("task %d: the shared table cannot spell its comment, some of it is lost", task.id)
    return adopted


async def _adopt_together(sql: Session, tasks: Sequence[Task]) -> list[int]:
    ids = sorted(task.id for task in tasks)
    # the shared rows are locked first, by everybody: so nobody adopts what is adopted meanwhile
    shared = {number_of(row[0]): shared_row(row) for row in await sql.rows(_SHARED_ROWS + sql.locking, ids=ids)}
    sides = {number_of(row[0]): _side(row) for row in await sql.rows(_SIDES + sql.locking, ids=ids)}
    ours = [task for task in tasks if _is_free(task, shared.get(task.id), sides.get(task.id))]
    ours = [replace(task, epoch=_epoch(task, sides.get(task.id))) for task in ours]
    await sql.put("odl_task", [side_values(task) for task in ours])
    await _show(sql, [(task, shared[task.id], sides.get(task.id)) for task in ours])
    known = [task for task in tasks if task not in ours and _was_adopted(task, sides.get(task.id))]
    return [task.id for task in (*ours, *known)]


def _is_free(task: Task, row: SharedRow | None, side: _Side | None) -> bool:
    """Whether the row is still as it was seen, and nobody made a task of it meanwhile."""
    seen = (Status.WAITING,) if task.due == 0 else (Status.QUEUING, Status.DOWNLOADING)
    if row is None or row.mark != task.mark or row.status not in seen:
        return False
    if side is None:
        return True
    if side.holder:
        return False
    return side.mark != task.mark or side.phase in _ENDED


def _was_adopted(task: Task, side: _Side | None) -> bool:
    """An earlier try of the same unit did it, and only its reply was lost."""
    return side is not None and side.mark == task.mark and side.created == micros(task.created)


def _epoch(task: Task, side: _Side | None) -> int:
    """Above everything that any writer of this row ever knew."""
    return task.epoch if side is None else max(task.epoch, side.epoch + 1)


async def _show(sql: Session, adopted: Sequence[tuple[Task, SharedRow, _Side | None]]) -> None:
    """Writes what the adoption changed in the shared rows, and only that."""
    changed = []
    for task, row, side in adopted:
        back = side is not None and side.path_done != "" and side.path_done == row.path
        values = shared_values(task) | {"path": fitting(task.target) if back and not task.final else row.path}
        stands = {"odr_id": row.id, "status": int(row.status), "comment": row.comment, "size": row.size}
        if values != stands | {"path": row.path}:
            changed.append(values)
    await sql.update(TABLE, changed)


_ENDED: Final = frozenset(str(phase) for phase in Phase if phase.final)
_SHARED_ROWS: Final = f"SELECT {SHARED} FROM {TABLE} r WHERE r.odr_id IN (:ids) ORDER BY r.odr_id"
_SIDES: Final = (
    "SELECT odr_id, phase, holder, epoch, mark, path_done, created FROM odl_task WHERE odr_id IN (:ids) ORDER BY odr_id"
)


def _side(row: SqlRow) -> _Side:
    _, phase, holder, epoch, mark, path_done, created = row
    return _Side(
        text_of(phase), text_of(holder), number_of(epoch), text_of(mark), text_of(path_done), number_of(created)
    )


# --- forgetting


async def _orphans(sql: Session, limit: int, among: Sequence[int] | None = None) -> list[int]:
    some = "" if among is None else " AND t.odr_id IN (:ids)"
    found = await sql.rows(
        f"SELECT t.odr_id FROM odl_task t LEFT JOIN {TABLE} r ON r.odr_id = t.odr_id"
        f" WHERE r.odr_id IS NULL AND t.holder = ''{some} ORDER BY t.odr_id LIMIT {limit}",
        ids=among or (),
    )
    return [number_of(row[0]) for row in found]


async def _forget(sql: Session, ids: Sequence[int]) -> list[int]:
    gone = await _orphans(sql, len(ids), ids)
    if gone:
        await sql.run("DELETE FROM odl_task WHERE odr_id IN (:ids) AND holder = ''", ids=gone)
    return gone
