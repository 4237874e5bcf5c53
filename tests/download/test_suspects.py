"""Who is to blame for a crash of aria2, and what follows from it."""

from __future__ import annotations

import pytest

from odl_daemon.download.ledger import Ledger
from odl_daemon.download.suspects import BLAMED, PRESENT, REMEMBERED, Suspects
from odl_daemon.download.transfer import Part, State, Transfer


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger(slots=10, stall_limit=30)


def added(ledger: Ledger, name: str, *, runs: bool = True, done: int = 0, earlier: int = 0) -> Transfer:
    transfer = Transfer(name, "http://example.org/", {}, earlier=earlier)
    ledger.add(transfer)
    transfer.sent = True
    transfer.lines_up()
    if runs:
        transfer.runs(1.0)
        transfer.reports(done, None, 0, 2.0)
    return transfer


async def test_those_of_which_nothing_new_came_are_to_blame(ledger: Ledger) -> None:
    fresh, moving = added(ledger, "fresh"), added(ledger, "moving", done=1000)
    back = added(ledger, "back", done=1000, earlier=1000)
    waiting = added(ledger, "waiting", runs=False)
    ledger.bury(suspicious=True)
    assert [each.part for each in (fresh, back)] == [Part.BLAMED] * 2
    assert (moving.part, waiting.part) == (Part.PRESENT, Part.BYSTANDER)
    assert {each.state for each in (fresh, back, moving, waiting)} == {State.LOST}


async def test_where_something_new_came_of_all_all_are_to_blame(ledger: Ledger) -> None:
    moving, other = added(ledger, "moving", done=1000), added(ledger, "other", done=5000, earlier=1000)
    waiting = added(ledger, "waiting", runs=False)
    ledger.bury(suspicious=True)
    assert [each.part for each in (moving, other, waiting)] == [Part.BLAMED, Part.BLAMED, Part.BYSTANDER]


async def test_what_was_just_being_handed_over_may_be_the_cause(ledger: Ledger) -> None:
    sent, unsent = Transfer("sent", "http://example.org/", {}), Transfer("unsent", "http://example.org/", {})
    for each in (sent, unsent):
        ledger.add(each)
    sent.sent = True
    ledger.bury(suspicious=True)
    assert (sent.part, unsent.part) == (Part.BLAMED, Part.BYSTANDER)


async def test_nobody_is_to_blame_for_what_somebody_else_has_killed(ledger: Ledger) -> None:
    fresh = added(ledger, "fresh")
    ledger.bury(suspicious=False)
    assert (fresh.part, fresh.state) == (Part.NONE, State.LOST)


def crashed(part: Part, done: int = 0) -> Transfer:
    transfer = Transfer("a", "http://example.org/", {})
    transfer.part, transfer.done = part, done
    return transfer


def test_a_task_that_is_blamed_twice_goes_on_alone() -> None:
    suspects = Suspects()
    assert not suspects.record(1).suspect
    assert not suspects.note(1, crashed(Part.BLAMED)).alone
    assert suspects.record(1).suspect
    assert suspects.note(1, crashed(Part.BLAMED)).alone
    assert suspects.record(1).blamed == BLAMED
    assert not suspects.record(2).suspect


def test_a_task_that_was_there_each_time_goes_on_alone_in_the_end() -> None:
    suspects = Suspects()
    for _ in range(PRESENT - 1):
        suspects.note(1, crashed(Part.PRESENT))
    assert not suspects.record(1).alone
    assert suspects.note(1, crashed(Part.PRESENT)).alone


def test_a_death_by_somebody_elses_hand_makes_no_suspect() -> None:
    suspects = Suspects()
    for _ in range(2 * PRESENT):
        record = suspects.note(1, crashed(Part.NONE, done=700))
    assert (record.suspect, record.alone, record.most) == (False, False, 700)


def test_a_task_in_line_is_never_suspected() -> None:
    suspects = Suspects()
    for _ in range(2 * PRESENT):
        suspects.note(1, crashed(Part.BYSTANDER))
    assert not suspects.record(1).alone


def test_what_a_task_had_at_a_crash_is_remembered() -> None:
    suspects = Suspects()
    suspects.note(1, crashed(Part.PRESENT, done=500))
    assert suspects.note(1, crashed(Part.BLAMED, done=100)).most == 500


def test_a_file_that_arrived_clears_its_task() -> None:
    suspects = Suspects()
    suspects.note(1, crashed(Part.BLAMED))
    suspects.clear(1)
    suspects.clear(2)
    assert not suspects.record(1).suspect


def test_the_oldest_records_are_forgotten() -> None:
    suspects = Suspects()
    for number in range(REMEMBERED + 1):
        suspects.note(number, crashed(Part.BLAMED))
    assert not suspects.record(0).suspect
    assert suspects.record(1).suspect
