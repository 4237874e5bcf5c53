"""Lets go of our side of rows that are about something else by now."""

from __future__ import annotations

from collections.abc import Collection

from odl_daemon.store.session import Session


async def let_go(sql: Session, ids: Collection[int]) -> None:
    """The shared rows are strangers again. The epochs stay and rise, so that no writer of before is ever right."""
    if ids:
        await sql.run(
            "UPDATE odl_task SET phase = 'unknown', mark = '', holder = '', wish = '', lease_until = 0,"
            " epoch = epoch + 1 WHERE odr_id IN (:ids)",
            ids=ids,
        )
