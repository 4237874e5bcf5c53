"""What would become of a link if it were handed over now: the answer that a user wants before, not after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.disk import Disk
from odl_daemon.model.names import safe_name
from odl_daemon.model.task import Task
from odl_daemon.ports import Library, Request, Scout, Sight, Trouble

NOBODYS = 0
"""The id of a task that is not in the table."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was looked at."""

    what: str
    """link, target, size, quota or disk."""
    ok: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Foresight:
    """What was found; without a sight the link itself is of no use."""

    sight: Sight | None
    name: str
    verdicts: tuple[Verdict, ...]


class Preflight:
    """Asks the same rooms that a task would meet on its way, and changes nothing."""

    def __init__(
        self,
        *,
        scout: Scout,
        library: Library,
        allowance: Allowance,
        disk: Disk,
        max_size: Callable[[], int],
        clock: Callable[[], datetime],
    ) -> None:
        """`max_size`: of any file, in bytes; 0 sets no limit."""
        self._scout = scout
        self._library = library
        self._allowance = allowance
        self._disk = disk
        self._max_size = max_size
        self._clock = clock

    async def look(self, request: Request) -> Foresight:
        """Never raises for what is wrong with the request: that is a verdict."""
        now = self._clock()
        task = Task(
            NOBODYS, request.owner, request.library, request.path, request.url, now, now,
            target=request.path, name=request.name, mkdir=request.mkdir,
        )  # fmt: skip
        try:
            sight = await self._scout.look(request.url, request.owner)
        except Trouble as trouble:
            return Foresight(None, "", (Verdict("link", False, trouble.sentence), await self._target(task)))
        size = sight.size or 0
        verdicts = [
            Verdict("link", True, "the source has the file"),
            await self._target(task),
            self._size(task, sight.size),
            await self._quota(task, size),
            await self._room(sight.size),
        ]
        return Foresight(sight, request.name or safe_name(sight.name), tuple(verdicts))

    async def _target(self, task: Task) -> Verdict:
        try:
            await self._library.check(task)
        except Trouble as trouble:
            return Verdict("target", False, trouble.sentence)
        return Verdict("target", True, "the folder takes it")

    def _size(self, task: Task, size: int | None) -> Verdict:
        if size is None:
            return Verdict("size", True, "the source does not say how large the file is")
        most = self._max_size()
        if 0 < most < size:
            return Verdict("size", False, f"the file is larger than allowed here (at most {most:,} bytes)")
        try:
            self._allowance.check_size(task, size)
        except Trouble as trouble:
            return Verdict("size", False, trouble.sentence)
        return Verdict("size", True, "the file is not too large")

    async def _quota(self, task: Task, size: int) -> Verdict:
        try:
            if size and await self._library.payer(task):
                await self._library.fits(task, size)
        except Trouble as trouble:
            return Verdict("quota", False, trouble.sentence)
        return Verdict("quota", True, "the library has room for it")

    async def _room(self, size: int | None) -> Verdict:
        room = await self._disk.room()
        if (size or 0) > room or room <= 0:
            return Verdict("disk", False, "the server's disk has no room for it now: it would wait")
        return Verdict("disk", True, "the server's disk has room for it")
