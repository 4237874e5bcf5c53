"""The state machine of a task, whole, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from odl_daemon.model.task import Phase, Reason, Status, Task, Wish


class Event(StrEnum):
    """What can happen to a task."""

    CLAIMED = "claimed"
    STARTED = "started"
    KEPT = "kept"
    """Claimed, and its bytes are here from an earlier attempt."""
    FETCHED = "fetched"
    COMMITTED = "committed"
    RETRIED = "retried"
    """This attempt failed; another one follows by itself."""
    ABANDONED = "abandoned"
    """Let go without an outcome (shutdown, crash, host trouble): the next holder goes on."""
    PAUSED = "paused"
    RESUMED = "resumed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REVIVED = "revived"
    """Its user asked for another try."""
    RENEWED = "renewed"
    """Somebody set the ended row back to WAITING: submitted anew."""


class IllegalStep(Exception):
    """This event cannot happen to a task in this phase."""


W, Q, P, F, C = Phase.WAITING, Phase.QUEUED, Phase.PAUSED, Phase.FETCHING, Phase.COMMITTING

STEPS: Final[Mapping[tuple[Phase, Event], Phase]] = {
    # the usual way
    (W, Event.CLAIMED): Q,
    (Q, Event.STARTED): F,
    (Q, Event.KEPT): C,
    (F, Event.FETCHED): C,
    (C, Event.COMMITTED): Phase.DONE,
    # it came faster than anybody could look
    (Q, Event.FETCHED): C,
    # the file was in the library already, from before a crash
    (W, Event.COMMITTED): Phase.DONE,
    (P, Event.COMMITTED): Phase.DONE,
    (Q, Event.COMMITTED): Phase.DONE,
    (F, Event.COMMITTED): Phase.DONE,
    # back to the queue
    (Q, Event.RETRIED): W,
    (F, Event.RETRIED): W,
    (C, Event.RETRIED): W,
    (Q, Event.ABANDONED): W,
    (F, Event.ABANDONED): W,
    (C, Event.ABANDONED): W,
    # set aside
    (W, Event.PAUSED): P,
    (Q, Event.PAUSED): P,
    (F, Event.PAUSED): P,
    (P, Event.RESUMED): W,
    # the other ends
    (W, Event.FAILED): Phase.FAILED,
    (Q, Event.FAILED): Phase.FAILED,
    (F, Event.FAILED): Phase.FAILED,
    (C, Event.FAILED): Phase.FAILED,
    (Q, Event.EXPIRED): Phase.EXPIRED,
    (F, Event.EXPIRED): Phase.EXPIRED,
    (W, Event.CANCELLED): Phase.CANCELLED,
    (Q, Event.CANCELLED): Phase.CANCELLED,
    (P, Event.CANCELLED): Phase.CANCELLED,
    (F, Event.CANCELLED): Phase.CANCELLED,
    (C, Event.CANCELLED): Phase.CANCELLED,
    # once more
    (W, Event.REVIVED): W,
    (Phase.FAILED, Event.REVIVED): W,
    (Phase.CANCELLED, Event.REVIVED): W,
    (Phase.EXPIRED, Event.REVIVED): W,
    (Phase.DONE, Event.RENEWED): W,
    (Phase.FAILED, Event.RENEWED): W,
    (Phase.CANCELLED, Event.RENEWED): W,
    (Phase.EXPIRED, Event.RENEWED): W,
}

SHOWN_AS: Final[Mapping[Phase, Status]] = {
    Phase.WAITING: Status.WAITING,
    Phase.QUEUED: Status.QUEUING,
    Phase.PAUSED: Status.QUEUING,  # not transferring, not over
    Phase.FETCHING: Status.DOWNLOADING,
    Phase.COMMITTING: Status.DOWNLOADING,  # not OK: the user has no file yet
    Phase.DONE: Status.OK,
    Phase.FAILED: Status.ERROR,
    Phase.CANCELLED: Status.ERROR,  # readers must see an end, and no number is added
    Phase.EXPIRED: Status.TLE,
    Phase.UNKNOWN: Status.UNKNOWN,
}

READ_AS: Final[Mapping[Status, Phase]] = {
    Status.UNKNOWN: Phase.UNKNOWN,
    Status.WAITING: Phase.WAITING,
    Status.QUEUING: Phase.QUEUED,
    Status.DOWNLOADING: Phase.FETCHING,
    Status.OK: Phase.DONE,
    Status.ERROR: Phase.FAILED,
    Status.TLE: Phase.EXPIRED,
}
"""The phase of a row that is none of ours, read from its status alone."""

GRANTED_BY: Final[Mapping[Wish, Event]] = {
    Wish.PAUSE: Event.PAUSED,
    Wish.RESUME: Event.RESUMED,
    Wish.CANCEL: Event.CANCELLED,
    Wish.RETRY: Event.REVIVED,
}

_AGAIN: Final[dict[str, Any]] = {
    "attempt": 1,
    "strikes": 0,
    "spent": 0.0,
    "due": 0,
    "reason": Reason.NONE,
    "comment": "",
}

_EFFECTS: Final[Mapping[Event, Mapping[str, Any]]] = {
    Event.CLAIMED: {"reason": Reason.NONE, "comment": ""},
    Event.STARTED: {"reason": Reason.NONE, "comment": ""},
    Event.KEPT: {"reason": Reason.NONE, "comment": ""},
    Event.COMMITTED: {"reason": Reason.NONE, "comment": "", "fetched": None},
    Event.RESUMED: {"reason": Reason.NONE, "comment": "", "due": 0},
    Event.CANCELLED: {"reason": Reason.CANCELLED, "fetched": None},
    Event.REVIVED: _AGAIN,
    Event.RENEWED: _AGAIN | {"fetched": None, "intent": None, "size": 0, "sha256": ""},
}


CLAIMED_ONLY: Final = -1
BEGUN: Final = -2
CUT_OFF: Final = -3
"""`due` of interrupted work: first what its holder died over while he committed it, then what had a byte."""


def allows(phase: Phase, event: Event) -> bool:
    """Whether `event` can happen to a task in `phase`."""
    return (phase, event) in STEPS


def grants(phase: Phase, wish: Wish) -> bool:
    """Whether a wish can be carried out in `phase`."""
    return allows(phase, GRANTED_BY[wish])


def advance(task: Task, event: Event, *, at: datetime, **changes: Any) -> Task:
    """The task after `event`: its phase by STEPS, what the event always brings, then `changes`.

    `at` becomes `changed`. A step out of a held phase into one that nobody holds lets go of the lease, and
    every step away settles the wish that it grants. Raises IllegalStep for a pair that STEPS does not list.
    """
    phase = STEPS.get((task.phase, event))
    if phase is None:
        raise IllegalStep(f"task {task.id}: {event} cannot happen while {task.phase}")
    effects: dict[str, Any] = {"phase": phase, "changed": at, **_EFFECTS.get(event, {})}
    if event is Event.ABANDONED:
        effects["due"] = CLAIMED_ONLY if task.phase is Phase.QUEUED else BEGUN
    if not phase.held:
        effects["holder"] = ""
        effects["wish"] = None
    return replace(task, **(effects | changes))
