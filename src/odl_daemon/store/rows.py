"""A row of the two tables, as a Task, and back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from odl_daemon.model.lifecycle import READ_AS, SHOWN_AS
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
from odl_daemon.store.session import SqlRow, SqlValue, number_of, text_of

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST: Final = 2**63 - 1
LONGEST_TEXT: Final = 65_535
"""Bytes that a TEXT column of MySQL holds."""

SHARED: Final = "r.odr_id, r.repo_id, r.path, r.url, r.owner, CAST(r.timestamp AS CHAR), r.size, r.status, r.comment"
"""What is read of the shared table (as r). The time is read as text: a row of others may hold 0000-00-00."""

SIDE_COLUMNS: Final = (
    *("phase", "wish", "holder", "epoch", "lease_until", "due", "attempt", "strikes", "spent", "reason", "kind"),
    *("name", "target", "path_done", "done", "total", "validator", "sha256", "fetched", "intent", "mark"),
    *("created", "changed", "mkdir"),
)
SIDE: Final = ", ".join(f"t.{column}" for column in SIDE_COLUMNS)
"""What is read of our side table (as t), after SHARED."""

BOTH: Final = f"{SHARED}, {SIDE}"


@dataclass(frozen=True, slots=True)
class SharedRow:
    """A row of the shared table; whatever stands in it, it can be read."""

    id: int
    library: str
    path: str
    url: str
    owner: str
    timestamp: str
    size: int
    status: Status
    comment: str

    @property
    def mark(self) -> str:
        """Fingerprint of the request in it: another url, owner or time is another request."""
        return mark_of(self.url, self.owner, self.timestamp)


def mark_of(url: str, owner: str, timestamp: str) -> str:
    """SHA-1, in hex, of what tells one request from another."""
    text = "\0".join((url, owner, timestamp))
    return hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def shared_row(row: SqlRow) -> SharedRow:
    """The SHARED columns of a row."""
    number, library, path, url, owner, timestamp, size, status, comment = row[:9]
    return SharedRow(
        number_of(number),
        text_of(library),
        text_of(path),
        text_of(url),
        text_of(owner),
        text_of(timestamp),
        number_of(size),
        status_of(status),
        text_of(comment),
    )


def status_of(value: SqlValue) -> Status:
    """A status number; one that nobody defined is UNKNOWN."""
    try:
        return Status(number_of(value))
    except ValueError:
        return Status.UNKNOWN


def task_of(row: SqlRow) -> Task:
    """The task of a row that was read as BOTH: by our side of it, if that is about the same request, else by
    the shared status alone."""
    shared, side = shared_row(row), dict(zip(SIDE_COLUMNS, row[9:], strict=True))
    if side["phase"] is None or text_of(side["mark"]) != shared.mark:
        return stranger_of(shared)
    return known_task(shared, side)


def stranger_of(shared: SharedRow) -> Task:
    """A row that is none of ours, read by its status alone."""
    at = _time_of(shared.timestamp)
    return Task(
        shared.id,
        shared.owner,
        shared.library,
        shared.path,
        shared.url,
        created=at,
        changed=at,
        phase=READ_AS[shared.status],
        target=shared.path,
        size=shared.size,
        comment=shared.comment,
        mark=shared.mark,
    )


def known_task(shared: SharedRow, side: dict[str, SqlValue]) -> Task:
    """The task whose two rows these are."""
    total = side["total"]
    return Task(
        id=shared.id,
        owner=shared.owner,
        library=shared.library,
        path=shared.path,
        url=shared.url,
        created=moment(number_of(side["created"])),
        changed=moment(number_of(side["changed"])),
        phase=_word(Phase, side["phase"], Phase.UNKNOWN),
        wish=wish_of(side["wish"]),
        kind=_word(Kind, side["kind"], Kind.URL),
        target=text_of(side["target"]),
        name=text_of(side["name"]),
        size=shared.size,
        sha256=text_of(side["sha256"]),
        comment=shared.comment,
        reason=_word(Reason, side["reason"], Reason.INTERNAL),
        holder=text_of(side["holder"]),
        epoch=number_of(side["epoch"]),
        due=number_of(side["due"]),
        attempt=number_of(side["attempt"]),
        strikes=number_of(side["strikes"]),
        spent=float(side["spent"] or 0.0),
        progress=Progress(
            number_of(side["done"]), None if total is None else number_of(total), 0, text_of(side["validator"])
        ),
        fetched=_fetched(text_of(side["fetched"])),
        intent=_intent(text_of(side["intent"])),
        mark=text_of(side["mark"]),
        mkdir=bool(side["mkdir"]),
    )


def side_values(task: Task, *, lease_until: int = 0, wish: str | None = None) -> dict[str, SqlValue]:
    """Our side of a task, as columns. `wish` stands instead of the task's own, where the row knows better."""
    return {
        "odr_id": task.id,
        "owner": task.owner,
        "phase": str(task.phase),
        "wish": str(task.wish or "") if wish is None else wish,
        "holder": task.holder,
        "epoch": task.epoch,
        "lease_until": lease_until,
        "due": bounded(task.due),
        "attempt": task.attempt,
        "strikes": task.strikes,
        "spent": task.spent,
        "reason": str(task.reason),
        "kind": str(task.kind),
        "name": fitting(task.name),
        "target": fitting(task.target),
        "path_done": fitting(task.path) if task.phase is Phase.DONE else "",
        "done": bounded(task.progress.done),
        "total": None if task.progress.total is None else bounded(task.progress.total),
        "validator": fitting(task.progress.validator),
        "sha256": task.sha256,
        "fetched": "" if task.fetched is None else json.dumps(asdict(task.fetched), ensure_ascii=False),
        "intent": "" if task.intent is None else json.dumps(asdict(task.intent), ensure_ascii=False),
        "mark": task.mark,
        "created": micros(task.created),
        "changed": micros(task.changed),
        "mkdir": int(task.mkdir),
    }


