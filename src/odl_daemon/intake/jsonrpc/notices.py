"""Notifications: what a websocket's user is told of his tasks, and how much of it waits for a client that is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from odl_daemon.intake.jsonrpc.gids import gid_of
from odl_daemon.intake.jsonrpc.protocol import notice_text
from odl_daemon.model.task import Phase, Task

MOST_WAITING: Final = 1000
"""Notifications that wait for one client; with one more it is cut off."""

_TOLD_OF: Final[Mapping[Phase, str]] = {
    Phase.QUEUED: "aria2.onDownloadStart",
    Phase.PAUSED: "aria2.onDownloadPause",
    Phase.CANCELLED: "aria2.onDownloadStop",
    Phase.DONE: "aria2.onDownloadComplete",
    Phase.FAILED: "aria2.onDownloadError",
    Phase.EXPIRED: "aria2.onDownloadError",
}
NOTICES: Final = list(dict.fromkeys(_TOLD_OF.values()))


class Ear:
    """Listens to the news for one client, and keeps what he is to be told until it can be said."""

    def __init__(self, cut_off: Callable[[], None]) -> None:
        """`cut_off` ends the connection, at once, of a client that does not take what he is told."""
        self._cut_off = cut_off
        self._waiting: dict[tuple[str, int], None] = {}
        """In their order; the same of the same task is said once."""
        self._something = asyncio.Event()
        self._queued: set[int] = set()
        """Tasks whose start was told: until their first byte is written down, news tells of figures of theirs, too."""
        self.owner = ""
        """Whose tasks it is told of; "" until he has shown who he is."""

    def hear(self, task: Task) -> None:
        """Takes a task that has moved."""
        if task.phase is not Phase.QUEUED:
            self._queued.discard(task.id)
        method = _TOLD_OF.get(task.phase)
        if method is None or not self.owner or task.owner != self.owner or task.id in self._queued:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._cut_off()
            return
        if task.phase is Phase.QUEUED:
            self._queued.add(task.id)
        self._waiting[method, task.id] = None
        self._something.set()

    async def heard(self) -> list[str]:
        """The texts that are to be said now; waits until there is one."""
        await self._something.wait()
        self._something.clear()
        waiting, self._waiting = self._waiting, {}
        return [notice_text(method, gid_of(task_id)) for method, task_id in waiting]
