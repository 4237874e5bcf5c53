"""What is happening right now, for whoever looks: the live progress of the tasks in our hands."""

from __future__ import annotations

import logging
from dataclasses import replace

from odl_daemon.model.task import Phase, Progress, Task

log = logging.getLogger(__name__)

_LEVELS = {Phase.QUEUED: logging.DEBUG, Phase.COMMITTING: logging.DEBUG, Phase.FAILED: logging.WARNING}
"""A small file passes through some phases in milliseconds: its end is the line worth its price."""


class News:
    """The one place that tells others of a step, and the live figures between two writes to the table."""

    def __init__(self) -> None:
        self._live: dict[int, Progress] = {}

    def publish(self, task: Task) -> None:
        """Tells of a task that has changed its phase, now that the table has it."""
        if not task.phase.held:
            self._live.pop(task.id, None)
        because = f" ({task.comment})" if task.comment else ""
        log.log(_LEVELS.get(task.phase, logging.INFO), "task %d: %s%s", task.id, task.phase, because)

    def progress(self, task_id: int, progress: Progress) -> None:
        """Keeps the newest figures of a running task."""
        self._live[task_id] = progress

    def forget(self, task_id: int) -> None:
        """The task left our hands without a step that we may tell of."""
        self._live.pop(task_id, None)

    def overlaid(self, task: Task) -> Task:
        """The task as the table has it, with its live progress if it is in our hands."""
        live = self._live.get(task.id) if task.phase.held else None
        return replace(task, progress=live) if live else task
