"""What the database is, for who checks the installation."""

from __future__ import annotations

from typing import NamedTuple

from odl_daemon.store.connection import Lanes
from odl_daemon.store.schema import TABLE


class About(NamedTuple):
    """The database as it is."""

    server: str
    """Which program, and its version."""
    charset: str
    """Of the links in the shared table, in the server's word for it."""


async def about(lanes: Lanes) -> About:
    """Asks the database about itself."""
    server, charset = await lanes.read(lambda sql: sql.described(TABLE, "url"))
    return About(server, charset)
