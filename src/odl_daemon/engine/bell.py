"""Rings the dispatcher: something may have to be done now. The store tells what."""

from __future__ import annotations

import asyncio


class Bell:
    """Any number of rings before anybody listens are one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._work = True
        self._wishes = True

    def ring(self) -> None:
        """There may be something to claim."""
        self._work = True
        self._rung.set()

    def ring_for_room(self) -> None:
        """A task has left our hands: there is room for another, if one waits."""
        self._rung.set()

    def ring_for_wishes(self) -> None:
        """There may be a wish to grant."""
        self._wishes = True
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Returns at the next ring, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return

    def take(self) -> tuple[bool, bool]:
        """Stills the bell; what it rang for since the last time: work, wishes."""
        self._rung.clear()
        rung = self._work, self._wishes
        self._work = self._wishes = False
        return rung
