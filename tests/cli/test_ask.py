from __future__ import annotations

import pytest

from odl_daemon.cli.counter import Counter
from odl_daemon.cli.trouble import OperatorTrouble
from odl_daemon.model.task import Phase
from tests.cli.conftest import Odl
from tests.intake.paper_desk import PaperDesk


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for what does not come true."""
    monkeypatch.setattr("odl_daemon.cli.ask.EFFECT_LIMIT", 0.0)


@pytest.mark.parametrize(
    ("wish", "before", "after"),
    [
        ("pause", Phase.WAITING, Phase.PAUSED),
        ("cancel", Phase.WAITING, Phase.CANCELLED),
        ("resume", Phase.PAUSED, Phase.WAITING),
        ("retry", Phase.FAILED, Phase.WAITING),
    ],
)
async def test_a_wish_that_comes_true_is_told_by_the_new_phase(
    odl: Odl, daemon: PaperDesk, wish: str, before: Phase, after: Phase
) -> None:
    daemon.obliging = True
    daemon.write(phase=before)
    said = await odl(wish, 1)
    assert (said.code, said.out, said.err) == (0, f"task 1: {after}\n", "")


async def test_a_wish_is_waited_for(odl: Odl, daemon: PaperDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    def come_true(seconds: float) -> None:
        daemon.change(1, phase=Phase.CANCELLED, wish=None)

    monkeypatch.setattr("odl_daemon.cli.ask.time.sleep", come_true)
    daemon.write(phase=Phase.FETCHING)
    assert (await odl("cancel", 1)).out == "task 1: cancelled\n"


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("wish", ["pause", "cancel"])
async def test_each_wish_is_answered_by_a_line(odl: Odl, daemon: PaperDesk, wish: str) -> None:
    daemon.write()
    daemon.write(phase=Phase.DONE)
    said = await odl(wish, 1, 2, 99, 1)
    assert (said.code, said.out) == (1, f"task 1 will {wish}\n")
    assert said.err == "task 2 is done\nno task 99\n"
    assert daemon.book[1].wish == wish


async def test_what_cannot_be_seen_is_promised(odl: Odl, daemon: PaperDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_ids(counter: Counter, ids: list[int]) -> None:
        raise OperatorTrouble("the database does not answer")

    monkeypatch.setattr(Counter, "by_ids", by_ids)
    daemon.write()
    said = await odl("pause", 1)
    assert (said.code, said.out, said.err) == (0, "task 1 will pause\n", "")


async def test_wishes_without_a_daemon_are_kept(odl: Odl, table: PaperDesk) -> None:
    table.write(phase=Phase.PAUSED)
    said = await odl("resume", 1)
    assert (said.code, said.out) == (0, "task 1 will resume\n")
    assert said.err == "the daemon is not running: this will happen when the daemon runs\n"


@pytest.mark.usefixtures("hurried")
async def test_everything_that_failed_is_retried(odl: Odl, daemon: PaperDesk) -> None:
    daemon.write(phase=Phase.FAILED)
    daemon.write(phase=Phase.EXPIRED, owner="me")
    daemon.write(phase=Phase.CANCELLED)
    assert (await odl("retry", "--failed")).out == "2 tasks will be tried again\n"
    assert (await odl("retry", "--failed", "--owner", "me")).out == "1 task will be tried again\n"
    assert (await odl("retry", 1)).out == "task 1 will retry\n"
