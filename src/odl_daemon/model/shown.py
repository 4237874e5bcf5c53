"""A task as programs see it: the one JSON form that every door gives out."""

from __future__ import annotations

from datetime import UTC, datetime

from odl_daemon.model.lifecycle import SHOWN_AS
from odl_daemon.model.task import Phase, Progress, Task


def as_json(task: Task) -> dict[str, object]:
    """The task as a JSON object: sizes in bytes, speed in bytes a second, times in UTC with microseconds; null
    for what is unknown, or none."""
    status, progress = SHOWN_AS[task.phase], _progress(task)
    return {
        "id": task.id,
        "owner": task.owner,
        "library": task.library,
        "path": task.path,
        "url": task.url,
        "kind": task.kind.value,
        "status": status.value,
        "status_name": status.name,
        "phase": task.phase.value,
        "wish": task.wish.value if task.wish else None,
        "size": task.size if task.phase is Phase.DONE else 0,
        "done": progress.done,
        "total": progress.total,
        "speed": progress.speed,
        "attempt": task.attempt,
        "reason": task.reason.value or None,
        "comment": task.comment,
        "created": _moment(task.created),
        "changed": _moment(task.changed),
        "sha256": task.sha256 or None,
    }


def _progress(task: Task) -> Progress:
    """What is here of it: all of it once it is done, and nothing moves unless it is being fetched."""
    if task.phase is Phase.DONE:
        return Progress(task.size, task.size)
    moving = task.phase is Phase.FETCHING
    return Progress(task.progress.done, task.progress.total, task.progress.speed if moving else 0)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
