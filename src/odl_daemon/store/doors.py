"""What the doors ask of the table: put something in, look, wish, adopt what others put in."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from odl_daemon.model.lifecycle import READ_AS
from odl_daemon.model.patience import micros
from odl_daemon.model.task import Phase, Status, Task, Wish
from odl_daemon.ports import Filter, Request
from odl_daemon.ports import Row as SharedRow
from odl_daemon.store.dialect import Dialect
from odl_daemon.store.rows import both, is_ours, mark_of, side_values, stranger_of, task_of
from odl_daemon.store.schema import SHARED, SIDE, SIDE_COLUMNS
from odl_daemon.store.transaction import Transaction
from odl_daemon.store.writing import some, write

log = logging.getLogger(__name__)

_FINAL = frozenset(phase for phase in Phase if phase.final)


# --- putting something in


async def add(tx: Transaction, requests: Sequence[Request], at: datetime, ticket: str) -> list[Task]:
    """See ports.Store.add. The ticket names this call: a replay finds what the first try has written."""
    there = await tx.fetch(f"{both(tx.dialect)} WHERE t.ticket = :ticket ORDER BY r.odr_id", {"ticket": ticket})
    if there:
        return [task_of(row) for row in there]
    tasks = [await _add(tx, request, at) for request in requests]
    names = ", ".join(SIDE_COLUMNS)
    values = ", ".join(f":{column}" for column in SIDE_COLUMNS)
    await tx.execute_many(
        f"INSERT INTO {SIDE} ({names}) VALUES ({values})", [side_values(task, 0) | {"ticket": ticket} for task in tasks]
    )
    return tasks


async def _add(tx: Transaction, request: Request, at: datetime) -> Task:
    stamp = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    owner, url = tx.dialect.text(request.owner), tx.dialect.text(request.url)
    task_id = await tx.insert(
        f"INSERT INTO {SHARED} (repo_id, path, url, owner, timestamp, size, status, comment) "
        "VALUES (:library, :path, :url, :owner, :stamp, 0, 1, '')",
        {
            "library": request.library,
            "path": tx.dialect.text(request.path),
            "url": url,
            "owner": owner,
            "stamp": stamp,
        },
    )
    return Task(
        id=task_id,
        owner=owner,
        library=request.library,
        path=request.path,
        url=url,
        created=at,
        changed=at,
        kind=request.kind,
        target=request.path,
        name=request.name,
        epoch=1,
        mark=mark_of(url, owner, stamp),
    )


# --- looking


async def tasks(tx: Transaction, which: Filter, limit: int, before: int | None) -> list[Task]:
    """See ports.Store.tasks."""
    where, values = _where(tx.dialect, which, before)
    rows = await tx.fetch(f"{both(tx.dialect)} WHERE {where} ORDER BY r.odr_id DESC LIMIT {int(limit)}", values)
    return [task_of(row) for row in rows]


async def count(tx: Transaction, which: Filter) -> int:
    """See ports.Store.count."""
    where, values = _where(tx.dialect, which, None)
    rows = await tx.fetch(
        f"SELECT COUNT(*) AS n FROM {SHARED} r LEFT JOIN {SIDE} t ON t.odr_id = r.odr_id WHERE {where}", values
    )
    return int(rows[0]["n"])


def _where(dialect: Dialect, which: Filter, before: int | None) -> tuple[str, dict[str, Any]]:
    parts, values = ["1 = 1"], dict[str, Any]()
    if which.owner:
        parts.append(dialect.exactly("r.owner", "owner"))
        values["owner"] = which.owner
    if which.ids:
        parts.append(f"r.odr_id IN ({some(which.ids)})")
    if which.statuses:
        parts.append(f"r.status IN ({some(which.statuses)})")
    if which.phases:
        by_status = [status for status, phase in READ_AS.items() if phase in which.phases]
        parts.append(f"(t.phase IN ({_words(which.phases)}) OR (t.odr_id IS NULL AND r.status IN ({some(by_status)})))")
    if before is not None:
        parts.append("r.odr_id < :before")
        values["before"] = before
    return " AND ".join(parts), values


def _words(phases: Collection[Phase]) -> str:
    return ", ".join(f"'{phase.value}'" for phase in sorted(phases))


async def ahead_of(tx: Transaction, task: Task, now: datetime) -> int:
    """See ports.Store.ahead_of."""
    rows = await tx.fetch(
        f"SELECT COUNT(*) AS n FROM {SIDE} WHERE phase = 'waiting' AND owner = :owner AND due <= :now "
        "AND odr_id <> :id AND (due < :due OR (due = :due AND odr_id < :id))",
        {"owner": task.owner, "now": micros(now), "due": task.due, "id": task.id},
    )
    return int(rows[0]["n"])


# --- wishing


async def wish(tx: Transaction, ids: Sequence[int], what: Wish, phases: Collection[Phase]) -> list[int]:
    """See ports.Store.wish."""
    rows = await tx.fetch(
        f"SELECT odr_id FROM {SIDE} WHERE odr_id IN ({some(ids)}) AND phase IN ({_words(phases)}) "
        f"AND odr_id IN (SELECT odr_id FROM {SHARED} WHERE odr_id IN ({some(ids)})){tx.dialect.lock}"
    )
    granted = [row["odr_id"] for row in rows]
    if granted:
        await tx.execute(f"UPDATE {SIDE} SET wish = :wish WHERE odr_id IN ({some(granted)})", {"wish": str(what)})
    return granted


async def wish_all(tx: Transaction, which: Filter, what: Wish) -> int:
    """See ports.Store.wish_all."""
    where = f"phase IN ({_words(which.phases or frozenset(Phase))})" + (" AND owner = :owner" if which.owner else "")
    values = {"owner": which.owner} if which.owner else {}
    rows = await tx.fetch(f"SELECT COUNT(*) AS n FROM {SIDE} WHERE {where}", values)
    await tx.execute(f"UPDATE {SIDE} SET wish = :wish WHERE {where}", {**values, "wish": str(what)})
    return int(rows[0]["n"])


# --- what others put in


async def strangers(tx: Transaction, above: int, statuses: Collection[Status], limit: int) -> list[SharedRow]:
    """See ports.Store.strangers."""
    rows = await tx.fetch(
        f"{both(tx.dialect)} WHERE r.odr_id > :above AND r.status IN ({some(statuses)}) "
        f"AND (t.odr_id IS NULL OR t.phase IN ({_words(_FINAL)})) ORDER BY r.odr_id LIMIT {int(limit)}",
        {"above": above},
    )
    return [stranger_of(row) for row in rows]


async def adopt(tx: Transaction, adopted: Sequence[Task]) -> int:
    """See ports.Store.adopt."""
    ids = [task.id for task in adopted]
    rows = await tx.fetch(f"{both(tx.dialect)} WHERE r.odr_id IN ({some(ids)}){tx.dialect.lock}")
    free = {row["odr_id"]: row for row in rows if not _is_living(row) and _unchanged(row)}
    new = [task for task in adopted if task.id in free and _same_request(task, free[task.id])]
    await write(tx, new, free, 0)
    return len(new)


def _is_living(row: Any) -> bool:
    """Another daemon adopted it meanwhile."""
    return is_ours(row) and Phase(row["phase"]) not in _FINAL


def _unchanged(row: Any) -> bool:
    return row["status"] in (int(Status.WAITING), int(Status.QUEUING), int(Status.DOWNLOADING))


def _same_request(task: Task, row: Any) -> bool:
    return task.mark == mark_of(str(row["url"] or ""), str(row["owner"] or ""), row["stamp"])


async def forget_deleted(tx: Transaction, limit: int) -> list[int]:
    """See ports.Store.forget_deleted."""
    rows = await tx.fetch(
        f"SELECT t.odr_id FROM {SIDE} t LEFT JOIN {SHARED} r ON r.odr_id = t.odr_id "
        f"WHERE r.odr_id IS NULL AND t.holder = '' LIMIT {int(limit)}"
    )
    ids = [row["odr_id"] for row in rows]
    if ids:
        await tx.execute(f"DELETE FROM {SIDE} WHERE holder = '' AND odr_id IN ({some(ids)})")
    return ids
