from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from odl_daemon.model.shares import Share, Used, hour_of
from odl_daemon.model.task import Phase, Reason, Task, Wish
from odl_daemon.model.waiting import Obstacle, Rule, Scene, ordinal, wait_of

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
TASK = Task(1, "ann", "default", "/", "http://example.org/a", NOW, NOW)
SCENE = Scene(NOW, None, Share(), Used(), 2)


def test_the_rule_is_named_with_the_place_in_line() -> None:
    wait = wait_of(TASK, replace(SCENE, share=Share(running=2), used=Used(running=2)))
    assert wait is not None
    assert (wait.rule, wait.place) == (Rule.RUNNING, 3)
    assert wait.sentence == "limit running: its user may have 2 at once and has; it is 3rd in line"


def test_a_used_up_day_tells_when_it_goes_on() -> None:
    used = Used(hours=((hour_of(NOW) - 3, 100),))
    wait = wait_of(TASK, replace(SCENE, share=Share(bytes_per_day=50), used=used))
    assert wait is not None
    assert (wait.rule, wait.until) == (Rule.BYTES_PER_DAY, NOW + timedelta(hours=21))


def test_with_no_other_rule_all_slots_are_busy() -> None:
    wait = wait_of(TASK, SCENE)
    assert wait is not None
    assert (wait.rule, wait.place) == (Rule.SLOTS, 3)


def test_an_obstacle_to_all_comes_before_a_users_limit() -> None:
    scene = replace(SCENE, share=Share(running=1), used=Used(running=1), obstacle=Obstacle(Rule.DISK, "no room"))
    wait = wait_of(TASK, scene)
    assert wait is not None
    assert (wait.rule, wait.sentence) == (Rule.DISK, "no room")


@pytest.mark.parametrize(
    ("reason", "rule"),
    [
        (Reason.DISK_FULL, Rule.DISK),
        (Reason.OVER_LIMIT, Rule.BYTES_PER_DAY),
        (Reason.SERVER_BUSY, Rule.RETRY),
        (Reason.NONE, Rule.RETRY),
    ],
)
def test_what_is_not_due_says_what_put_it_back(reason: Reason, rule: Rule) -> None:
    due = NOW + timedelta(seconds=30)
    task = replace(TASK, due=int(due.timestamp() * 1e6), reason=reason, comment="because")
    wait = wait_of(task, SCENE)
    assert wait is not None
    assert (wait.rule, wait.sentence, wait.place, wait.until) == (rule, "because", None, due)


def test_a_wish_and_a_pause_are_rules() -> None:
    wished, paused = wait_of(replace(TASK, wish=Wish.CANCEL), SCENE), wait_of(replace(TASK, phase=Phase.PAUSED), SCENE)
    assert wished and wished.rule is Rule.WISH
    assert paused and paused.rule is Rule.PAUSED


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.final or phase is Phase.FETCHING])
def test_what_moves_or_is_over_waits_for_nothing(phase: Phase) -> None:
    assert wait_of(replace(TASK, phase=phase), SCENE) is None


def test_places_are_read_as_people_say_them() -> None:
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 111, 1001)
    words = ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "111th", "1,001st"]
    assert [ordinal(number) for number in numbers] == words
