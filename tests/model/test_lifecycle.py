"""The laws of the state machine, over every phase and event."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from odl_daemon.model.lifecycle import READ_AS, SHOWN_AS, STEPS, Event, IllegalStep, advance, allows
from odl_daemon.model.task import Phase, Status, Task, Wish

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TASK = Task(1, "o", "l", "/", "u", NOW, NOW, holder="me", wish=Wish.PAUSE, due=5)


def test_every_phase_is_shown_and_every_status_is_read() -> None:
    assert set(SHOWN_AS) == set(Phase) and set(READ_AS) == set(Status)
    assert all(SHOWN_AS[READ_AS[status]] is status for status in Status)


def test_only_asking_again_leaves_an_ended_phase() -> None:
    assert {event for phase, event in STEPS if phase.final} == {Event.REVIVED, Event.RENEWED}


def test_nothing_is_ok_before_the_file_is_in_the_library() -> None:
    assert {event for (_, event), phase in STEPS.items() if SHOWN_AS[phase] is Status.OK} == {Event.COMMITTED}


@pytest.mark.parametrize(("phase", "event"), list(product(Phase, Event)))
def test_a_step_is_in_the_table_or_is_refused(phase: Phase, event: Event) -> None:
    task = replace(TASK, phase=phase)
    if not allows(phase, event):
        with pytest.raises(IllegalStep):
            advance(task, event, at=NOW)
        return
    after = advance(task, event, at=NOW)
    assert after.phase is STEPS[phase, event] and after.changed is NOW
    if not after.phase.held:
        assert after.holder == "" and after.wish is None


def test_asking_again_gives_the_whole_time() -> None:
    spent = replace(TASK, phase=Phase.EXPIRED, spent=99.0, attempt=7, strikes=3)
    again = advance(spent, Event.REVIVED, at=NOW)
    assert (again.spent, again.attempt, again.strikes, again.due) == (0.0, 1, 0, 0)
