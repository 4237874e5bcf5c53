"""Looks at the queue: pages of tasks, counts, and places in line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from odl_daemon.model.lifecycle import READ_AS, SHOWN_AS
from odl_daemon.model.task import Phase, Status, Task
from odl_daemon.ports import Filter
from odl_daemon.store.connection import Lanes
from odl_daemon.store.rows import BOTH, micros, task_of
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Session, SqlRow, SqlValue, number_of, numbers, quoted

KNOWN: Final = ", ".join(str(int(status)) for status in Status if status is not Status.UNKNOWN)


class Listing:
    """Reads; it never changes anything."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def tasks(self, which: Filter, limit: int, before: int | None) -> list[Task]:
        """The newest first."""

        async def look(sql: Session) -> list[SqlRow]:
            where, values = condition(sql, which, before)
            return await sql.rows(
                f"SELECT {BOTH} FROM {JOINED} WHERE {where} ORDER BY r.odr_id DESC LIMIT :limit",
                values | {"limit": limit},
                which.ids,
            )

        return [task_of(row) for row in await self._lanes.read(look)]

    async def count(self, which: Filter) -> int:
        """How many the filter names."""

        async def look(sql: Session) -> list[SqlRow]:
            where, values = condition(sql, which, None)
            return await sql.rows(f"SELECT COUNT(*) FROM {JOINED} WHERE {where}", values, which.ids)

        return number_of((await self._lanes.read(look))[0][0])

    async def ahead_of(self, task: Task, now: datetime) -> int:
        """How many waiting tasks of the same owner come before this one."""
        values: dict[str, SqlValue] = {"owner": task.owner, "due": task.due, "id": task.id, "now": micros(now)}
        before_it = "due = :due AND odr_id < :id"
        if task.due:
            sort = "due < 0" if task.due < 0 else "due > 0"
            before_it = f"({before_it} OR {sort} AND due < :due)"
        conditions = [before_it]
        if task.due >= 0:
            conditions.append("due < 0")
        if task.due == 0:
            conditions.append("due > 0 AND due <= :now")

        async def look(sql: Session) -> list[SqlRow]:
            counts = [
                f"(SELECT COUNT(*) FROM odl_task WHERE phase = 'waiting' AND owner = :owner AND {one})"
                for one in conditions
            ]
            return await sql.rows(f"SELECT {' + '.join(counts)}", values)

        return number_of((await self._lanes.read(look))[0][0])


JOINED: Final = f"{TABLE} r LEFT JOIN odl_task t ON t.odr_id = r.odr_id"
"""Both sides of a row; the shared one decides whether there is a task at all."""


def condition(sql: Session, which: Filter, before: int | None) -> tuple[str, dict[str, SqlValue]]:
    """A filter as SQL, with its values; `:ids` stands for its ids."""
    parts: list[str] = ["1 = 1"]
    values: dict[str, SqlValue] = {}
    if which.ids:
        parts.append("r.odr_id IN (:ids)")
    if before is not None:
        parts.append("r.odr_id < :before")
        values["before"] = before
    if which.owner:
        parts.append(f"{sql.exactly('r.owner')} = :owner")
        values["owner"] = which.owner
    if which.statuses:
        parts.append(_status_in(which.statuses))
    if which.phases:
        ours = f"t.phase IN ({quoted(which.phases)}) AND t.phase <> '{Phase.UNKNOWN}'"
        alike = {status for status, phase in READ_AS.items() if phase in which.phases}
        # what is shown follows from the phase: said once more, because the index knows the status only
        parts.append(_status_in({SHOWN_AS[phase] for phase in which.phases} | alike))
        parts.append(f"(({ours}) OR ((t.phase IS NULL OR t.phase = '{Phase.UNKNOWN}') AND {_status_in(alike)}))")
    return " AND ".join(parts), values


def _status_in(statuses: Iterable[Status]) -> str:
    wanted = set(statuses)
    known = f"r.status IN ({numbers(sorted(wanted - {Status.UNKNOWN}))})"
    return f"({known} OR r.status NOT IN ({KNOWN}))" if Status.UNKNOWN in wanted else known
