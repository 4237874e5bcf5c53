from __future__ import annotations

from collections.abc import Callable

import pytest

from odl_daemon.cli.screen import Screen
from odl_daemon.model.task import Phase, Progress
from tests.cli.conftest import Odl
from tests.intake.paper_desk import PaperDesk

HALF = Progress(512, 1024, 256)


class LiveScreen(Screen):
    def __init__(self) -> None:
        super().__init__()
        self.live = True


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Scripts what happens in the pauses between two looks."""

    def script(*steps: Callable[[], object]) -> None:
        left = iter(steps)

        def pause(seconds: float) -> None:
            step = next(left, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr("odl_daemon.cli.counter.time.sleep", pause)

    return script


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odl_daemon.cli.watch.Screen", LiveScreen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "10")


async def test_without_a_terminal_each_change_is_a_line(
    odl: Odl, daemon: PaperDesk, meanwhile: Callable[..., None]
) -> None:
    daemon.write()
    meanwhile(
        lambda: daemon.change(1, phase=Phase.FETCHING),
        lambda: daemon.change(1, progress=HALF),
        lambda: daemon.change(1, phase=Phase.DONE, path="/a.bin", size=1024),
    )
    said = await odl("watch", 1)
    assert said.code == 0
    assert said.out.splitlines() == [
        "task 1: waiting, http://example.org/a.bin",
        "task 1: fetching, http://example.org/a.bin",
        "task 1: done, /a.bin in library default, 1.0 KiB",
    ]


async def test_it_ends_when_all_have_ended_and_is_fine_only_if_all_are_ok(
    odl: Odl, daemon: PaperDesk, meanwhile: Callable[..., None]
) -> None:
    daemon.write(phase=Phase.DONE)
    daemon.write(phase=Phase.QUEUED)
    meanwhile(lambda: daemon.change(2, phase=Phase.EXPIRED, comment="too slow"))
    said = await odl("watch", 1, 2)
    assert said.code == 1
    assert said.out.splitlines()[-1] == "task 2: expired, too slow"
    assert (await odl("watch", 1)).code == 0


async def test_ids_that_are_none_are_told_and_the_others_watched(
    odl: Odl, daemon: PaperDesk, meanwhile: Callable[..., None]
) -> None:
    daemon.write(phase=Phase.DONE)
    meanwhile()
    said = await odl("watch", 99, 1)
    assert (said.code, said.err) == (1, "no task 99\n")
    assert said.out.startswith("task 1: done")


async def test_a_row_that_is_deleted_meanwhile_is_an_end(
    odl: Odl, daemon: PaperDesk, meanwhile: Callable[..., None]
) -> None:
    daemon.write()
    meanwhile(daemon.book.clear)
    said = await odl("watch", 1)
    assert said.code == 1
    assert said.out.splitlines()[-1] == "task 1: its row was deleted"


async def test_without_ids_everything_that_moves_is_watched_until_ctrl_c(
    odl: Odl, table: PaperDesk, meanwhile: Callable[..., None]
) -> None:
    table.write(phase=Phase.DONE)
    table.write(phase=Phase.FETCHING)
    meanwhile(lambda: table.change(2, phase=Phase.FAILED, comment="gone"), table.write)
    said = await odl("watch")
    assert said.code == 0
    assert [line.split(",")[0] for line in said.out.splitlines()] == [
        "task 2: fetching",
        "task 2: failed",
        "task 3: waiting",
    ]
    assert said.err == "the daemon is not running: nothing moves until it does\n"


async def test_ctrl_c_while_watching_ids_is_code_130(
    odl: Odl, daemon: PaperDesk, meanwhile: Callable[..., None]
) -> None:
    daemon.write()
    meanwhile()
    assert (await odl("watch", 1)).code == 130


@pytest.mark.usefixtures("terminal")
async def test_in_a_terminal_bars_are_drawn_in_place(
    odl: Odl, daemon: PaperDesk, meanwhile: Callable[..., None]
) -> None:
    daemon.write(phase=Phase.FETCHING, progress=HALF)
    daemon.write(phase=Phase.FETCHING, progress=Progress(300))
    daemon.write(phase=Phase.WAITING, comment="retry at 12:40")

    def all_end() -> None:
        for task_id in (1, 2, 3):
            daemon.change(task_id, phase=Phase.DONE)

    meanwhile(all_end)
    said = await odl("watch", 1, 2, 3)
    first, second = said.out.split("\x1b[3F")
    assert first.splitlines() == [
        "\x1b[J    1  [##########..........]  50% of 1.0 KiB  256 B/s  0:02  http://example.o…",
        "    2  fetching               300 B  http://example.org/a.bin",
        "    3  waiting                  retry at 12:40",
    ]
    assert second.startswith("\x1b[Jtask 1: done")


@pytest.mark.usefixtures("terminal")
def test_a_block_that_is_higher_than_the_terminal_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    screen = LiveScreen()
    screen.show([], [str(number) for number in range(100)])
    assert capsys.readouterr().out.splitlines()[-1] == "       … and 93 more"


@pytest.mark.usefixtures("terminal")
def test_a_terminal_that_became_narrower_is_cleaned_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = LiveScreen()
    screen.show([], ["x" * 50, "y" * 10])
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "20")
    screen.show([], ["x"])
    assert capsys.readouterr().out == "\x1b[4F\x1b[Jx\n", "the long line takes three rows now"
