"""What stands behind a URL of the simulation: a file, and the ways in which bringing it can fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from odl_daemon.model.task import Reason
from odl_daemon.ports import Remedy, Trouble

SIZES = (0, 10, 1000, 1 << 20, 1 << 30)


@dataclass(frozen=True, slots=True)
class Try:
    """How one transfer goes."""

    seconds: float
    """Until the last byte, from a standing start."""
    waits: float = 0.0
    """Seconds after the slot is free until the transfer runs."""
    fails_at: float | None = None
    """The part of the bytes after which it fails."""
    trouble: str = ""
    """What it fails with; "stall" never says so."""
    after: float | None = None
    size_known: float = 0.0
    """The part of the bytes after which the size is known; above 1 = never."""
    silent: bool = False
    """It comes faster than anybody could look: no progress is told."""


@dataclass(slots=True)
class Source:
    """A file on the internet."""

    url: str
    size: int
    tries: list[Try]
    """One after the other; the last one for ever."""
    commits: list[str] = field(default_factory=list)
    """What goes wrong with its commits, one after the other; then nothing does."""
    target_trouble: str = ""
    """What the library says to the target folder."""
    tried: int = 0
    ambiguous: bool = False
    """A commit of it wrote the file and said that it failed."""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2] or "download"

    def next_try(self) -> Try:
        chosen = self.tries[min(self.tried, len(self.tries) - 1)]
        self.tried += 1
        return chosen

    def next_commit(self) -> str:
        return self.commits.pop(0) if self.commits else ""


REMEDIES = {
    "none": (Reason.NOT_FOUND, Remedy.NONE),
    "retry": (Reason.SERVER_ERROR, Remedy.RETRY),
    "wipe": (Reason.CHANGED, Remedy.WIPE),
    "host": (Reason.HOST_TROUBLE, Remedy.HOST),
}


def trouble(kind: str, after: float | None = None) -> Trouble:
    reason, remedy = REMEDIES[kind]
    return Trouble(reason, f"a trouble of the sort {kind!r}", remedy, after=after)


def draw_source(rng: Random, number: int, time_limit: float) -> Source:
    """Most are good and quick; some fail for a while, some for ever, some are slow."""
    name = rng.choice(["a.bin", "a.bin", "b.tar.gz", f"file-{number}"])
    url = f"http://{rng.choice('xyz')}.example/{number if rng.random() < 0.8 else 0}/{name}"
    tries = [_draw_bad(rng) for _ in range(rng.choice([0, 0, 0, 1, 1, 2]))]
    match rng.random():
        case chance if chance < 0.08:
            tries.append(_draw_bad(rng, ["none", "retry", "wipe"]))
        case chance if chance < 0.16:
            tries.append(_draw_good(rng, rng.uniform(0.9, 3.0) * time_limit))
        case chance if chance < 0.2:
            tries.append(Try(5.0, fails_at=rng.random(), trouble="stall"))
        case _:
            tries.append(_draw_good(rng, rng.choice([0.05, 0.5, 2.0, 6.0]) * rng.uniform(0.5, 1.5)))
    sorts = ["", "", "before", "ambiguous", "taken", "slow"]
    commits = [rng.choice(sorts) for _ in range(rng.choice([0, 0, 0, 1, 2]))]
    refused = rng.choice(["none", "retry"]) if rng.random() < 0.03 else ""
    return Source(url, rng.choice(SIZES), tries, commits, refused)


def _draw_good(rng: Random, seconds: float) -> Try:
    return Try(
        seconds,
        waits=rng.choice([0.0, 0.0, 0.3, 2.0]),
        size_known=rng.choice([0.0, 0.0, 0.5, 2.0]),
        silent=seconds < 0.2 and rng.random() < 0.5,
    )


def _draw_bad(rng: Random, kinds: Sequence[str] = ("none", "retry", "retry", "retry", "wipe", "host")) -> Try:
    kind = rng.choice(kinds)
    after = rng.choice([None, None, 5.0, 20.0]) if kind == "retry" else None
    return Try(rng.uniform(0.1, 4.0), waits=rng.choice([0.0, 1.0]), fails_at=rng.random(), trouble=kind, after=after)
