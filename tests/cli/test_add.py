from __future__ import annotations

import asyncio
import io
import json
import socket
from pathlib import Path

import pytest

from odl_daemon.cli import socket_line
from odl_daemon.ports import StoreAway
from tests.cli.conftest import Odl
from tests.intake.paper_desk import PaperDesk

LINK = "http://example.org/a.bin"


async def test_each_link_is_an_id_on_a_line(odl: Odl, daemon: PaperDesk) -> None:
    said = await odl("add", LINK, LINK)
    assert (said.code, said.out, said.err) == (0, "1\n2\n", "")
    assert daemon.book[1].owner == "local"
    assert daemon.book[1].library == "default"
    assert daemon.book[1].path == "/"


async def test_flags_go_into_the_request(odl: Odl, daemon: PaperDesk) -> None:
    said = await odl("add", LINK, "--library", "L", "--path", "a/b/", "--owner", "me@x", "--name", "n.bin", "--json")
    (task,) = json.loads(said.out)
    assert (task["library"], task["path"], task["owner"]) == ("L", "/a/b", "me@x")
    assert daemon.book[1].name == "n.bin"


async def test_unusable_links_get_no_row_and_the_rest_is_added(odl: Odl, daemon: PaperDesk) -> None:
    said = await odl("add", "ftp://x/y", LINK, "not a link")
    assert (said.code, said.out) == (1, "1\n")
    assert len(said.err.splitlines()) == 2
    assert len(daemon.book) == 1


async def test_if_no_link_is_usable_nothing_is_asked_of_anybody(odl: Odl) -> None:
    said = await odl("add", "--json", "file:///etc/passwd")
    assert (said.code, said.out) == (1, "[]\n")


async def test_a_dash_reads_a_list(odl: Odl, daemon: PaperDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(f"http://example.org/{number}\n" for number in range(2500))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"# a list\n\nnonsense\n{lines}"))
    said = await odl("add", "-")
    assert said.code == 1
    assert said.err.startswith("line 3: ")
    assert said.out.split() == [str(number) for number in range(1, 2501)]
    assert daemon.book[2500].url == "http://example.org/2499"


async def test_a_bad_folder_is_refused_before_anything_is_added(odl: Odl, daemon: PaperDesk) -> None:
    said = await odl("add", LINK, "--path", "/../x")
    assert (said.code, said.out) == (1, "")
    assert "leads out of the library" in said.err
    assert not daemon.book


async def test_without_a_daemon_the_row_is_written_all_the_same(odl: Odl, table: PaperDesk) -> None:
    said = await odl("add", LINK)
    assert (said.code, said.out) == (0, "1\n")
    assert said.err == "the daemon is not running: it will start when the daemon runs\n"


async def test_a_dead_daemons_socket_counts_as_none(odl: Odl, table: PaperDesk, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "state/control.sock"))
    assert (await odl("add", LINK)).out == "1\n"


async def test_a_daemon_that_does_not_greet_in_time_counts_as_none(
    odl: Odl, table: PaperDesk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_line, "GREETING_LIMIT", 0.05)
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(place / "state/control.sock"))
        stopped.listen()
        assert (await odl("add", LINK)).out == "1\n"
        stopped.settimeout(10)
        late, _ = stopped.accept()
        assert late.recv(100) == b"", "it finds the connection closed and empty"
        late.close()


async def test_a_daemon_that_dies_in_the_middle_leaves_a_doubt_that_is_told(odl: Odl, place: Path) -> None:
    async def greet_and_die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"odl-daemon": "1"}\n')
        await reader.readline()
        writer.close()

    async with await asyncio.start_unix_server(greet_and_die, place / "state/control.sock"):
        said = await odl("add", LINK)
    assert said.code == 2
    assert "the daemon went away before it answered: see with `odl list` whether it was done" in said.err


async def test_a_database_that_is_away_is_the_operators(odl: Odl, table: PaperDesk) -> None:
    table.breaks = StoreAway("the database at h:3306/db does not answer")
    said = await odl("add", LINK)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("odl: the database at h:3306/db does not answer")


async def test_what_was_added_before_a_failure_is_told(
    odl: Odl, daemon: PaperDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odl_daemon.cli.add.AT_ONCE", 1)
    submit = daemon.submit

    async def once(requests: object) -> object:
        daemon.submit = None  # type: ignore[method-assign,assignment]  # the second call breaks
        return await submit(requests)  # type: ignore[arg-type]

    daemon.submit = once  # type: ignore[method-assign,assignment]
    said = await odl("add", LINK, LINK)
    assert (said.code, said.out) == (2, "1\n")
    assert said.err.startswith("odl: 1 of 2 links were added; then: ")
