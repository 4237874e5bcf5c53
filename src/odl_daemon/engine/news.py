"""What is happening right now, for whoever looks: the live progress of the tasks in our hands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from odl_daemon.model.task import Phase, Progress, Task

log = logging.getLogger(__name__)

_LEVELS = {Phase.QUEUED: logging.DEBUG, Phase.COMMITTING: logging.DEBUG, Phase.FAILED: logging.WARNING}
"""A small file passes through some phases in milliseconds: its end is the line worth its price."""

Heard = Callable[[Task], None]
"""Takes a task that has moved, as it is now. It is called on the loop, often, and must be quick."""


class News:
    """The one place that tells others of a step, and the live figures between two writes to the table."""

    def __init__(self) -> None:
        self._live: dict[int, Task] = {}
        """The tasks in our hands, with their newest figures."""
        self._listeners: list[Heard] = []
        self._moves = 0
        self._moved = asyncio.Event()
        self._awaited = False

    def publish(self, task: Task) -> None:
        """Tells of a task that has changed its phase, now that the table has it."""
        live = self._live.get(task.id)
        if not task.phase.held:
            self._live.pop(task.id, None)
        else:
            self._live[task.id] = replace(task, progress=live.progress) if live else task
        because = f" ({task.comment})" if task.comment else ""
        log.log(_LEVELS.get(task.phase, logging.INFO), "task %d: %s%s", task.id, task.phase, because)
        self._tell(task)

    def entered(self, tasks: Sequence[Task]) -> None:
        """Tells of tasks that were just handed over."""
        for task in tasks:
            self._tell(task)

    def progress(self, task: Task, progress: Progress) -> None:
        """Keeps the newest figures of a running task."""
        self._live[task.id] = replace(task, progress=progress)
        self._tell(self._live[task.id])

    def forget(self, task_id: int) -> None:
        """The task left our hands without a step that we may tell of."""
        self._live.pop(task_id, None)

    def overlaid(self, task: Task) -> Task:
        """The task as the table has it, with its live progress if it is in our hands."""
        live = self._live.get(task.id) if task.phase.held else None
        return replace(task, progress=live.progress) if live else task

    @property
    def live(self) -> Sequence[Task]:
        """The tasks in our hands."""
        return list(self._live.values())

    # --- for those who listen

    @contextmanager
    def listening(self, heard: Heard) -> Iterator[None]:
        """While the block lasts, `heard` is told of every step and every figure of a task."""
        self._listeners.append(heard)
        try:
            yield
        finally:
            self._listeners.remove(heard)

    async def moved(self, since: int) -> int:
        """Returns as soon as more was told than `since`, an earlier answer: a number that only grows."""
        while self._moves == since:
            self._awaited = True
            await self._moved.wait()
        return self._moves

    def _tell(self, task: Task) -> None:
        self._moves += 1
        if self._awaited:
            self._awaited = False
            self._moved.set()
            self._moved = asyncio.Event()
        for heard in self._listeners:
            heard(task)
