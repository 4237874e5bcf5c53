"""Puts tasks into both tables, in few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from odl_daemon.model.task import Phase, Task
from odl_daemon.store.dialect import Dialect
from odl_daemon.store.rows import shown, side_values
from odl_daemon.store.schema import SHARED, SIDE, SIDE_COLUMNS
from odl_daemon.store.transaction import Row, Transaction


def some(ids: Collection[int]) -> str:
    """A list of ids for IN (...); they are numbers, so they can stand in the text."""
    return ", ".join(str(int(task_id)) for task_id in ids) or "NULL"


async def lock_rows(tx: Transaction, ids: Collection[int]) -> dict[int, Row]:
    """The side rows of these ids, locked, with what the shared row shows (`shared_id` is NULL if it is gone)."""
    rows = await tx.fetch(
        f"SELECT t.odr_id, t.epoch, t.holder, t.phase, t.mark, r.odr_id AS shared_id, r.status, r.comment "
        f"FROM {SIDE} t LEFT JOIN {SHARED} r ON r.odr_id = t.odr_id WHERE t.odr_id IN ({some(ids)}){tx.dialect.lock}"
    )
    return {row["odr_id"]: row for row in rows}


async def write(tx: Transaction, tasks: Sequence[Task], before: Mapping[int, Row], lease: int) -> None:
    """Writes both rows of each task. `before` tells what the shared rows show, so that only news is written."""
    if not tasks:
        return
    until = (await clock(tx)) + lease if any(task.phase.held for task in tasks) else 0
    values = [side_values(task, until if task.phase.held else 0) for task in tasks]
    await tx.execute_many(_upsert(tx.dialect), values)
    await _show(tx, [task for task in tasks if _differs(task, before.get(task.id), tx.dialect)])
    await _show_done(tx, [task for task in tasks if task.phase is Phase.DONE])


async def clock(tx: Transaction) -> int:
    """The database's clock, in microseconds since 1970."""
    return int((await tx.fetch(f"SELECT {tx.dialect.now} AS now"))[0]["now"])


def _upsert(dialect: Dialect) -> str:
    """While a task is held its wish belongs to whoever wishes; a ticket never changes."""
    new = "VALUES({})" if dialect.mysql else "excluded.{}"
    special = {
        "wish": f"CASE WHEN {new.format('holder')} = '' THEN {new.format('wish')} ELSE {SIDE}.wish END",
        "ticket": f"{SIDE}.ticket",
    }
    return dialect.upsert(SIDE, "odr_id", SIDE_COLUMNS, special)


def _differs(task: Task, before: Row | None, dialect: Dialect) -> bool:
    return before is None or (before["status"], before["comment"]) != shown(task, dialect)


async def _show(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Status and comment; most tasks of a moment show the same."""
    alike: dict[tuple[int, str], list[int]] = defaultdict(list)
    for task in tasks:
        alike[shown(task, tx.dialect)].append(task.id)
    for (status, comment), ids in alike.items():
        await tx.execute(
            f"UPDATE {SHARED} SET status = :status, comment = :comment WHERE odr_id IN ({some(ids)})",
            {"status": status, "comment": comment},
        )


async def _show_done(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Path and size of what is in the library now: one statement for all."""
    if not tasks:
        return
    values: dict[str, Any] = {}
    for task in tasks:
        values[f"p{task.id}"], values[f"s{task.id}"] = tx.dialect.text(task.path), task.size
    paths = " ".join(f"WHEN {task.id} THEN :p{task.id}" for task in tasks)
    sizes = " ".join(f"WHEN {task.id} THEN :s{task.id}" for task in tasks)
    await tx.execute(
        f"UPDATE {SHARED} SET path = CASE odr_id {paths} END, size = CASE odr_id {sizes} END "
        f"WHERE odr_id IN ({some([task.id for task in tasks])})",
        values,
    )
