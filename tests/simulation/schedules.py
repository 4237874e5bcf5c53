"""A seed becomes a schedule: what users, other programs, operators and bad luck do, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from odl_daemon.model.task import Phase, Wish
from tests.simulation.daemon import Settings
from tests.simulation.sources import Source, draw_source

LENGTH = 30.0
"""Seconds in which things happen; then everybody has time to end."""

GARBAGE = ("", "not a link", "ftp://old.example/x", "http://", "http://a b/", "javascript:alert(1)", "\x00\ud800")

USERS = ("ann", "bob", "cyd")


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happens."""

    at: float
    """Seconds after the start, or after `upon`."""
    what: str
    which: float = 0.0
    """A number in [0, 1) that chooses among what is there at that moment: a task, a daemon."""
    seconds: float = 0.0
    word: str = ""
    source: Source | None = None
    upon: Phase | None = None
    """It happens when a task enters this phase for the first time, and not by the clock."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that one run needs; the same seed gives the same."""

    seed: int
    settings: Settings
    daemons: int
    lost_replies: float
    slow: float
    happenings: tuple[Happening, ...]


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    rng = Random(seed)
    settings = Settings(
        slots=rng.choice([1, 2, 3]),
        time_limit=rng.choice([4.0, 10.0, 25.0]),
        max_size=rng.choice([0, 0, 0, 1 << 20]),
        retries=rng.choice([0, 1, 2]),
        poll=rng.choice([2.0, 5.0]),
        lease=rng.choice([6.0, 12.0]),
        keep_failed=rng.choice([0.0, 0.0, 0.0, 5.0]),
        remote_library=rng.random() < 0.5,
        fuzz=rng.random() < 0.5,
    )
    daemons = rng.choice([1, 1, 2])
    rough = rng.random() < 0.75
    happenings = [*_asked(rng, settings), *(_faults(rng) if rough else [])]
    return Schedule(
        seed,
        settings,
        daemons,
        lost_replies=rng.choice([0.0, 0.0, 0.02]) if rough else 0.0,
        slow=rng.choice([0.001, 0.02, 0.1]),
        happenings=tuple(sorted(happenings, key=lambda happening: happening.at)),
    )


def _asked(rng: Random, settings: Settings) -> list[Happening]:
    """What users and other programs do."""
    count = rng.choice([1, 2, 3, 5])
    happenings = [_submit(rng, number, settings) for number in range(1, count + 1)]
    kinds = rng.choices(list(_OTHERS), weights=[kind.weight for kind in _OTHERS.values()], k=rng.choice([0, 1, 2, 4]))
    for kind in kinds:
        happenings.append(_aimed(rng, _OTHERS[kind].draw(rng, kind)))
        if kind == "wish" and rng.random() < 0.4:
            happenings.append(_second_thought(rng, happenings[-1]))
    return happenings


def _submit(rng: Random, number: int, settings: Settings) -> Happening:
    at = rng.choice([0.0, 0.0, 1.0, LENGTH / 2]) * rng.random()
    what = rng.choice(["submit", "submit", "insert"])
    source = draw_source(rng, number, settings.time_limit)
    return Happening(at, what, rng.random(), word=rng.choice(USERS), source=source)


@dataclass(frozen=True, slots=True)
class _Sort:
    weight: int
    draw: Callable[[Random, str], Happening]


def _wish(rng: Random, kind: str) -> Happening:
    return Happening(_sometime(rng), kind, rng.random(), word=str(rng.choice(list(Wish))))


def _second_thought(rng: Random, first: Happening) -> Happening:
    """Another wish for the same task, before or after the first one could be heard."""
    return replace(first, at=first.at + rng.choice([0.05, 0.2, 3.0]) * rng.random(), word=str(rng.choice(list(Wish))))


def _plain(rng: Random, kind: str) -> Happening:
    return Happening(_sometime(rng), kind, rng.random())


def _garbage(rng: Random, kind: str) -> Happening:
    return Happening(_sometime(rng), kind, rng.random(), word=rng.choice(GARBAGE))


def _lasting(rng: Random, kind: str) -> Happening:
    return Happening(_sometime(rng), kind, rng.random(), seconds=rng.choice([0.05, 1.0, 5.0, 20.0]) * rng.random())


def _sometime(rng: Random) -> float:
    return rng.choice([2.0, 10.0, LENGTH]) * rng.random()


_OTHERS = {
    "wish": _Sort(14, _wish),
    "delete": _Sort(1, _plain),
    "rewrite": _Sort(1, _plain),
    "set back": _Sort(1, _plain),
    "garbage": _Sort(1, _garbage),
    "retry failed": _Sort(1, _plain),
}


def _faults(rng: Random) -> list[Happening]:
    return [_aimed(rng, _lasting(rng, rng.choice(_FAULTS))) for _ in range(rng.choice([1, 1, 2, 3]))]


def _aimed(rng: Random, happening: Happening) -> Happening:
    """Half of everything happens at a tender moment."""
    if rng.random() < 0.5:
        return happening
    upon = rng.choice([Phase.QUEUED, Phase.FETCHING, Phase.COMMITTING, Phase.COMMITTING, Phase.WAITING, Phase.PAUSED])
    return replace(happening, upon=upon, at=rng.choice([0.0, 0.05, 0.5, 3.0]) * rng.random())


_FAULTS = ["crash", "crash", "freeze", "freeze", "stop", "outage", "disk full", "disabled", "steal"]
