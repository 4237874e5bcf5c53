"""Between a row of the two tables and a Task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from odl_daemon.model.lifecycle import READ_AS, SHOWN_AS
from odl_daemon.model.patience import micros
from odl_daemon.model.task import (
    Fetched,
    FetchedFile,
    Intent,
    Kind,
    Phase,
    Placement,
    Progress,
    Reason,
    Status,
    Task,
    Wish,
)
from odl_daemon.ports import Row
from odl_daemon.store.dialect import Dialect
from odl_daemon.store.schema import SHARED, SIDE

_PHASES = frozenset(phase.value for phase in Phase)

LONGEST_COMMENT = 2000
"""Characters; the shared column holds more, a reader's table cell does not."""


def both(dialect: Dialect) -> str:
    """SELECT of a shared row with its side row, for `task_of`; WHERE and so on follow."""
    return f"""SELECT r.odr_id, r.repo_id, r.path, r.url, r.owner, r.size, r.status, r.comment,
        {dialect.stamp} AS stamp,
        t.phase, t.wish, t.holder, t.epoch, t.due, t.attempt, t.strikes, t.spent, t.reason, t.kind, t.name, t.target,
        t.path_done, t.done, t.total, t.validator, t.sha256, t.fetched, t.intent, t.mark, t.created, t.changed
        FROM {SHARED} r LEFT JOIN {SIDE} t ON t.odr_id = r.odr_id"""


def mark_of(url: str, owner: str, stamp: object) -> str:
    """The fingerprint of a request: another one in the same row has another mark."""
    return hashlib.sha1("\0".join((url, owner, text(stamp))).encode("utf-8", "surrogatepass")).hexdigest()


def is_ours(row: Mapping[str, Any]) -> bool:
    """Whether the side row was made from this shared row, and not from another that had its id before."""
    return row["phase"] in _PHASES and row["mark"] == mark_of(text(row["url"]), text(row["owner"]), row["stamp"])


def task_of(row: Mapping[str, Any]) -> Task:
    """A task from both rows; a shared row without a side row of ours is read by its status alone."""
    if not is_ours(row):
        return _task_of_a_stranger(row)
    phase = Phase(row["phase"])
    done = phase is Phase.DONE
    return Task(
        id=row["odr_id"],
        owner=text(row["owner"]),
        library=text(row["repo_id"]),
        path=row["path_done"] if done and row["path_done"] else text(row["path"]),
        url=text(row["url"]),
        created=moment(row["created"]),
        changed=moment(row["changed"]),
        phase=phase,
        wish=Wish(row["wish"]) if row["wish"] else None,
        kind=Kind(row["kind"]),
        target=row["target"],
        name=row["name"],
        size=int(row["size"] or 0) if done else 0,
        sha256=row["sha256"],
        comment=text(row["comment"]),
        reason=Reason(row["reason"]),
        holder=row["holder"],
        epoch=row["epoch"],
        due=row["due"],
        attempt=row["attempt"],
        strikes=row["strikes"],
        spent=row["spent"],
        progress=Progress(row["done"], row["total"], 0, row["validator"]),
        fetched=_fetched_of(row["fetched"]),
        intent=_intent_of(row["intent"]),
        mark=row["mark"],
    )


def _task_of_a_stranger(row: Mapping[str, Any]) -> Task:
    status = status_of(row["status"])
    then = moment_of_stamp(row["stamp"])
    size = int(row["size"] or 0) if status is Status.OK else 0
    return Task(
        id=row["odr_id"],
        owner=text(row["owner"]),
        library=text(row["repo_id"]),
        path=text(row["path"]),
        url=text(row["url"]),
        created=then,
        changed=then,
        phase=READ_AS[status],
        target=text(row["path"]),
        size=size,
        comment=text(row["comment"]) if status not in (Status.QUEUING, Status.DOWNLOADING) else "",
        progress=Progress(size, size or None),
    )


def stranger_of(row: Mapping[str, Any]) -> Row:
    """A shared row for which no living task of ours exists."""
    owner, url = text(row["owner"]), text(row["url"])
    before = task_of(row) if is_ours(row) else None
    return Row(
        id=row["odr_id"],
        owner=owner,
        library=text(row["repo_id"]),
        path=text(row["path"]),
        url=url,
        status=status_of(row["status"]),
        comment=text(row["comment"]),
        mark=mark_of(url, owner, row["stamp"]),
        before=before,
    )


def side_values(task: Task, lease_until: int) -> dict[str, Any]:
    """The side row of a task, whole."""
    return {
        "odr_id": task.id,
        "owner": task.owner,
        "phase": str(task.phase),
        "wish": str(task.wish or ""),
        "holder": task.holder,
        "epoch": task.epoch,
        "lease_until": lease_until,
        "due": task.due,
        "attempt": task.attempt,
        "strikes": task.strikes,
        "spent": task.spent,
        "reason": str(task.reason),
        "kind": str(task.kind),
        "name": task.name,
        "target": task.target,
        "path_done": task.path if task.phase is Phase.DONE else "",
        "done": task.progress.done,
        "total": task.progress.total,
        "validator": task.progress.validator,
        "sha256": task.sha256,
        "fetched": _fetched_text(task.fetched),
        "intent": _intent_text(task.intent),
        "mark": task.mark,
        "ticket": "",
        "created": micros(task.created),
        "changed": micros(task.changed),
    }


def shown(task: Task, dialect: Dialect) -> tuple[int, str]:
    """Status and comment as the shared row shows them."""
    return int(SHOWN_AS[task.phase]), dialect.text(task.comment[:LONGEST_COMMENT])


def text(value: object) -> str:
    """A text column as text, whatever somebody put there."""
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def status_of(value: object) -> Status:
    try:
        return Status(int(str(value)))
    except ValueError:
        return Status.UNKNOWN


def moment(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1_000_000, tz=UTC)


def moment_of_stamp(stamp: object) -> datetime:
    """The shared row's timestamp, taken as UTC; the beginning of 1970 for what is no time at all."""
    try:
        return datetime.fromisoformat(text(stamp)[:19]).replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, tz=UTC)


# --- what is kept as JSON


def _fetched_text(fetched: Fetched | None) -> str:
    if fetched is None:
        return ""
    return json.dumps({"holder": fetched.holder, "files": [[file.name, file.size] for file in fetched.files]})


def _fetched_of(value: str) -> Fetched | None:
    if not value:
        return None
    kept = json.loads(value)
    return Fetched(tuple(FetchedFile(name, size) for name, size in kept["files"]), kept["holder"])


def _intent_text(intent: Intent | None) -> str:
    if intent is None:
        return ""
    files = [[file.source, file.path, file.size, file.sha256, file.object_id] for file in intent.files]
    return json.dumps({"path": intent.path, "files": files})


def _intent_of(value: str) -> Intent | None:
    if not value:
        return None
    kept = json.loads(value)
    return Intent(kept["path"], tuple(Placement(*file) for file in kept["files"]))
