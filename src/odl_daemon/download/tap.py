"""Lets bytes in from the internet as long as the disk has room for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

log = logging.getLogger(__name__)

LOOK: Final = 0.25
"""Seconds between two looks at the disk while bytes flow."""


class Held(Protocol):
    """Somebody who does not read while the tap is closed."""

    def go_on(self) -> None: ...


class Tap:
    """Counts what flows in between two looks at the disk, so that it closes in time however fast that is.

    While it is closed nobody reads, and what is on its way waits with the sender. `run` must be running: before its
    first look the tap is open.
    """

    def __init__(self, room: Callable[[], Awaitable[int]]) -> None:
        """`room` tells how many bytes may still be written."""
        self._room = room
        self._left = 1 << 62
        self._flowed = asyncio.Event()
        self._held: set[Held] = set()

    @property
    def closed(self) -> bool:
        return self._left <= 0

    def flow(self, count: int) -> None:
        """So many bytes came in."""
        self._left -= count
        if not self._flowed.is_set():
            self._flowed.set()

    def hold(self, reader: Held) -> None:
        """This reader waits until the tap opens."""
        self._held.add(reader)

    def release(self, reader: Held) -> None:
        """It waits no longer."""
        self._held.discard(reader)

    async def run(self) -> None:
        """Looks at the disk while bytes flow or wait, for ever."""
        while True:
            await self._flowed.wait()
            self._flowed.clear()
            await self._look()
            await asyncio.sleep(LOOK)
            if self.closed:
                self._flowed.set()

    async def _look(self) -> None:
        was_closed, self._left = self.closed, await self._room()
        if self.closed and not was_closed:
            log.warning("the disk of the scratch folders has no room above its floor: downloads are held")
        if not self.closed:
            held, self._held = self._held, set()
            for reader in held:
                reader.go_on()
