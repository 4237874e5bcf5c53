"""A task as programs see it: the one JSON form that every door gives out."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import SplitResult, unquote, urlsplit

from odl_daemon.model.journey import journey
from odl_daemon.model.lifecycle import SHOWN_AS
from odl_daemon.model.remedies import action_for
from odl_daemon.model.task import Phase, Progress, Task
from odl_daemon.model.waiting import Wait


def as_json(task: Task, wait: Wait | None = None) -> dict[str, object]:
    """The task as a JSON object: sizes in bytes, speed in bytes a second, `progress` from 0 to 1 and `eta` in seconds
    for the whole way into the library, times in UTC with microseconds; `waits_for` says why it does not move; null for
    what is unknown, or none."""
    status, progress, way = SHOWN_AS[task.phase], _progress(task), journey(task)
    return {
        "id": task.id,
        "owner": task.owner,
        "library": task.library,
        "path": task.path,
        "url": task.url,
        "name": shown_name(task),
        "host": _host(task.url),
        "kind": task.kind.value,
        "status": status.value,
        "status_name": status.name,
        "phase": task.phase.value,
        "wish": task.wish.value if task.wish else None,
        "size": task.size if task.phase is Phase.DONE else 0,
        "done": progress.done,
        "total": progress.total,
        "speed": progress.speed,
        "saved": progress.saved,
        "progress": None if way.part is None else round(way.part, 4),
        "eta": None if way.left is None else round(way.left),
        "waits_for": wait and waiting(wait),
        "attempt": task.attempt,
        "reason": task.reason.value or None,
        "comment": task.comment,
        "action": action_for(task),
        "created": moment_as_json(task.created),
        "changed": moment_as_json(task.changed),
        "sha256": task.sha256 or None,
    }


def shown_name(task: Task) -> str:
    """What its file is called, as far as that is known: the library's name for it, the one that was asked for, or what
    the link ends with."""
    if task.phase is Phase.DONE:
        return task.path.rpartition("/")[2]
    if task.intent is not None:
        return task.intent.path.rpartition("/")[2]
    if task.name:
        return task.name
    last = unquote(_parts(task.url).path.rstrip("/").rpartition("/")[2])
    return "".join(c for c in last if c.isprintable()) or _host(task.url)


def _host(url: str) -> str:
    return _parts(url).hostname or ""


def _parts(url: str) -> SplitResult:
    """The row of a stranger may hold anything."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def waiting(wait: Wait) -> dict[str, object]:
    """Why a task waits: `rule` is a word for programs, `place` counts from 1 in its user's line."""
    until = None if wait.until is None else moment_as_json(wait.until)
    return {"rule": wait.rule.value, "place": wait.place, "until": until, "sentence": wait.sentence}


def _progress(task: Task) -> Progress:
    """What is here of it: all of it once it is done, and nothing moves unless it is being fetched."""
    if task.phase is Phase.DONE:
        return Progress(task.size, task.size, saved=task.size)
    moving = task.phase in (Phase.FETCHING, Phase.COMMITTING)
    saved = task.progress.saved if task.phase is Phase.COMMITTING else 0
    return Progress(task.progress.done, task.progress.total, task.progress.speed if moving else 0, saved=saved)


def moment_as_json(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
