"""What a task waits for: the rule, its place in line, and since these never say it well enough, a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from odl_daemon.model.patience import clock_time
from odl_daemon.model.shares import Share, Used
from odl_daemon.model.task import Phase, Reason, Task


class Rule(StrEnum):
    """Why a task does not move; a limit is named by its key in the settings."""

    WISH = "wish"
    """Somebody asked for something, and a daemon has yet to look."""
    PAUSED = "paused"
    DAEMON = "daemon"
    """No daemon claims anything."""
    DISK = "disk"
    """[disk] floor: the disk has no room for it now."""
    RUNNING = "running"
    """[limits] running."""
    BYTES_PER_DAY = "bytes_per_day"
    """[limits] bytes_per_day."""
    RETRY = "retry"
    """An attempt failed, and the next one is not due yet."""
    SLOTS = "slots"
    """All transfer slots are busy."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why one task waits."""

    rule: Rule
    sentence: str
    place: int | None = None
    """Its place in its user's line, from 1; None where no line is."""
    until: datetime | None = None
    """When it goes on at the earliest, if that is known."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a daemon begins nothing at all."""

    rule: Rule
    sentence: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What has to be known of the world to say why a task waits."""

    now: datetime
    obstacle: Obstacle | None
    share: Share
    """The owner's."""
    used: Used
    """By the owner."""
    ahead: int
    """Waiting tasks of the same owner that come before it."""


def wait_of(task: Task, scene: Scene) -> Wait | None:
    """Why a task waits; None if it does not."""
    if task.wish is not None and not task.phase.held and not task.final:
        return Wait(Rule.WISH, f"somebody asked to {task.wish} it: that happens as soon as a daemon looks")
    match task.phase:
        case Phase.PAUSED:
            return Wait(Rule.PAUSED, "it is paused: resume it to go on")
        case Phase.QUEUED:
            return Wait(Rule.SLOTS, f"it is claimed by {task.holder} and stands in line for a transfer slot")
        case Phase.WAITING:
            return _until_due(task, scene) or _obstacle(scene) or _limit(scene) or _slots(scene)
        case _:
            return None


def _until_due(task: Task, scene: Scene) -> Wait | None:
    if task.due <= scene.now.timestamp() * 1e6:
        return None
    due = datetime.fromtimestamp(task.due / 1e6, tz=UTC)
    rule = _PUT_BACK.get(task.reason, Rule.RETRY)
    return Wait(rule, task.comment or f"it waits until {clock_time(due, scene.now)}", until=due)


_PUT_BACK = {Reason.DISK_FULL: Rule.DISK, Reason.OVER_LIMIT: Rule.BYTES_PER_DAY}


def _obstacle(scene: Scene) -> Wait | None:
    if scene.obstacle is None:
        return None
    return Wait(scene.obstacle.rule, scene.obstacle.sentence, scene.ahead + 1)


def _limit(scene: Scene) -> Wait | None:
    share, used, place = scene.share, scene.used, scene.ahead + 1
    if 0 < share.bytes_per_day <= used.bytes:
        at = used.below(share.bytes_per_day)
        sentence = (
            f"limit bytes_per_day: its user may fetch {share.bytes_per_day:,} bytes in 24 hours and has; "
            f"it goes on at {clock_time(at, scene.now)}, {ordinal(place)} in line"
        )
        return Wait(Rule.BYTES_PER_DAY, sentence, place, at)
    if 0 < share.running <= used.running:
        sentence = f"limit running: its user may have {share.running:,} at once and has; it is {ordinal(place)} in line"
        return Wait(Rule.RUNNING, sentence, place)
    return None


def _slots(scene: Scene) -> Wait:
    place = scene.ahead + 1
    return Wait(Rule.SLOTS, f"all transfer slots are busy; it is {ordinal(place)} in its user's line", place)


def ordinal(number: int) -> str:
    """Like 1st, 2nd, 3rd, 11th, 1,001st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
