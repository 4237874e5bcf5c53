from __future__ import annotations

from datetime import timedelta

from odl_daemon.intake.jsonrpc import put_away
from odl_daemon.intake.jsonrpc.put_away import PutAway
from odl_daemon.model.task import Phase, Task
from tests.engine.plays import NOON, claimed


def ended(task_id: int, owner: str = "ann", *, after: int = 0) -> Task:
    return claimed(id=task_id, owner=owner, phase=Phase.DONE, changed=NOON + timedelta(seconds=after))


def test_a_task_that_ends_once_more_is_shown_once_more() -> None:
    away = PutAway()
    away.one(ended(1))
    away.all("bob", [ended(2, "bob")])
    assert away.hides(ended(1))
    assert away.hides(ended(2, "bob"))
    assert not away.hides(ended(1, after=1))
    assert not away.hides(ended(2, "bob", after=1))


def test_what_moves_is_never_hidden() -> None:
    away = PutAway()
    away.one(ended(1))
    assert not away.hides(claimed(id=1, owner="ann", phase=Phase.WAITING))


def test_a_purge_hides_what_ended_before_its_last() -> None:
    away = PutAway()
    away.all("ann", [ended(5, after=5), ended(3, after=3)])
    assert [away.hides(ended(number, after=number)) for number in (1, 3, 5, 6)] == [True, True, True, False]
    assert not away.hides(ended(1, "bob"))


def test_clearing_nothing_remembers_nothing() -> None:
    away = PutAway()
    away.all("ann", [])
    assert not away.of("ann")


def test_only_so_much_is_remembered() -> None:
    away = PutAway()
    for number in range(put_away.MOST_TASKS + 1):
        away.one(ended(number))
    assert [away.hides(ended(number)) for number in (0, 1, put_away.MOST_TASKS)] == [False, True, True]
    for number in range(put_away.MOST_OWNERS):
        away.one(ended(1, f"user {number}"))
    assert [away.of(owner) for owner in ("ann", "user 0", "user 1")] == [False, True, True]
