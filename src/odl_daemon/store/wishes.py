"""Wishes: written by whoever asks, read by whoever can carry them out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from odl_daemon.model.task import Phase, Task, Wish
from odl_daemon.ports import Filter
from odl_daemon.store.connection import Lanes
from odl_daemon.store.listing import JOINED, condition
from odl_daemon.store.rows import BOTH, task_of
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Session, SqlRow, number_of, quoted, text_of

WISHES_AT_ONCE = 1_000
"""Tasks in one transaction."""

_ANY: Final = quoted(Wish)


class Wishes:
    """The column that every door may write."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def wish(self, ids: Sequence[int], wish: Wish, phases: frozenset[Phase]) -> list[int]:
        """Writes a wish on those in one of `phases`, and returns their ids."""
        written: list[int] = []
        for start in range(0, len(ids), WISHES_AT_ONCE):
            part = ids[start : start + WISHES_AT_ONCE]
            written += await self._lanes.write(partial(_write_some, ids=part, wish=wish, phases=phases))
        return written

    async def wish_all(self, which: Filter, wish: Wish) -> int:
        """Writes a wish on everything that the filter names, and returns how many there are."""
        count, before = 0, None
        while True:
            ids = await self._lanes.write(partial(_write_page, which=which, wish=wish, before=before))
            count += len(ids)
            if len(ids) < WISHES_AT_ONCE:
                return count
            before = ids[-1]

    async def wished(self, limit: int) -> list[Task]:
        """Tasks that nobody holds and that somebody wishes something of, the oldest first."""

        async def look(sql: Session) -> list[SqlRow]:
            return await sql.rows(
                f"SELECT {BOTH} FROM odl_task t JOIN {TABLE} r ON r.odr_id = t.odr_id"
                f" WHERE t.wish IN ({_ANY}) AND t.holder = '' ORDER BY t.odr_id LIMIT :limit",
                {"limit": limit},
            )

        found = [task_of(row) for row in await self._lanes.read(look)]
        return [task for task in found if task.wish is not None]


async def _write_some(sql: Session, ids: Sequence[int], wish: Wish, phases: frozenset[Phase]) -> list[int]:
    found = await sql.rows(
        f"SELECT t.odr_id, t.phase FROM odl_task t WHERE t.odr_id IN (:ids) ORDER BY t.odr_id{sql.locking}", ids=ids
    )
    return await _write(sql, [number_of(task_id) for task_id, phase in found if text_of(phase) in phases], wish)


async def _write_page(sql: Session, which: Filter, wish: Wish, before: int | None) -> list[int]:
    where, values = condition(sql, which, before)
    found = await sql.rows(
        f"SELECT r.odr_id FROM {JOINED} WHERE {where} AND t.phase <> '{Phase.UNKNOWN}'"
        f" ORDER BY r.odr_id DESC LIMIT {WISHES_AT_ONCE}",
        values,
        which.ids,
    )
    return await _write(sql, [number_of(row[0]) for row in found], wish)


async def _write(sql: Session, ids: list[int], wish: Wish) -> list[int]:
    if ids:
        await sql.run("UPDATE odl_task SET wish = :wish WHERE odr_id IN (:ids)", {"wish": str(wish)}, ids)
    return ids
