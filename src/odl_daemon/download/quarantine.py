"""An aria2 alone in a sandbox of its own, for a task that may have brought the common one down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from odl_daemon.download import failures
from odl_daemon.download.sandbox import Breach, SandboxTrouble, until_the_earlier_one_is_dead
from odl_daemon.download.server import Aria2Server, ended

log = logging.getLogger(__name__)

LANES: Final = 4
"""Sandboxes at once. With one, a source that drips would keep everybody else who is suspected waiting."""

OPEN_LIMIT: Final = 60.0
"""Seconds until the aria2 in there must answer; on a busy host it has its 20 to start, and a connection to make."""

FAREWELL: Final = 2.0
"""Seconds that it gets to put a transfer aside that was left."""


class Quarantine:
    """Opens a sandbox when somebody comes, and ends it when he leaves; more than `LANES` wait in line. `run` must be
    running: it raises Breach when a sandbox does not hold."""

    def __init__(self, aria2: Callable[[Path, Path], Aria2Server], *, locks: Path) -> None:
        """`aria2` makes one that sees a single folder, from that folder and the path of its lock; `locks` is the
        folder for these."""
        self._aria2 = aria2
        self._locks = [locks / f"quarantine-{number}.lock" for number in range(1, LANES + 1)]
        self._waiting: asyncio.Queue[_Stay] = asyncio.Queue()
        self._clear = asyncio.Event()

    async def run(self) -> None:
        """Serves for ever. Raises SandboxTrouble if one of an earlier daemon does not die, and Breach."""
        for lock in self._locks:
            await until_the_earlier_one_is_dead(lock)
        self._clear.set()
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(self._keep_lane(lock), name=f"lane of {lock.name}") for lock in self._locks]
            try:
                await asyncio.wait(lanes)
            finally:
                await ended(lanes)

    async def clear(self) -> None:
        """Waits until nothing of an earlier daemon is left in a quarantine."""
        await self._clear.wait()

    @asynccontextmanager
    async def stay(self, folder: str) -> AsyncIterator[Aria2Server]:
        """An aria2 that is up, has one slot, and sees this folder only; it is ended when the block is left. Waits for
        a free lane. Raises Trouble if it cannot be started."""
        stay = _Stay(Path(folder))
        self._waiting.put_nowait(stay)
        try:
            yield await stay.begun
        finally:
            stay.left.set()

    async def _keep_lane(self, lock: Path) -> None:
        while True:
            stay = await self._waiting.get()
            if not stay.left.is_set():
                await self._lodge(stay, lock)

    async def _lodge(self, stay: _Stay, lock: Path) -> None:
        try:
            await asyncio.to_thread(stay.folder.mkdir, mode=0o700, exist_ok=True)
            await self._serve(stay, self._aria2(stay.folder, lock))
        except* Breach:
            raise
        except* (SandboxTrouble, OSError) as trouble:
            log.error("a sandbox for one task alone cannot be used: %s", trouble.exceptions[0])
            stay.fail()

    async def _serve(self, stay: _Stay, aria2: Aria2Server) -> None:
        async with asyncio.TaskGroup() as group:
            living = group.create_task(aria2.run(), name="aria2 for one task alone")
            try:
                async with asyncio.timeout(OPEN_LIMIT):
                    await aria2.ready()
                stay.begin(aria2)
                await stay.left.wait()
                await _farewell(aria2)
            finally:
                await ended([living])


async def _farewell(aria2: Aria2Server) -> None:
    """Lets it write down how far it has come, as one does that goes on."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await aria2.transfers.over()


class _Stay:
    """One transfer's time in a lane."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun: asyncio.Future[Aria2Server] = asyncio.get_running_loop().create_future()
        self.left = asyncio.Event()

    def begin(self, aria2: Aria2Server) -> None:
        if not self.begun.done():  # else its owner left while he waited
            self.begun.set_result(aria2)

    def fail(self) -> None:
        if not self.begun.done():
            self.begun.set_exception(failures.no_aria2())
