"""The table's own door: rows that others put there become tasks."""

from __future__ import annotations

import asyncio
import logging
from random import Random

from odl_daemon.engine.desk import Desk

log = logging.getLogger(__name__)

FULL_LOOK = 60.0
"""Seconds between two looks at the whole table; the looks between see only new rows."""


class TableDoor:
    """Looks for new rows at each poll, and once a minute at all of them."""

    def __init__(self, *, desk: Desk, poll: float, rng: Random) -> None:
        self._desk = desk
        self._poll = poll
        self._rng = rng

    async def serve(self) -> None:
        """For ever."""
        now = asyncio.get_running_loop().time
        full_at = now()
        while True:
            full = now() >= full_at
            adopted = await (self._desk.adopt_all() if full else self._desk.adopt_new())
            if adopted:
                log.info("%d new rows in the table", adopted)
            if full:
                full_at = now() + FULL_LOOK
            await asyncio.sleep(self._poll * self._rng.uniform(0.9, 1.1))
