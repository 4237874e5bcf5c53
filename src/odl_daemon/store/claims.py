"""Who goes next: claims of what waits, fair over owners, at a price that does not grow with the queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from odl_daemon.model.lifecycle import SHOWN_AS, Event, advance
from odl_daemon.model.policy import Turn, fair_turns
from odl_daemon.model.shares import ENDLESS, NO_LIMITS, Shares
from odl_daemon.model.task import Phase, Status, Task
from odl_daemon.store.connection import Lanes
from odl_daemon.store.rows import SHARED, SIDE, SIDE_COLUMNS, known_task, micros, moment, shared_row
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Session, SqlRow, SqlValue, number_of, text_of
from odl_daemon.store.sides import let_go
from odl_daemon.store.usage import bytes_of_the_day, running

log = logging.getLogger(__name__)

ROUNDS = 8
"""How often a claim chooses anew because others were faster."""

OWNERS_AT_ONCE = 40
"""Owners whose lines are read by one statement."""


@dataclass(slots=True)
class Catch:
    """What one round of a claim brought."""

    tasks: list[Task] = field(default_factory=list)
    missed: int = 0
    """Tasks that somebody else took or holds locked: it is worth choosing again."""


class Claims:
    """Takes tasks out of the queue for this daemon."""

    def __init__(self, lanes: Lanes, lease: float) -> None:
        self._lanes = lanes
        self._lease = int(lease * 1_000_000)

    async def claim(
        self,
        holder: str,
        limit: int,
        running: Mapping[str, int],
        at: datetime,
        *,
        shares: Shares = NO_LIMITS,
        fresh: bool = True,
    ) -> list[Task]:
        """Up to `limit` tasks, now held by `holder`; fewer only if no more are due, or may begin by their shares."""
        tasks: list[Task] = []
        busy = dict(running)
        for _ in range(ROUNDS):
            wanted = limit - len(tasks)
            if wanted <= 0:
                break
            catch = await self._lanes.write(_Round(holder, self._lease, wanted, dict(busy), at, shares, fresh).take)
            tasks += catch.tasks
            for task in catch.tasks:
                busy[task.owner] = busy.get(task.owner, 0) + 1
            if not catch.missed:
                break
        return tasks

    async def next_due(self, at: datetime) -> datetime | None:
        """When the next waiting task that is not due at `at` will be."""

        async def look(sql: Session) -> list[SqlRow]:
            return await sql.rows(sql.next_dues, {"at": micros(at)})

        dues = [number_of(due) for (due,) in await self._lanes.read(look) if due is not None]
        return moment(min(dues)) if dues else None


@dataclass(frozen=True, slots=True)
class _Round:
    """One transaction of a claim."""

    holder: str
    lease: int
    limit: int
    running: Mapping[str, int]
    at: datetime
    shares: Shares
    fresh: bool

    async def take(self, sql: Session) -> Catch:
        turns = await choose(sql, self.limit, self.running, self.at, await self._room(sql), fresh=self.fresh)
        if not turns:
            return Catch()
        ids = sorted(turn.id for turn in turns)
        sides = await self._lock(sql, ids)
        catch = Catch(missed=len(ids) - len(sides))
        shared = await sql.rows(_SHARED_ROWS + sql.locking, ids=sides)
        rows = {number_of(row[0]): row for row in shared}
        for task_id, side in sides.items():
            self._sort(task_id, side, rows.get(task_id), catch)
        catch.missed += len(sides) - len(catch.tasks)
        await self._keep(sql, catch.tasks)
        await let_go(sql, sides.keys() - {task.id for task in catch.tasks})
        order = {turn.id: place for place, turn in enumerate(turns)}
        catch.tasks.sort(key=lambda task: order[task.id])
        return catch

    async def _room(self, sql: Session) -> Room:
        """How many more tasks each owner may begin. Where that is limited, claims go one after the other: two at once
        would each count without the other."""
        if not self.shares.watch_claims:
            return lambda owner: ENDLESS
        await sql.rows("SELECT version FROM odl_schema WHERE version = 1" + sql.locking)
        now, day = await running(sql), await bytes_of_the_day(sql, self.at)
        return lambda owner: self.shares.may_begin(owner, now.get(owner, 0), day.get(owner, 0))

    async def _lock(self, sql: Session, ids: Sequence[int]) -> dict[int, dict[str, SqlValue]]:
        found = await sql.rows(_SIDES + sql.skipping, ids=ids)
        sides = {number_of(row[0]): dict(zip(SIDE_COLUMNS, row[1:], strict=True)) for row in found}
        return {task_id: side for task_id, side in sides.items() if side["phase"] == Phase.WAITING}

    def _sort(self, task_id: int, side: dict[str, SqlValue], row: SqlRow | None, catch: Catch) -> None:
        if row is None:
            log.info("task %d: its row was deleted by somebody, forgetting it", task_id)
            return
        shared = shared_row(row)
        if shared.mark != side["mark"]:
            log.warning("task %d: its row holds another request now", task_id)
        elif shared.status is not Status.WAITING:
            log.warning(
                "task %d: somebody else moved it to %s, leaving it alone; does the old offline download worker run?",
                task_id,
                shared.status.name,
            )
        else:
            task = known_task(shared, side)
            catch.tasks.append(
                advance(task, Event.CLAIMED, at=self.at, holder=self.holder, epoch=task.epoch + 1, comment="")
            )

    async def _keep(self, sql: Session, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        ids = [task.id for task in tasks]
        await sql.run(
            f"UPDATE odl_task SET phase = 'queued', holder = :holder, epoch = epoch + 1,"
            f" lease_until = {sql.now} + :lease, changed = :at WHERE odr_id IN (:ids)",
            {"holder": self.holder, "lease": self.lease, "at": micros(self.at)},
            ids,
        )
        await sql.run(_SHOW_QUEUED, ids=ids)


_SIDES: Final = f"SELECT t.odr_id, {SIDE} FROM odl_task t WHERE t.odr_id IN (:ids) ORDER BY t.odr_id"
"""The phase is looked at afterwards: asked for here, it would lead SQLite to read all that waits."""
_SHARED_ROWS: Final = f"SELECT {SHARED} FROM {TABLE} r WHERE r.odr_id IN (:ids) ORDER BY r.odr_id"
_SHOW_QUEUED: Final = f"UPDATE {TABLE} SET status = {int(SHOWN_AS[Phase.QUEUED])}, comment = '' WHERE odr_id IN (:ids)"


# --- the choice


Room = Callable[[str], int]
"""How many more tasks of an owner may begin."""


async def choose(
    sql: Session,
    limit: int,
    running: Mapping[str, int],
    at: datetime,
    room: Room = lambda owner: ENDLESS,
    *,
    fresh: bool = True,
) -> list[Turn]:
    """The next turns. Reads no more of the index than a few rows an owner."""
    sorts = _DUE if fresh else _DUE[:-1]
    owners = await _owners(sql, limit, running, at, room, sorts)
    if not owners:
        return []
    depth = -(-limit // len(owners))
    while True:
        lines = {owner: line[: room(owner)] for owner, line in (await _lines(sql, owners, depth, at, sorts)).items()}
        turns = fair_turns(lines, running, limit)
        if depth >= limit or not _cut_short(lines, turns, depth):
            return turns
        depth = min(depth * 4, limit)


def _cut_short(lines: Mapping[str, Sequence[Turn]], turns: Sequence[Turn], depth: int) -> bool:
    """Whether an owner might have had another turn, had his line been read further."""
    taken: dict[str, int] = {}
    for turn in turns:
        taken[turn.owner] = taken.get(turn.owner, 0) + 1
    return any(count >= depth == len(lines[owner]) for owner, count in taken.items())


async def _owners(
    sql: Session, limit: int, running: Mapping[str, int], at: datetime, room: Room, sorts: Sequence[str]
) -> list[str]:
    """The owners whose tasks may be among the next `limit`: there are never more of them than that."""
    waiting = (text_of(row[0]) for row in await sql.rows(sql.waiting_owners))
    owners = [owner for owner in waiting if room(owner)]
    if len(owners) <= limit:
        return owners
    heads = await _lines(sql, owners, 1, at, sorts)
    return [turn.owner for turn in fair_turns(heads, running, limit)]


async def _lines(
    sql: Session, owners: Sequence[str], depth: int, at: datetime, sorts: Sequence[str]
) -> dict[str, list[Turn]]:
    """The first `depth` of each owner's line: interrupted work, then retries that are due, then fresh tasks."""
    lines: dict[str, list[Turn]] = {owner: [] for owner in owners}
    for start in range(0, len(owners), OWNERS_AT_ONCE):
        part = owners[start : start + OWNERS_AT_ONCE]
        text = " UNION ALL ".join(
            _line(number, sort, due) for number in range(len(part)) for sort, due in enumerate(sorts)
        )
        values = {f"owner{number}": owner for number, owner in enumerate(part)}
        found = await sql.rows(text, {"depth": depth, "at": micros(at), **values})
        for number, _, due, task_id in sorted(found, key=_place):
            owner = part[number_of(number)]
            if len(lines[owner]) < depth:
                lines[owner].append(Turn(number_of(task_id), owner, number_of(due)))
    return lines


_DUE: Final = ("due < 0", "due > 0 AND due <= :at", "due = 0")


def _line(number: int, sort: int, due: str) -> str:
    return (
        f"SELECT * FROM (SELECT {number} AS number, {sort} AS sort, due, odr_id FROM odl_task"
        f" WHERE phase = 'waiting' AND owner = :owner{number} AND {due}"
        f" ORDER BY due, odr_id LIMIT :depth) AS line{number}_{sort}"
    )


def _place(row: SqlRow) -> tuple[int, int, int, int]:
    number, sort, due, task_id = row
    return number_of(number), number_of(sort), number_of(due), number_of(task_id)