def shared_values(task: Task) -> dict[str, SqlValue]:
    """What a step shows in the shared row; the path is another matter."""
    return {
        "odr_id": task.id,
        "status": int(SHOWN_AS[task.phase]),
        "comment": fitting(task.comment),
        "size": bounded(task.size),
    }


def fitting(text: str) -> str:
    """A text cut to what a TEXT column holds, and without the halves of characters that no database takes."""
    encoded = text.encode("utf-8", "replace")
    return encoded[:LONGEST_TEXT].decode("utf-8", "ignore") if len(encoded) > LONGEST_TEXT else encoded.decode()


def bounded(number: int) -> int:
    """A number cut to what a BIGINT holds: sizes come from strangers."""
    return max(-LARGEST, min(number, LARGEST))


def micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(number: int) -> datetime:
    """The time of so many microseconds since 1970."""
    try:
        return EPOCH + timedelta(microseconds=number)
    except OverflowError:
        return EPOCH


def wish_of(value: SqlValue) -> Wish | None:
    word = text_of(value)
    return Wish(word) if word in _WISHES else None


_WISHES: Final = frozenset(str(wish) for wish in Wish)

W = TypeVar("W", bound=StrEnum)


def _word(words: type[W], value: SqlValue, otherwise: W) -> W:
    try:
        return words(text_of(value))
    except ValueError:
        return otherwise


def _time_of(text: str) -> datetime:
    """The time of a row of others; one that cannot be read is 1970."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return EPOCH
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _fetched(text: str) -> Fetched | None:
    if not text:
        return None
    try:
        read = json.loads(text)
        return Fetched(tuple(FetchedFile(**file) for file in read["files"]), read["holder"])
    except (ValueError, TypeError, KeyError):
        return None  # of a version that we do not know: it is fetched anew


def _intent(text: str) -> Intent | None:
    if not text:
        return None
    try:
        read = json.loads(text)
        return Intent(read["path"], tuple(Placement(**file) for file in read["files"]))
    except (ValueError, TypeError, KeyError):
        return None  # of a version that we do not know: the library looks whether the file is there
