"""One bar and one time to go for both legs of a file's way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as some

from odl_daemon.model.journey import journey
from odl_daemon.model.task import Phase, Progress, Task

AT = datetime(2026, 1, 2, tzinfo=UTC)
MB = 1_000_000


def at(phase: Phase, progress: Progress, spent: float = 0.0) -> Task:
    return Task(1, "o", "L", "/", "u", AT, AT, phase=phase, progress=progress, spent=spent)


def test_half_fetched_is_a_quarter_of_the_way_if_both_legs_take_as_long() -> None:
    way = journey(at(Phase.FETCHING, Progress(50 * MB, 100 * MB, 10 * MB, saving=10 * MB)))
    assert way == (0.25, 5 + 10)


def test_a_library_that_is_quick_hardly_counts() -> None:
    way = journey(at(Phase.FETCHING, Progress(50 * MB, 100 * MB, 1 * MB, saving=1e12)))
    assert way.part is not None and abs(way.part - 0.5) < 0.001
    assert way.left is not None and abs(way.left - 50) < 0.001


def test_the_bar_goes_on_where_the_fetch_has_left_it() -> None:
    before = journey(at(Phase.FETCHING, Progress(100 * MB, 100 * MB, 10 * MB, saving=20 * MB), spent=10))
    after = journey(at(Phase.COMMITTING, Progress(100 * MB, 100 * MB, 0, saving=20 * MB), spent=10))
    assert before.part == after.part
    assert after.left == 5


def test_the_second_leg_moves_the_same_bar_to_its_end() -> None:
    progress = Progress(100 * MB, 100 * MB, 0, saving=20 * MB)
    parts = [
        journey(at(Phase.COMMITTING, replace(progress, saved=saved * MB), spent=10)).part for saved in (0, 50, 100)
    ]
    assert parts == sorted(parts, key=lambda part: part or 0) and parts[-1] == 1.0


def test_a_task_whose_holder_tells_no_pace_shows_its_download_alone() -> None:
    """As in the table: a paused task's bar stands where its download stood."""
    assert journey(at(Phase.PAUSED, Progress(50 * MB, 100 * MB), spent=1)).part == 0.5
    assert journey(at(Phase.COMMITTING, Progress(100 * MB, 100 * MB), spent=1)) == (1.0, 0.0)


def test_what_has_no_known_length_has_no_bar() -> None:
    assert journey(at(Phase.FETCHING, Progress(5, None, 1))) == (None, None)
    assert journey(at(Phase.WAITING, Progress())) == (None, None)


def test_what_stands_still_has_a_bar_and_no_time() -> None:
    way = journey(at(Phase.PAUSED, Progress(50, 100)))
    assert (way.part, way.left) == (0.5, None)


def test_what_is_done_is_whole() -> None:
    assert journey(at(Phase.DONE, Progress())).part == 1.0


whole = some.integers(0, 1 << 62)


@given(some.sampled_from(Phase), whole, whole, whole, whole, some.floats(0, 1e9), some.floats(0, 1e12))
def test_no_figures_lead_out_of_the_bar(
    phase: Phase, done: int, total: int, speed: int, saved: int, spent: float, saving: float
) -> None:
    part, left = journey(at(phase, Progress(done, total, speed, saved=saved, saving=saving), spent))
    assert part is None or 0 <= part <= 1
    assert left is None or left >= 0
