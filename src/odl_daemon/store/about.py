"""What the database is, for who checks the installation."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from odl_daemon.store.connection import Lanes
from odl_daemon.store.schema import TABLE


class About(NamedTuple):
    """The database as it is."""

    server: str
    """Which program, and its version."""
    charset: str
    """Of the links in the shared table, in the server's word for it."""


async def latency(lanes: Lanes) -> float:
    """Seconds that a question takes which needs no work, its way through the line included."""
    began = asyncio.get_running_loop().time()
    await lanes.read(lambda sql: sql.rows("SELECT 1"))
    return asyncio.get_running_loop().time() - began


async def about(lanes: Lanes) -> About:
    """Asks the database about itself."""
    server, charset = await lanes.read(lambda sql: sql.described(TABLE, "url"))
    return About(server, charset)
