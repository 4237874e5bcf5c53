"""Who holds what, as the side table says."""

from __future__ import annotations

from typing import Any

from tests.acceptance.conftest import Table


async def all_fetched_by(table: Table, holder: str, count: int) -> bool:
    """Whether all `count` tasks are being transferred by this daemon."""
    found = await table.run("SELECT holder, phase FROM odl_task")
    return found == [(holder, "fetching")] * count


async def everything(table: Table) -> list[list[tuple[Any, ...]]]:
    """Both tables, to the last column."""
    names = ("OfflineDownloadRecord", "odl_task")
    return [await table.run(f"SELECT * FROM {name} ORDER BY odr_id") for name in names]
