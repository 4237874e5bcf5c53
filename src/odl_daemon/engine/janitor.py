"""Deletes the scratch folders that nobody needs any longer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

from odl_daemon.model.task import Phase, Task
from odl_daemon.ports import Filter, Scratch, Store

log = logging.getLogger(__name__)

FOLDERS_AT_ONCE = 200


class Janitor:
    """Knows from the table whose bytes are still of use on this host."""

    def __init__(
        self, *, store: Store, scratch: Scratch, holder: str, keep_failed: float, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._scratch = scratch
        self._holder = holder
        self.keep_failed = keep_failed
        """Seconds that the bytes of a failed task are kept."""
        self._clock = clock

    async def sweep(self, in_hand: Collection[int]) -> None:
        """Deletes every folder whose task has ended, is gone, or is in another daemon's hands."""
        folders = [task_id for task_id in await self._scratch.folders() if task_id not in in_hand]
        for start in range(0, len(folders), FOLDERS_AT_ONCE):
            await self._sweep_some(folders[start : start + FOLDERS_AT_ONCE])

    async def wipe_ended(self, tasks: Iterable[Task], in_hand: Collection[int]) -> None:
        """Frees the disk of tasks that were ended while nobody held them."""
        ended = [task.id for task in tasks if self._useless(task) and task.id not in in_hand]
        if not ended:
            return
        folders = set(await self._scratch.folders())
        for task_id in ended:
            if task_id in folders:
                await self._scratch.wipe(task_id)

    async def _sweep_some(self, ids: list[int]) -> None:
        known = {task.id: task for task in await self._store.tasks(Filter(ids=tuple(ids)), len(ids))}
        for task_id in ids:
            task = known.get(task_id)
            if task is None or self._useless(task):
                log.info("task %d: its scratch folder is of no use any longer, deleting it", task_id)
                await self._scratch.wipe(task_id)

    def _useless(self, task: Task) -> bool:
        if task.phase.held:
            return task.holder != self._holder
        if task.phase in (Phase.FAILED, Phase.EXPIRED) and self.keep_failed:
            return self._clock() - task.changed > timedelta(seconds=self.keep_failed)
        return task.final
