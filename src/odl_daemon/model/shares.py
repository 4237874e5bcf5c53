"""What each user may take of this place: how many tasks at once and in line, how much a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

DAY: Final = 24
"""Hours; a day is the last so many, and not what a calendar calls so: nobody waits for midnight."""

HOUR: Final = timedelta(hours=1)

ENDLESS: Final = 1 << 62
"""More than anybody can take."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one user may take; 0 sets no limit."""

    running: int = 0
    """Tasks in daemons' hands at once."""
    queued: int = 0
    """Tasks that wait or are paused."""
    bytes_per_day: int = 0
    """Bytes that are fetched in 24 hours."""
    tasks_per_day: int = 0
    """Tasks that are handed over in 24 hours."""
    max_size: int = 0
    """Bytes of one file."""


@dataclass(frozen=True, slots=True)
class Group:
    """Users with a share of their own."""

    name: str
    users: tuple[str, ...]
    """Names, or patterns with `*`; capital and small letters are alike."""
    share: Share

    def has(self, owner: str) -> bool:
        return any(fnmatchcase(owner.casefold(), user.casefold()) for user in self.users)


@dataclass(frozen=True, slots=True)
class Used:
    """What one user has taken."""

    running: int = 0
    queued: int = 0
    tasks: int = 0
    """Handed over in the last 24 hours."""
    hours: tuple[tuple[int, int], ...] = ()
    """Bytes fetched in each of the last 24 hours that brought any: (hour since 1970, bytes), the oldest first."""

    @property
    def bytes(self) -> int:
        """Fetched in the last 24 hours."""
        return sum(count for _, count in self.hours)

    def below(self, limit: int) -> datetime:
        """When, if nothing more is fetched, the bytes of a day are fewer than `limit`: an hour's leave all at once."""
        left, at = self.bytes, datetime.fromtimestamp(0, tz=UTC)
        for hour, count in self.hours:
            if left < limit:
                break
            left -= count
            at = datetime.fromtimestamp(0, tz=UTC) + HOUR * (hour + DAY)
        return at


class Shares:
    """The shares of all users: a group's for its users, else everybody's."""

    def __init__(self, everybody: Share = Share(), groups: Sequence[Group] = ()) -> None:
        self._everybody = everybody
        self._groups = tuple(groups)
        every = [everybody, *(group.share for group in groups)]
        self.watch_claims = any(share.running or share.bytes_per_day for share in every)
        """Whether anything limits how many tasks may begin."""
        self.watch_doors = any(share.queued or share.tasks_per_day for share in every)
        """Whether anything limits how many tasks may be handed over."""

    def of(self, owner: str) -> Share:
        group = self._group(owner)
        return group.share if group else self._everybody

    def group_of(self, owner: str) -> str:
        """The name of the user's group, or ""."""
        group = self._group(owner)
        return group.name if group else ""

    def may_begin(self, owner: str, running: int, day: int) -> int:
        """How many more of a user's tasks may begin, when so many run and so many bytes came in the last day."""
        share = self.of(owner)
        if 0 < share.bytes_per_day <= day:
            return 0
        return max(share.running - running, 0) if share.running else ENDLESS

    def _group(self, owner: str) -> Group | None:
        return next((group for group in self._groups if group.has(owner)), None)


NO_LIMITS: Final = Shares()


def hour_of(at: datetime) -> int:
    """The hour since 1970 in which this moment lies."""
    return int(at.timestamp() // 3600)


class Tally:
    """Counts tasks on their way through a door against what their users may hand over."""

    def __init__(self, shares: Shares, used: Mapping[str, Used]) -> None:
        self._shares = shares
        self._queued = {owner: each.queued for owner, each in used.items()}
        self._tasks = {owner: each.tasks for owner, each in used.items()}

    def refusal(self, owner: str) -> str:
        """Counts one more task, and returns ""; or the sentence why it may not be handed over."""
        share = self._shares.of(owner)
        queued, tasks = self._queued.get(owner, 0), self._tasks.get(owner, 0)
        if 0 < share.tasks_per_day <= tasks:
            return (
                f"limit tasks_per_day: {owner} may hand over {share.tasks_per_day:,} links in 24 hours and has; "
                "hand it over again later"
            )
        if 0 < share.queued <= queued:
            return (
                f"limit queued: {owner} may have {share.queued:,} tasks waiting and has; "
                "hand it over again when some of them have ended"
            )
        self._queued[owner], self._tasks[owner] = queued + 1, tasks + 1
        return ""
