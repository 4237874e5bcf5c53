"""What the dispatcher asks of the table: claim, renew, take back, grant."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.model.patience import micros
from odl_daemon.model.task import Phase, Status, Task, Wish
from odl_daemon.model.turns import fair_turns
from odl_daemon.ports import Beat, Held
from odl_daemon.store.rows import both, is_ours, mark_of, moment, task_of, text
from odl_daemon.store.schema import SHARED, SIDE
from odl_daemon.store.transaction import Row, Transaction
from odl_daemon.store.writing import clock, some

log = logging.getLogger(__name__)

GRACE = 2_000_000
"""Microseconds that a lease is over before somebody else takes the task."""

_HELD = ", ".join(f"'{phase}'" for phase in Phase if phase.held)


# --- claims


async def claim(
    tx: Transaction, holder: str, limit: int, running: Mapping[str, int], at: datetime, lease: int
) -> list[Task]:
    """See ports.Store.claim."""
    owners = sorted(await _waiting_owners(tx), key=lambda owner: (running.get(owner, 0), owner))
    waiting: dict[str, list[Row]] = {}
    found = 0
    for owner in owners:
        waiting[owner] = await _head(tx, owner, limit, micros(at))
        found += len(waiting[owner])
        if found >= limit and len(waiting) >= limit:
            break  # whoever has more running than these gets no turn this time
    chosen = fair_turns(waiting, running, limit)
    free = await _still_waiting(tx, chosen)
    if not free:
        return []
    ids = some([row["odr_id"] for row in free])
    until = (await clock(tx)) + lease
    await tx.execute(
        f"UPDATE {SIDE} SET phase = 'queued', holder = :holder, epoch = epoch + 1, lease_until = :until, reason = '', "
        f"changed = :at WHERE odr_id IN ({ids})",
        {"holder": holder, "until": until, "at": micros(at)},
    )
    await tx.execute(f"UPDATE {SHARED} SET status = {int(Status.QUEUING)}, comment = '' WHERE odr_id IN ({ids})")
    return [_claimed(row, holder, at) for row in free]


async def _waiting_owners(tx: Transaction) -> list[str]:
    """Who has something waiting: one step in the index for each, however much each has."""
    first = f"SELECT MIN(owner) FROM {SIDE} WHERE phase = 'waiting'"
    rows = await tx.fetch(
        f"WITH RECURSIVE line (owner) AS (SELECT ({first}) UNION ALL "
        f"SELECT ({first} AND owner > line.owner) FROM line WHERE line.owner IS NOT NULL) "
        "SELECT owner FROM line WHERE owner IS NOT NULL"
    )
    return [text(row["owner"]) for row in rows]


async def _head(tx: Transaction, owner: str, limit: int, now: int) -> list[Row]:
    """The first of one owner's waiting tasks: interrupted work, then retries that are due, then the oldest."""
    interrupted = await _part(tx, owner, "t.due < 0", limit, now)
    due = await _part(tx, owner, "t.due > 0 AND t.due <= :now", limit - len(interrupted), now)
    fresh = await _part(tx, owner, "t.due = 0", limit - len(interrupted) - len(due), now)
    return [*interrupted, *due, *fresh]


async def _part(tx: Transaction, owner: str, which: str, limit: int, now: int) -> list[Row]:
    if limit <= 0:
        return []
    return await tx.fetch(
        f"SELECT t.odr_id FROM {SIDE} t WHERE t.phase = 'waiting' AND t.owner = :owner AND {which} AND t.wish = '' "
        f"ORDER BY t.due, t.odr_id LIMIT {int(limit)}{tx.dialect.lock_what_is_free}",
        {"owner": owner, "now": now},
    )


async def _still_waiting(tx: Transaction, chosen: Sequence[Row]) -> list[Row]:
    """Those that still wait in both tables; the side rows of the others are dropped: somebody else took them."""
    if not chosen:
        return []
    ids = [row["odr_id"] for row in chosen]
    rows = await tx.fetch(f"{both(tx.dialect)} WHERE t.odr_id IN ({some(ids)}){tx.dialect.lock}")
    rows = sorted(rows, key=lambda row: ids.index(row["odr_id"]))
    waiting = [row for row in rows if row["phase"] == "waiting" or row["phase"] is None]
    free = [row for row in waiting if row["status"] == int(Status.WAITING) and is_ours(row)]
    taken = {row["odr_id"] for row in waiting} - {row["odr_id"] for row in free}
    taken |= {task_id for task_id in ids if task_id not in {row["odr_id"] for row in rows}}
    if taken:
        await tx.execute(f"DELETE FROM {SIDE} WHERE phase = 'waiting' AND odr_id IN ({some(taken)})")
        _warn(waiting, free)
    return free


