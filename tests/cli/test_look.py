from __future__ import annotations

import json

import pytest

from odl_daemon.model.task import Phase, Progress, Reason, Wish
from tests.cli.conftest import Odl
from tests.intake.paper_desk import PaperDesk


async def test_a_list_is_a_table_without_secrets(odl: Odl, daemon: PaperDesk) -> None:
    daemon.write("http://user:secret@example.org/a?token=secret", phase=Phase.FAILED, comment="\x1b[31mgone")
    daemon.write(phase=Phase.FETCHING, progress=Progress(512, 2048, 10), wish=Wish.PAUSE)
    said = await odl("list")
    assert said.out.splitlines() == [
        "ID  STATE                  DONE     SIZE  OWNER  LIBRARY  LINK                      COMMENT",
        " 2  fetching, pause asked   25%  2.0 KiB  local  default  http://example.org/a.bin",
        " 1  failed                                local  default  http://example.org/a      ?[31mgone",
    ]


async def test_an_empty_list_is_a_head(odl: Odl, daemon: PaperDesk) -> None:
    said = await odl("list")
    assert (said.code, len(said.out.splitlines())) == (0, 1)
    assert (await odl("list", "--json")).out == "[]\n"


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--status", "OK"], [3]),
        (["--status", "ok"], [3]),
        (["--status", "done"], [3]),
        (["--status", "ERROR"], [2]),
        (["--status", "waiting"], [4, 1]),
        (["--owner", "me"], [4]),
        (["--limit", "2"], [4, 3]),
    ],
)
async def test_a_list_can_be_narrowed(odl: Odl, daemon: PaperDesk, words: list[str], ids: list[int]) -> None:
    daemon.write()
    daemon.write(phase=Phase.CANCELLED)
    daemon.write(phase=Phase.DONE)
    daemon.write(owner="me")
    said = await odl("list", "--json", *words)
    assert [task["id"] for task in json.loads(said.out)] == ids


async def test_a_state_that_is_none_is_refused(odl: Odl) -> None:
    said = await odl("list", "--status", "fine")
    assert said.code == 1
    assert "there is no state 'fine'; there is: waiting, queued" in said.err


async def test_a_long_list_is_read_page_by_page(odl: Odl, daemon: PaperDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odl_daemon.cli.counter.AT_ONCE", 3)
    for _ in range(10):
        daemon.write()
    for limit, expected in ((2, 2), (3, 3), (7, 7), (9, 9), (50, 10)):
        said = await odl("list", "--json", "--limit", limit)
        assert [task["id"] for task in json.loads(said.out)] == list(range(10, 10 - expected, -1))


async def test_a_card_shows_everything(odl: Odl, daemon: PaperDesk) -> None:
    daemon.write(phase=Phase.FAILED, reason=Reason.NOT_FOUND, comment="there is no such file", attempt=2)
    said = await odl("show", 1)
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert lines["state"] == "failed (ERROR)"
    assert lines["reason"] == "not_found"
    assert lines["comment"] == "there is no such file"
    assert lines["attempt"] == "2"


async def test_an_id_that_is_none_is_told(odl: Odl, daemon: PaperDesk) -> None:
    daemon.write()
    said = await odl("show", 99, 1, "--json")
    assert (said.code, said.err) == (1, "no task 99\n")
    assert [task["id"] for task in json.loads(said.out)] == [1]
    assert (await odl("why", 99)).err == "no task 99\n"
    assert (await odl("show", 99)).out == ""


async def test_why_is_a_sentence(odl: Odl, table: PaperDesk) -> None:
    table.write()
    said = await odl("why", 1)
    assert (said.code, said.out) == (0, "all transfer slots are busy\n")


async def test_a_mistake_of_ours_is_a_sentence_and_no_traceback(
    odl: Odl, daemon: PaperDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.breaks = RuntimeError("oops")
    said = await odl("list")
    assert (said.code, said.out) == (2, "")
    assert said.err == "odl: RuntimeError: oops\n"
    monkeypatch.setattr("odl_daemon.cli.counter.Counter.daemon_runs", None)
    said = await odl("list")
    assert said.code == 2
    assert "ODL_DEBUG=1 shows where" in said.err
    monkeypatch.setenv("ODL_DEBUG", "1")
    with pytest.raises(TypeError):
        await odl("list")
