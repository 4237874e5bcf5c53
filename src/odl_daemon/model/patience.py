"""When a task is tried again, and when it is given up: pure choices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

LONGEST_WAIT = 3600.0
"""Seconds; no back-off grows beyond it."""

LASTING_FACTOR = 4
"""A failed commit, or a trouble of this host, is tried this many times as often: the bytes were paid for already."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how soon an attempt that failed is followed by another."""

    retries: int = 5
    """Failures in a row that brought no new byte before the task is given up."""
    first_wait: float = 10.0
    """Seconds before the first retry; each further one doubles it."""

    def exhausted(self, strikes: int, *, lasting: bool) -> bool:
        """Whether this many failures in a row are too many."""
        return strikes > self.retries * (LASTING_FACTOR if lasting else 1)

    def wait(self, strikes: int, asked: float | None, rng: Random) -> float:
        """Seconds until the next attempt: doubling, spread by a tenth, at least what the other side asked for."""
        doubled = self.first_wait * 2.0 ** min(max(strikes, 1) - 1, 20)
        spread = min(doubled, LONGEST_WAIT) * rng.uniform(0.9, 1.1)
        return max(spread, min(asked or 0.0, LONGEST_WAIT))


def clock_time(at: datetime, now: datetime) -> str:
    """A moment as a user reads it on the wall: with seconds if it is near, with the date if it is far."""
    local = at.astimezone()
    if at - now < timedelta(minutes=2):
        return f"{local:%H:%M:%S}"
    if at - now < timedelta(hours=12):
        return f"{local:%H:%M}"
    return f"{local:%Y-%m-%d %H:%M}"


def micros(at: datetime) -> int:
    """Microseconds since 1970 (UTC) of an aware time."""
    return int(at.timestamp() * 1_000_000)
