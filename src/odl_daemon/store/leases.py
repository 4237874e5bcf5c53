"""Leases, on the database's clock alone: renewed by their holder, taken back from the dead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from odl_daemon.model.lifecycle import BEGUN, CLAIMED_ONLY, CUT_OFF, SHOWN_AS
from odl_daemon.model.task import Phase
from odl_daemon.ports import Beat, Held
from odl_daemon.store.connection import Lanes
from odl_daemon.store.rows import bounded, fitting, mark_of, micros, wish_of
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Session, SqlRow, Values, number_of, quoted, text_of

TAKEN_BACK_AT_ONCE = 1_000
"""Tasks in one transaction: the steps of others go on in between."""

HELD: Final = quoted(phase for phase in Phase if phase.held)
RUNNING_STATUSES: Final = ", ".join(sorted({str(int(SHOWN_AS[phase])) for phase in Phase if phase.held}))


class Leases:
    """Who holds what, and for how long."""

    def __init__(self, lanes: Lanes, lease: float) -> None:
        self._lanes = lanes
        self._lease = int(lease * 1_000_000)

    async def pulse(self, holder: str, beats: Sequence[Beat]) -> list[Held]:
        """Renews everything that `holder` holds, keeps the beats, and tells what it holds."""
        return await self._lanes.write(lambda sql: self._pulse(sql, holder, beats))

    async def _pulse(self, sql: Session, holder: str, beats: Sequence[Beat]) -> list[Held]:
        rows = await sql.rows(_HELD_BY, {"holder": holder})
        if not rows:
            return []
        await sql.run(
            f"UPDATE odl_task SET lease_until = {sql.now} + :lease WHERE odr_id IN (:ids)"
            f" AND holder = :holder AND phase IN ({HELD})",
            {"holder": holder, "lease": self._lease},
            [number_of(row[0]) for row in rows],
        )
        epochs = {number_of(row[0]): row[1] for row in rows}
        news = {beat.id: beat for beat in beats if epochs.get(beat.id) == beat.epoch}
        # a step of the same task may be under way, but none that ends this holding and begins another
        await sql.update("odl_task", [_beat_values(beat) for beat in news.values()], f"phase IN ({HELD})")
        return [_held(row) for row in rows]

    async def restore(self, holder: str, at: datetime) -> int:
        """Gives back what `holder` held."""
        return await self._take_back("t.holder = :holder", {"holder": holder, "at": micros(at)})

    async def reap(self, at: datetime) -> int:
        """Gives back what is held under leases that ran out."""
        return await self._take_back("t.lease_until < {now}", {"at": micros(at)})

    async def _take_back(self, condition: str, values: Values) -> int:
        taken = 0
        while await self._lanes.read(partial(_lapsed, condition=condition, values=values, limit=1)):
            taken += await self._lanes.write(partial(_give_back, condition=condition, values=values))
        return taken


_HELD_BY: Final = f"""
    SELECT t.odr_id, t.epoch, t.wish, t.mark, r.odr_id, r.url, r.owner, CAST(r.timestamp AS CHAR)
    FROM odl_task t LEFT JOIN {TABLE} r ON r.odr_id = t.odr_id
    WHERE t.holder = :holder AND t.phase IN ({HELD})"""


def _held(row: SqlRow) -> Held:
    task_id, epoch, wish, mark, shared, url, owner, timestamp = row
    same = shared is not None and mark == mark_of(text_of(url), text_of(owner), text_of(timestamp))
    return Held(number_of(task_id), number_of(epoch), wish_of(wish), changed_outside=not same)


def _beat_values(beat: Beat) -> Values:
    progress = beat.progress
    return {
        "odr_id": beat.id,
        "done": bounded(progress.done),
        "total": None if progress.total is None else bounded(progress.total),
        "validator": fitting(progress.validator),
        "spent": beat.spent,
    }


async def _lapsed(sql: Session, condition: str, values: Values, limit: int, locked: bool = False) -> list[int]:
    found = await sql.rows(
        f"SELECT t.odr_id FROM odl_task t WHERE t.phase IN ({HELD}) AND {condition.format(now=sql.now)}"
        f" ORDER BY t.odr_id LIMIT {limit}{sql.locking if locked else ''}",
        values,
    )
    return [number_of(row[0]) for row in found]


async def _give_back(sql: Session, condition: str, values: Values) -> int:
    """The step ABANDONED for many at once; a wish that nobody heeded stays."""
    ids = await _lapsed(sql, condition, values, TAKEN_BACK_AT_ONCE, locked=True)
    if ids:
        await sql.run(
            f"UPDATE {TABLE} SET status = {int(SHOWN_AS[Phase.WAITING])}, comment = ''"
            f" WHERE odr_id IN (:ids) AND status IN ({RUNNING_STATUSES})",
            ids=ids,
        )
        await sql.run(
            # MySQL assigns from left to right: `due` needs the old phase
            f"UPDATE odl_task SET due = CASE phase WHEN 'queued' THEN {CLAIMED_ONLY} WHEN 'committing' THEN {CUT_OFF}"
            f" ELSE {BEGUN} END, phase = 'waiting', holder = '', lease_until = 0,"
            " epoch = epoch + 1, changed = :at WHERE odr_id IN (:ids)",
            {"at": values["at"]},
            ids,
        )
    return len(ids)
