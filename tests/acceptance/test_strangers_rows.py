"""Rows that other programs write into the shared table, change and delete: no crash, and each has a clear end."""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256

DATA = content(200_000)
FAST = {"poll": 0.2}


async def test_a_row_of_the_web_interface_is_done(start_daemon: StartDaemon, origin: Origin, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    origin.pages["/a.bin"] = Page(DATA)
    odd = "o'br\"ien+x%s;--\\ä😀@example.com"
    first = await table.insert(origin.url("/a.bin"), path="/in", timestamp=1735787045.123)
    second = await table.insert(origin.url("/a.bin"), path="/in/", timestamp="0000-00-00 00:00:00", owner=odd)
    await until(lambda: table.ended([first, second]))
    rows = [await table.row(first), await table.row(second)]
    assert {row["path"] for row in rows} == {"/in/a.bin", "/in/a (1).bin"}
    assert [(row["status"], row["size"], row["comment"]) for row in rows] == [(4, len(DATA), "")] * 2
    for task in await daemon.show(first, second):
        assert daemon.file(task["path"]).read_bytes() == DATA
        assert task["sha256"] == sha256(DATA)
    listed = await daemon.odl("list", "--owner", odd)
    assert listed.code == 0
    assert listed.out.splitlines()[1].split()[:2] == [str(second), "done"]


BAD_LINKS = {
    "not a url": "'not a url' has white space, a backslash or control characters in it: write them as %20 and so on",
    "example.com/a": "'example.com/a' is no link: it must begin with http:// or https://",
    "file:///etc/passwd": "file: links are not taken here, only http and https",
    "ftp://127.0.0.1/a": "ftp: links are not taken here, only http and https",
    "magnet:?xt=urn:btih:0": "magnet: links are not taken here, only http and https",
    "http://": "'http://' names no server",
    "": "an empty link",
    "http://a:b@c@d/": "'http://d/' has more than one '@' before its path: write it as %40",
    "http://127.0.0.1:99999/": "'http://127.0.0.1:99999/' has no usable port: 1 to 65535",
}


async def test_a_row_with_a_bad_link_ends_with_its_sentence(start_daemon: StartDaemon, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    ids = [await table.insert(link) for link in BAD_LINKS]
    await until(lambda: table.ended(ids))
    tasks = await daemon.show(*ids)
    assert {task["url"]: task["comment"] for task in tasks} == BAD_LINKS
    assert {(task["status_name"], task["reason"]) for task in tasks} == {("ERROR", "bad_url")}
    assert [(await table.row(each))["comment"] for each in ids] == list(BAD_LINKS.values())
    _assert_well(daemon)


async def test_a_row_with_a_bad_target_ends_with_its_sentence(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    origin.pages["/a"] = Page(DATA)
    url = origin.url("/a")
    out = "the folder '/../x' leads out of the library: it must not contain '..'"
    expected = {
        await table.insert(url, path="/../x"): ("bad_target", out),
        await table.insert(url, path="/a\x01b"): (
            "bad_target",
            "the folder '/a\\x01b' has characters that no folder can have",
        ),
        await table.insert(url, library="11111111-2222-3333-4444-555555555555"): (
            "library_missing",
            "there is no library '11111111-2222-3333-4444-555555555555'",
        ),
        await table.insert(url, library="../default"): ("bad_target", "'../default' cannot be the name of a library"),
        await table.insert(url, library=""): ("bad_target", "'' cannot be the name of a library"),
    }
    await until(lambda: table.ended(list(expected)))
    assert {task["id"]: (task["reason"], task["comment"]) for task in await daemon.show(*expected)} == expected
    assert origin.asked == []
    # what is merely written in another way is understood
    relative = await table.insert(url, path="in/./here/")
    await until(lambda: table.ended([relative]))
    assert (await table.row(relative))["path"] == "/in/here/a"
    _assert_well(daemon)


async def test_a_row_with_a_status_that_we_do_not_know_is_left_alone(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    origin.pages["/a"] = Page(DATA)
    strange = await table.insert(origin.url("/a"), status=9)
    known = await table.insert(origin.url("/a"))
    await until(lambda: table.ended([known]))
    assert (await table.row(strange))["status"] == 9
    (task,) = await daemon.show(strange)
    assert (task["status"], task["status_name"], task["phase"]) == (0, "UNKNOWN", "unknown")
    why = await daemon.odl("why", str(strange))
    assert (why.code, why.out.strip()) == (0, "its row has a status that is none of ours: it is left alone")
    _assert_well(daemon)


async def test_a_row_that_is_deleted_while_it_runs_is_let_go(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    origin.pages["/a"] = Page(DATA, gate=asyncio.Event(), gate_at=100_000)
    task_id = await table.insert(origin.url("/a"))
    await until(lambda: _is(daemon, task_id, "fetching"))
    await until(lambda: origin.at_once == 1)
    await table.run("DELETE FROM OfflineDownloadRecord WHERE odr_id = %s", task_id)
    await until(lambda: not list(daemon.scratch.glob("[0-9]*")), what="the end of the bytes")
    shown = await daemon.odl("show", str(task_id))
    assert (shown.code, shown.err.strip()) == (1, f"no task {task_id}")
    assert list(daemon.file("/").iterdir()) == []
    _assert_well(daemon)


async def test_a_row_that_is_edited_while_it_runs_is_begun_anew(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    origin.pages["/old"] = Page(content(len(DATA), seed=1), gate=asyncio.Event(), gate_at=100_000)
    origin.pages["/new"] = Page(DATA)
    task_id = await table.insert(origin.url("/old"))
    await until(lambda: _is(daemon, task_id, "fetching"))
    await table.run("UPDATE OfflineDownloadRecord SET url = %s WHERE odr_id = %s", origin.url("/new"), task_id)
    await until(lambda: table.ended([task_id]))
    row = await table.row(task_id)
    assert (row["status"], row["path"], row["size"]) == (4, "/new", len(DATA))
    assert [path.name for path in daemon.file("/").iterdir()] == ["new"]
    assert daemon.file("/new").read_bytes() == DATA
    _assert_well(daemon)


async def test_an_ended_row_that_is_set_back_is_done_again(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    origin.pages["/a"] = Page(DATA)
    done, failed = await table.insert(origin.url("/a")), await table.insert(origin.url("/b"))
    await until(lambda: table.ended([done, failed]))
    assert [(await table.row(each))["status"] for each in (done, failed)] == [4, 5]
    origin.pages["/b"] = Page(DATA)
    await table.run("UPDATE OfflineDownloadRecord SET status = 1, path = '/again', comment = ''")
    await daemon.restart()  # or within a minute: the full look at the table finds them
    await until(lambda: table.ended([done, failed]))
    rows = [await table.row(each) for each in (done, failed)]
    assert [(row["status"], row["path"]) for row in rows] == [(4, "/again/a"), (4, "/again/b")]
    _assert_well(daemon)


@pytest.mark.chaos
@pytest.mark.chaos
async def test_an_ended_row_that_is_set_back_is_found_within_a_minute(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    await start_daemon("a", database=sqlite.url, intake=FAST)
    failed = await sqlite.insert(origin.url("/a"))
    await until(lambda: sqlite.ended([failed]))
    origin.pages["/a"] = Page(DATA)
    await sqlite.run("UPDATE OfflineDownloadRecord SET status = 1")
    await until(lambda: sqlite.ended([failed]), within=75)
    assert (await sqlite.row(failed))["status"] == 4


async def _is(daemon: Daemon, task_id: int, phase: str) -> bool:
    shown = await daemon.odl("show", "--json", str(task_id))
    return f'"phase": "{phase}"' in shown.out


def _assert_well(daemon: Daemon) -> None:
    assert "Traceback" not in daemon.log(), daemon.log()
