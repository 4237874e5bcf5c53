from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from odl_daemon.model.shares import DAY, ENDLESS, NO_LIMITS, Group, Share, Shares, Tally, Used, hour_of

STUDENTS = Group("students", ("*@students.example.org", "Guest@example.org"), Share(running=1))
STAFF = Group("staff", ("*@example.org", "ann@students.example.org"), Share(running=9))
SHARES = Shares(Share(running=3), [STUDENTS, STAFF])


def test_a_user_has_his_groups_share_else_everybodys() -> None:
    assert SHARES.of("x@elsewhere.example").running == 3
    assert (SHARES.of("bob@example.org").running, SHARES.group_of("bob@example.org")) == (9, "staff")
    assert SHARES.group_of("x@elsewhere.example") == ""


def test_who_is_in_several_groups_belongs_to_the_first_and_capitals_are_alike() -> None:
    assert SHARES.group_of("ann@students.example.org") == "students"
    assert SHARES.group_of("GUEST@example.org") == "students"


def test_without_limits_nobody_is_counted() -> None:
    assert not NO_LIMITS.watch_claims
    assert not NO_LIMITS.watch_doors
    assert NO_LIMITS.may_begin("ann", 10**6, 10**15) == ENDLESS


def test_as_many_begin_as_the_share_leaves() -> None:
    assert [SHARES.may_begin("x", running, 0) for running in (0, 2, 3, 7)] == [3, 1, 0, 0]


def test_whose_day_is_used_up_begins_nothing() -> None:
    shares = Shares(Share(bytes_per_day=100))
    assert [shares.may_begin("x", 0, day) for day in (0, 99, 100, 101)] == [ENDLESS, ENDLESS, 0, 0]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 12), st.integers(0, 12), st.integers(1, 20))
def test_no_door_lets_more_in_than_a_limit_says(limit: int, day: int, queued: int, tasks: int, more: int) -> None:
    tally = Tally(Shares(Share(queued=limit, tasks_per_day=day)), {"x": Used(queued=queued, tasks=tasks)})
    let_in = sum(not tally.refusal("x") for _ in range(more))
    rooms = [most - count for most, count in ((limit, queued), (day, tasks)) if most]
    assert let_in == max(min([more, *rooms]), 0)


def test_a_refusal_names_the_limit_and_concerns_one_user() -> None:
    tally = Tally(Shares(Share(queued=1)), {"ann": Used(queued=1)})
    assert tally.refusal("ann").startswith("limit queued: ann may have 1 tasks waiting and has")
    assert tally.refusal("bob") == ""


def test_a_days_bytes_leave_hour_by_hour() -> None:
    first = datetime(2026, 1, 1, 10, tzinfo=UTC)
    hour = hour_of(first + timedelta(minutes=59))
    used = Used(hours=((hour, 60), (hour + 2, 50)))
    assert used.bytes == 110
    assert used.below(100) == first + timedelta(hours=DAY)
    assert used.below(40) == first + timedelta(hours=DAY + 2)
