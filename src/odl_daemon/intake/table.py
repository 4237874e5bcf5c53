"""The table's own door: rows that others put there become tasks."""

from __future__ import annotations

import asyncio
import logging
from random import Random

from odl_daemon.engine.adoption import Adoption
from odl_daemon.engine.rival import Rival

log = logging.getLogger(__name__)

FULL_LOOK = 60.0
"""Seconds between two looks at the whole table; the looks between see only new rows."""

RECENT = 1000
"""Rows, counted by id from the newest, among which each look searches for a rival's work."""


class TableDoor:
    """Looks for new rows at each poll, and once a minute at all of them."""

    def __init__(self, *, adoption: Adoption, rival: Rival, poll: float, rng: Random) -> None:
        self._adoption = adoption
        self._rival = rival
        self._poll = poll
        self._rng = rng

    async def serve(self) -> None:
        """For ever."""
        now = asyncio.get_running_loop().time
        full_at = now()
        while True:
            full = now() >= full_at
            adopted = await (self._adoption.all() if full else self._adoption.new())
            if adopted:
                log.info("%d new rows in the table", adopted)
            await self._rival.look(0 if full else max(self._adoption.up_to - RECENT, 0))
            if full:
                full_at = now() + FULL_LOOK
            await asyncio.sleep(self._poll * self._rng.uniform(0.9, 1.1))
