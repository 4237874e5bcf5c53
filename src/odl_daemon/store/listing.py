"""Looks at the queue: pages of tasks, counts, and places in line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from odl_daemon.model.lifecycle import READ_AS, SHOWN_AS
from odl_daemon.model.task import Phase, Status, Task
from odl_daemon.ports import Filter
from odl_daemon.store.connection import Lanes
from odl_daemon.store.counting import in_phases
from odl_daemon.store.rows import BOTH, LARGEST, micros, task_of
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Session, SqlRow, SqlValue, number_of, numbers, quoted, text_of

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

    async def count_phases(self, owner: str) -> dict[str, dict[Phase, int]]:
        """How many tasks there are in each phase, by owner. What was over before there was a task of ours is counted
        by its status."""

        async def look(sql: Session) -> list[SqlRow]:
            ours = await in_phases(sql, Phase, [owner] if owner else [])
            mine, values = _whose(sql, owner) if owner else ("1 = 1", {})
            before = await sql.rows(_BEFORE_OURS.format(among=mine), values)
            return [*ours, *((whose, _phase_read_as(status), count) for whose, status, count in before)]

        found: dict[str, dict[Phase, int]] = {}
        for whose, phase, count in await (self._lanes.read if owner else self._lanes.sweep)(look):
            counts = found.setdefault(text_of(whose), {})
            counts[Phase(text_of(phase))] = counts.get(Phase(text_of(phase)), 0) + number_of(count)
        return found

    async def ahead_of(self, tasks: Sequence[Task], now: datetime) -> list[int]:
        """For each waiting task, how many of the same owner come before it."""
        steps = _steps(tasks)

        async def look(sql: Session) -> list[int]:
            counts: list[int] = []
            for start in range(0, len(steps), STEPS_AT_ONCE):
                part = steps[start : start + STEPS_AT_ONCE]
                text = " UNION ALL ".join(step.text(number) for number, step in enumerate(part))
                values: dict[str, SqlValue] = {"now": micros(now)}
                for number, step in enumerate(part):
                    values |= step.values(number)
                counts += [number_of(row[1]) for row in sorted(await sql.rows(text, values), key=_number)]
            return counts

        counts = await self._lanes.read(look) if tasks else []
        ahead: dict[int, int] = {}
        for step, count in zip(steps, counts, strict=True):
            ahead[step.task.id] = count + (ahead[step.after.id] if step.after else 0)
        return [ahead[task.id] for task in tasks]


STEPS_AT_ONCE: Final = 50
"""Tasks whose places in line are asked for by one statement."""


def _steps(tasks: Sequence[Task]) -> list[_Step]:
    """Fresh tasks of one owner are counted from one to the next, so that a page costs one walk along the line."""
    steps: list[_Step] = []
    last: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda task: task.id):
        if task.due:
            steps.append(_Step(task, None))
        else:
            steps.append(_Step(task, last.get(task.owner)))
            last[task.owner] = task
    return steps


class _Step(NamedTuple):
    """Counts who comes before a waiting task: what was interrupted before retries that are due before fresh tasks."""

    task: Task
    after: Task | None
    """A fresh task of the same owner before it, from which on to count."""

    def text(self, number: int) -> str:
        counts = " + ".join(
            f"(SELECT COUNT(*) FROM odl_task WHERE phase = 'waiting' AND owner = :owner{number} AND {one})"
            for one in self._conditions(number)
        )
        return f"SELECT {number} AS number, {counts} AS ahead"

    def values(self, number: int) -> dict[str, SqlValue]:
        task, after = self.task, self.after
        named: dict[str, SqlValue] = {f"owner{number}": task.owner, f"due{number}": task.due, f"id{number}": task.id}
        return named | ({f"after{number}": after.id} if after else {})

    def _conditions(self, number: int) -> list[str]:
        if self.after is not None:
            return [f"due = :due{number} AND odr_id >= :after{number} AND odr_id < :id{number}"]
        before_it = f"due = :due{number} AND odr_id < :id{number}"
        if self.task.due == 0:
            return [before_it, "due < 0", "due > 0 AND due <= :now"]
        if self.task.due < 0:
            return [f"({before_it} OR due < :due{number})"]
        return [f"({before_it} OR due > 0 AND due < :due{number})", "due < 0"]


def _number(row: SqlRow) -> int:
    return number_of(row[0])


_BEFORE_OURS: Final = (
    f"SELECT r.owner, r.status, COUNT(*) FROM {TABLE} r"
    f" WHERE r.odr_id < COALESCE((SELECT MIN(odr_id) FROM odl_task), {LARGEST}) AND {{among}}"
    " GROUP BY r.owner, r.status"
)


def _phase_read_as(status: SqlValue) -> str:
    number = number_of(status)
    return READ_AS[Status(number) if number in list(Status) else Status.UNKNOWN].value


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
        mine, whose = _whose(sql, which.owner)
        parts.append(mine)
        values |= whose
    if which.text:
        pattern = which.text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        parts.append("(r.url LIKE :text ESCAPE '!' OR r.path LIKE :text ESCAPE '!')")
        values["text"] = f"%{pattern}%"
    if which.statuses:
        parts.append(_status_in(which.statuses))
    if which.phases:
        ours = f"t.phase IN ({quoted(which.phases)}) AND t.phase <> '{Phase.UNKNOWN}'"
        alike = {status for status, phase in READ_AS.items() if phase in which.phases}
        # what is shown follows from the phase: said once more, because the index knows the status only
        parts.append(_status_in({SHOWN_AS[phase] for phase in which.phases} | alike))
        parts.append(f"(({ours}) OR ((t.phase IS NULL OR t.phase = '{Phase.UNKNOWN}') AND {_status_in(alike)}))")
    return " AND ".join(parts), values


def _whose(sql: Session, owner: str) -> tuple[str, dict[str, SqlValue]]:
    """Rows of this owner, with its value. No index knows what is compared exactly; and what is compared as the column
    likes it must be ASCII, for it may have no letters for anything else."""
    by_index = "r.owner = :owner AND " if owner.isascii() else ""
    return f"{by_index}{sql.exactly('r.owner')} = :owner", {"owner": owner}


def _status_in(statuses: Iterable[Status]) -> str:
    wanted = set(statuses)
    known = f"r.status IN ({numbers(sorted(wanted - {Status.UNKNOWN}))})"
    return f"({known} OR r.status NOT IN ({KNOWN}))" if Status.UNKNOWN in wanted else known
