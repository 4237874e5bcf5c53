"""Counts tasks by phase, in one walk along the index of what waits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from odl_daemon.model.task import Phase
from odl_daemon.store.session import Session, SqlRow, SqlValue, quoted


async def in_phases(sql: Session, phases: Iterable[Phase], owners: Sequence[str] = ()) -> list[SqlRow]:
    """How many tasks there are, by owner and phase; of these owners, or of everybody."""
    among = f"phase IN ({quoted(phases)})"
    if len(owners) == 1:  # not grouped by him, too: MariaDB would sort all his tasks in a table of its own
        text = f"SELECT phase, COUNT(*) FROM odl_task WHERE {among} AND owner = :owner GROUP BY phase"
        return [(owners[0], *row) for row in await sql.rows(text, {"owner": owners[0]})]
    values: dict[str, SqlValue] = {f"owner{number}": owner for number, owner in enumerate(owners)}
    if owners:
        among += f" AND owner IN ({', '.join(f':{name}' for name in values)})"
    return await sql.rows(f"SELECT owner, phase, COUNT(*) FROM odl_task WHERE {among} GROUP BY phase, owner", values)
