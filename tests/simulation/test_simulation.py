"""The engine against bad luck: many seeded schedules in virtual time, each held against the laws.

ODL_SIM_SEED=n plays one schedule alone, ODL_SIM_COUNT=n so many. A failure tells the story of its seed.
"""

from __future__ import annotations

import os
import re

import pytest

from tests.simulation.play import check, tell

COUNT = int(os.environ.get("ODL_SIM_COUNT", "1500"))
ONE = os.environ.get("ODL_SIM_SEED")
AT_ONCE = 500

RANGES = (
    [range(int(ONE), int(ONE) + 1)] if ONE else [range(n, min(n + AT_ONCE, COUNT)) for n in range(0, COUNT, AT_ONCE)]
)


@pytest.mark.parametrize("seeds", RANGES, ids=lambda seeds: f"seeds {seeds.start} to {seeds.stop - 1}")
def test_no_schedule_breaks_a_law(seeds: range) -> None:
    for seed in seeds:
        check(seed)


def test_the_same_seed_tells_the_same_story() -> None:
    for seed in range(20):
        assert tell(seed) == tell(seed)


def test_the_schedules_reach_every_way_of_the_lifecycle() -> None:
    """A simulation in which nothing happens would prove nothing."""
    story = "\n".join(tell(seed) for seed in range(300))
    ends = [" -> done", " -> failed", " -> cancelled", " -> expired", " -> paused", "paused -> waiting"]
    takings = ["restore: ", "reap: ", "lease lost, leaving it alone", "claimed without our knowing", " forgotten"]
    troubles = ["choosing another", "is frozen for", "is killed", "is asked to stop", "is away for", "disk is full"]
    missing = [words for words in [*ends, *takings, *troubles] if words not in story]
    assert not missing
    assert re.search(r"committing -> waiting.*the library's answer was lost", story)
