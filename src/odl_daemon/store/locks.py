"""What only one task may do at a time, on whichever daemon; and the bytes that tasks have set aside for themselves."""

from __future__ import annotations

from typing import Final

from odl_daemon.model.task import Phase
from odl_daemon.store.connection import Lanes
from odl_daemon.store.session import Session, Values, number_of, quoted

SETTLING: Final = 60 * 1_000_000
"""Microseconds that the bytes of a task that is done stay reserved: a library takes its time to count them."""


class Locks:
    """A lock belongs to a claim of a task (its id and epoch), and ends with its lease at the latest: whoever keeps
    the lease keeps the lock."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def lock(self, name: str, task_id: int, epoch: int) -> bool:
        """Whether the lock is this claim's now."""

        async def take(sql: Session) -> bool:
            values: Values = {"name": name, "task": task_id, "epoch": epoch}
            await sql.run(
                "INSERT INTO odl_lock (name, odr_id, epoch) VALUES (:name, 0, 0)" + sql.unless_there("name"), values
            )
            found = await sql.rows(_OWNER.format(now=sql.now) + sql.locking, values)
            if not found:  # its owner released it in this moment
                return False
            *owner, is_alive = found[0]
            if owner != [task_id, epoch] and is_alive:
                return False
            await sql.run("UPDATE odl_lock SET odr_id = :task, epoch = :epoch WHERE name = :name", values)
            return True

        return await self._lanes.write(take)

    async def unlock(self, name: str, task_id: int, epoch: int) -> None:
        async def leave(sql: Session) -> None:
            await sql.run(
                "DELETE FROM odl_lock WHERE name = :name AND odr_id = :task AND epoch = :epoch",
                {"name": name, "task": task_id, "epoch": epoch},
            )

        await self._lanes.write(leave)

    async def reserve(self, task_id: int, payer: str, size: int) -> int:
        """Sets bytes of a payer's room aside for a task, instead of those before; returns how many all his tasks
        have set aside now."""

        async def write(sql: Session) -> int:
            await sql.put("odl_reserved", [{"odr_id": task_id, "payer": payer, "size": size}])
            values: Values = {"payer": payer, "settling": SETTLING}
            await sql.run(_FORGET.format(now=sql.now), values)
            found = await sql.rows("SELECT COALESCE(SUM(size), 0) FROM odl_reserved WHERE payer = :payer", values)
            return number_of(found[0][0])

        return await self._lanes.write(write)


_NEW: Final = "INSERT INTO odl_lock (name, odr_id, epoch) VALUES (:name, 0, 0)"

_OWNER: Final = """
    SELECT l.odr_id, l.epoch, (t.odr_id IS NOT NULL AND t.holder <> '' AND t.lease_until > {now})
    FROM odl_lock l LEFT JOIN odl_task t ON t.odr_id = l.odr_id AND t.epoch = l.epoch WHERE l.name = :name"""

_LIVING: Final = quoted(str(phase) for phase in Phase if not phase.final and phase is not Phase.UNKNOWN)

_FORGET: Final = f"""
    DELETE FROM odl_reserved WHERE payer = :payer AND NOT EXISTS (
        SELECT 1 FROM odl_task t WHERE t.odr_id = odl_reserved.odr_id
        AND (t.phase IN ({_LIVING}) OR t.phase = '{Phase.DONE}' AND t.changed > {{now}} - :settling))"""
"""What tasks that have ended, and whose bytes are counted by now, had set aside."""
