"""Shares the scratch disk out among the running tasks: none begins what cannot end, and the floor stays free."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, NoReturn

from odl_daemon.model.task import Progress, Reason
from odl_daemon.ports import Remedy, Scratch, Space, Trouble

FLOOR: Final = 1 << 30
"""Bytes that stay free where nobody set another floor."""

PART: Final = 20
"""No more than this part of a small disk is the floor that nobody set, is set aside at a time, or is held unwritten."""

UNWRITTEN: Final = 32 << 20
"""Bytes that are on their way to the disk, in the downloader's cache and in buffers; of a small disk PART at most."""

FRESH: Final = 1.0
"""Seconds for which a look at the disk is good enough to find it low."""

FULL: Final = "the server's disk has no room for this file now"


@dataclass(slots=True)
class _Claim:
    """What one task may still write."""

    up_to: int
    """Bytes of it that fit by what was set aside."""
    missing: int
    """What of that has not come yet."""


class Disk:
    """The ledger of one daemon over its own scratch disk."""

    def __init__(self, scratch: Scratch, *, floor: int | None = None, reserve: int = 64 << 20) -> None:
        """`floor`: bytes that stay free; None: as FLOOR and PART say. `reserve`: bytes that are set aside at a time
        for a download of unknown size."""
        self._scratch = scratch
        self._floor = floor
        self._reserve = reserve
        self._claims: dict[int, _Claim] = {}
        self._space: Space | None = None
        self._looked = 0.0

    async def room(self) -> int:
        """Bytes that may still be written, whoever writes them, before the floor is reached."""
        return self._above_floor(await self._look())

    async def is_low(self) -> bool:
        """Whether there is no such room, by a look of late."""
        return self._above_floor(await self._recent()) <= 0

    def floor(self, space: Space) -> int:
        """Bytes that stay free on a disk like this."""
        return min(FLOOR, space.total // PART) if self._floor is None else self._floor

    async def check(self, task_id: int, progress: Progress) -> None:
        """Sets aside what is still to come of a task. Raises Trouble if there is no room for it now."""
        claim = self._claims.get(task_id)
        if claim is None or max(progress.done, progress.total or 0) > claim.up_to:
            await self._set_aside(task_id, progress)
            return
        claim.missing = claim.up_to - progress.done
        if await self.is_low():
            self._refuse(task_id, Remedy.WAIT)

    def leave(self, task_id: int) -> None:
        """Nothing more of it is written just now."""
        self._claims.pop(task_id, None)

    async def _set_aside(self, task_id: int, progress: Progress) -> None:
        space = await self._look()
        up_to = progress.total
        if up_to is None or up_to < progress.done:
            up_to = progress.done + min(self._reserve, space.total // PART)
        others = sum(claim.missing for each, claim in self._claims.items() if each != task_id)
        missing = up_to - progress.done
        if missing > self._above_floor(space) - others:
            # what has no known end may fill any disk: its bytes go, or they would keep everybody waiting
            self._refuse(task_id, Remedy.WAIT if progress.total else Remedy.WIPE)
        self._claims[task_id] = _Claim(up_to, missing)

    def _refuse(self, task_id: int, remedy: Remedy) -> NoReturn:
        self.leave(task_id)
        raise Trouble(Reason.DISK_FULL, FULL, remedy)

    def _above_floor(self, space: Space) -> int:
        return space.free - self.floor(space) - min(UNWRITTEN, space.total // PART)

    async def _recent(self) -> Space:
        if self._space is None or _now() - self._looked > FRESH:
            return await self._look()
        return self._space

    async def _look(self) -> Space:
        self._space = await self._scratch.space()
        self._looked = _now()
        return self._space


def _now() -> float:
    return asyncio.get_running_loop().time()
