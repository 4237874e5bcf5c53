"""What a walk came to, decided from the facts: the event, what the task looks like then, and whether its bytes go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from odl_daemon.engine.run import Run
from odl_daemon.model.lifecycle import Event
from odl_daemon.model.patience import Patience, clock_time, micros
from odl_daemon.model.task import Phase, Progress, Reason, Task
from odl_daemon.ports import LeaseLost, Remedy, Trouble

HOST_WAIT = 15.0
"""Seconds until claims go on after a trouble of this host, a full disk for example."""

ROOM_WAIT = 15.0
"""Seconds until a task that found no room is tried again, where nobody knows better."""

LONGEST_HOST_WAIT = 600.0
"""Seconds; a task that met a trouble of this host waits at most so long for its next chance."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one task may take."""

    time_limit: float = 1800.0
    """Seconds in FETCHING, all attempts together."""
    max_size: int = 0
    """Bytes; 0 = no limit."""
    keep_failed: float = 0.0
    """Seconds that the bytes of a failed task are kept."""
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Ending:
    """What a walk came to: the event that ends it here, and what the task looks like then."""

    event: Event
    changes: dict[str, Any]
    wipe: bool = False
    """The bytes in the scratch folder are of no use any longer."""


class Endings:
    """Judges attempts by the limits that hold now."""

    def __init__(
        self,
        limits: Limits,
        *,
        host_trouble: Callable[[Trouble, float], None],
        clock: Callable[[], datetime],
        rng: Random,
    ) -> None:
        """`host_trouble` is told of a trouble of this host, and for how many seconds nothing shall be claimed."""
        self.limits = limits
        self._host_trouble = host_trouble
        self._clock = clock
        self._rng = rng

    def left(self, run: Run) -> Ending:
        """The ending of a walk that was left, decided from the facts."""
        if run.lost:
            raise LeaseLost
        if run.changed_outside:
            return Ending(Event.ABANDONED, _kept(run), wipe=True)
        if run.granted is not None:
            changes = _kept(run) | {"comment": str(run.granted)}
            return Ending(run.granted, changes, wipe=run.granted is Event.CANCELLED)
        if run.stopping:
            return Ending(Event.ABANDONED, _kept(run))
        limit = self.limits.time_limit
        sentence = f"the time limit of {limit:g} s was exceeded"
        return Ending(Event.EXPIRED, _kept(run) | _why(Reason.TIME_LIMIT, sentence), wipe=not self.limits.keep_failed)

    def after(self, trouble: Trouble, run: Run) -> Ending:
        """The ending of an attempt that failed: another one later, or none."""
        fetching = run.task.phase is not Phase.COMMITTING
        gained = fetching and run.progress.done > run.before and trouble.remedy is not Remedy.WIPE
        if trouble.remedy is Remedy.WAIT:
            return self._put_back(trouble, _kept(run))
        strikes = 1 if gained else run.task.strikes + 1
        lasting = trouble.remedy is Remedy.HOST or not fetching
        changes = _kept(run) | {"strikes": strikes}
        if trouble.remedy is Remedy.NONE:
            return self._failed(trouble, trouble.sentence, changes)
        if self.limits.patience.exhausted(strikes, lasting=lasting):
            return self._failed(trouble, f"{trouble.sentence} (given up after {strikes} attempts)", changes)
        if trouble.remedy is Remedy.HOST:
            return self._wait_for_the_host(trouble, strikes, changes)
        return self._retried(trouble, strikes, run, changes)

    def _failed(self, trouble: Trouble, sentence: str, changes: dict[str, Any]) -> Ending:
        keep = self.limits.keep_failed > 0
        changes |= _why(trouble.reason, sentence) | ({} if keep else {"fetched": None})
        return Ending(Event.FAILED, changes, wipe=not keep)

    def _retried(self, trouble: Trouble, strikes: int, run: Run, changes: dict[str, Any]) -> Ending:
        wait = self.limits.patience.wait(strikes, trouble.after, self._rng)
        now = self._clock()
        at = now + timedelta(seconds=wait)
        sentence = f"retry at {clock_time(at, now)}: {trouble.sentence}"
        changes |= _why(trouble.reason, sentence) | {"attempt": run.task.attempt + 1, "due": micros(at)}
        if trouble.remedy is Remedy.WIPE:
            changes |= {"fetched": None}
        return Ending(Event.RETRIED, changes, wipe=trouble.remedy is Remedy.WIPE)

    def _put_back(self, trouble: Trouble, changes: dict[str, Any]) -> Ending:
        """Nothing failed: the task goes back into the line, with the bytes that it has, and others go on."""
        now = self._clock()
        at = now + timedelta(seconds=trouble.after or ROOM_WAIT)
        changes |= _why(trouble.reason, f"waits: {trouble.sentence}") | {"due": micros(at)}
        return Ending(Event.ABANDONED, changes)

    def _wait_for_the_host(self, trouble: Trouble, strikes: int, changes: dict[str, Any]) -> Ending:
        """The host's trouble is not the task's fault: no attempt is counted, and nobody else is claimed for a while."""
        self._host_trouble(trouble, HOST_WAIT)
        wait = min(HOST_WAIT * 2.0 ** min(strikes - 1, 10), LONGEST_HOST_WAIT)
        due = micros(self._clock() + timedelta(seconds=wait))
        return Ending(Event.ABANDONED, changes | _why(trouble.reason, f"waits: {trouble.sentence}") | {"due": due})


def committed(task: Task) -> Ending:
    """The ending of a task whose files are in the library."""
    intent = task.intent
    assert intent is not None, "a commit has an intent"
    sha256 = intent.files[0].sha256 if len(intent.files) == 1 else ""
    done = Progress(intent.size, intent.size, 0, task.progress.validator)
    changes = {"path": intent.path, "size": intent.size, "sha256": sha256, "progress": done}
    return Ending(Event.COMMITTED, changes, wipe=True)


def unforeseen() -> Trouble:
    sentence = "an internal error; the administrator finds it in the daemon's log"
    return Trouble(Reason.INTERNAL, sentence, Remedy.RETRY)


def _kept(run: Run) -> dict[str, Any]:
    """What the row shall remember of this attempt."""
    return {"progress": replace(run.beat.progress, speed=0)}


def _why(reason: Reason, sentence: str) -> dict[str, Any]:
    return {"reason": reason, "comment": sentence}
