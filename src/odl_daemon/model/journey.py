"""The whole way of a file, from its source into the library, as one bar and one time to go."""

from __future__ import annotations

import math
from typing import NamedTuple

from odl_daemon.model.task import Phase, Progress, Task


class Journey(NamedTuple):
    """Where a task is on its way."""

    part: float | None
    """How much of the way is behind it, from 0 to 1, weighed by the time that its two legs take; None while the length
    of the way is not known."""
    left: float | None
    """Seconds to go; None while nothing moves, or nobody knows."""


def journey(task: Task) -> Journey:
    """The way of this task as it looks now."""
    progress = task.progress
    if task.phase is Phase.DONE:
        return Journey(1.0, None)
    if not progress.total:
        return Journey(None, None)
    return Journey(_part(task, progress, progress.total), _left(task, progress, progress.total))


def _part(task: Task, progress: Progress, total: int) -> float:
    pace = _fetching_pace(task, progress)
    if not 0 < pace < math.inf:
        return min(progress.done / total, 1.0)
    fetching = total / pace
    saving = total / _saving_pace(progress)
    behind = fetching * progress.done / total + saving * progress.saved / total
    return min(max(behind / (fetching + saving), 0.0), 1.0)


def _left(task: Task, progress: Progress, total: int) -> float | None:
    to_save = max(total - progress.saved, 0) / _saving_pace(progress)
    if task.phase is Phase.COMMITTING:
        return to_save
    if task.phase is Phase.FETCHING and progress.speed:
        return max(total - progress.done, 0) / progress.speed + to_save
    return None


def _fetching_pace(task: Task, progress: Progress) -> float:
    """Bytes per second; 0 if nothing shows it."""
    if task.phase is Phase.FETCHING:
        return float(progress.speed)
    return progress.done / task.spent if task.spent else 0.0


def _saving_pace(progress: Progress) -> float:
    """Bytes per second; infinite where nobody who has the task has told it: then the first leg is the whole bar."""
    return max(progress.saving, 1.0) if progress.saving else math.inf