def _warn(waiting: Sequence[Row], free: Sequence[Row]) -> None:
    for row in waiting:
        if row not in free and row["status"] != int(Status.WAITING):
            log.warning(
                "task %d: somebody else set its status to %s: is an old worker still running? Leaving it alone",
                row["odr_id"],
                row["status"],
            )


def _claimed(row: Row, holder: str, at: datetime) -> Task:
    task = task_of(row)
    return advance(task, Event.CLAIMED, at=at, holder=holder, epoch=task.epoch + 1)


# --- the lease


async def pulse(tx: Transaction, holder: str, beats: Sequence[Beat], lease: int) -> list[Held]:
    """See ports.Store.pulse."""
    until = (await clock(tx)) + lease
    await tx.execute(
        f"UPDATE {SIDE} SET lease_until = :until WHERE holder = :holder", {"until": until, "holder": holder}
    )
    await tx.execute_many(
        f"UPDATE {SIDE} SET done = :done, total = :total, validator = :validator, spent = :spent "
        "WHERE odr_id = :id AND epoch = :epoch",
        [_beat(beat) for beat in beats],
    )
    rows = await tx.fetch(
        f"SELECT t.odr_id, t.epoch, t.wish, t.mark, r.odr_id AS shared_id, r.url, r.owner, {tx.dialect.stamp} AS stamp "
        f"FROM {SIDE} t LEFT JOIN {SHARED} r ON r.odr_id = t.odr_id WHERE t.holder = :holder",
        {"holder": holder},
    )
    return [_held(row) for row in rows]


def _beat(beat: Beat) -> dict[str, Any]:
    return {
        "id": beat.id,
        "epoch": beat.epoch,
        "done": beat.progress.done,
        "total": beat.progress.total,
        "validator": beat.progress.validator,
        "spent": beat.spent,
    }


def _held(row: Row) -> Held:
    gone = row["shared_id"] is None
    changed = gone or row["mark"] != mark_of(text(row["url"]), text(row["owner"]), row["stamp"])
    return Held(row["odr_id"], row["epoch"], Wish(row["wish"]) if row["wish"] else None, changed)


async def restore(tx: Transaction, holder: str, at: datetime) -> int:
    """See ports.Store.restore."""
    return await _give_back(tx, "t.holder = :holder", {"holder": holder}, at)


async def reap(tx: Transaction, at: datetime) -> int:
    """See ports.Store.reap."""
    over = (await clock(tx)) - GRACE
    return await _give_back(tx, f"t.phase IN ({_HELD}) AND t.lease_until < :over", {"over": over}, at)


async def _give_back(tx: Transaction, which: str, values: Mapping[str, Any], at: datetime) -> int:
    """What ABANDONED does, to many at once."""
    rows = await tx.fetch(f"SELECT t.odr_id FROM {SIDE} t WHERE {which}{tx.dialect.lock}", values)
    if not rows:
        return 0
    ids = some([row["odr_id"] for row in rows])
    await tx.execute(f"UPDATE {SHARED} SET status = {int(Status.WAITING)}, comment = '' WHERE odr_id IN ({ids})")
    await tx.execute(
        # `due` before `phase`: MySQL sets from left to right and would read the new phase
        f"UPDATE {SIDE} SET due = CASE WHEN phase = 'queued' THEN -1 ELSE -2 END, phase = 'waiting', holder = '', "
        f"lease_until = 0, epoch = epoch + 1, changed = :at WHERE odr_id IN ({ids})",
        {"at": micros(at)},
    )
    return len(rows)


# --- wishes and waiting


async def wished(tx: Transaction, limit: int) -> list[Task]:
    """See ports.Store.wished."""
    rows = await tx.fetch(
        f"{both(tx.dialect)} WHERE t.wish > '' AND t.holder = '' ORDER BY t.odr_id LIMIT {int(limit)}"
    )
    return [replace(task_of(row), wish=Wish(row["wish"])) for row in rows if is_ours(row)]


async def next_due(tx: Transaction, at: datetime) -> datetime | None:
    """See ports.Store.next_due."""
    rows = await tx.fetch(
        f"SELECT MIN(due) AS due FROM {SIDE} WHERE phase = 'waiting' AND due > :at", {"at": micros(at)}
    )
    return moment(rows[0]["due"]) if rows[0]["due"] is not None else None
