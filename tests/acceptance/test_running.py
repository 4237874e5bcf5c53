"""What an operator sees and sets while the daemon runs: claims, slots, progress, aria2's own words."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.child import Child, program
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256

MIB = 1 << 20
DATA = content(4 * MIB)
SMALL = content(100_000)


async def test_a_disabled_daemon_accepts_and_claims_nothing(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, daemon={"enabled": False}, intake={"poll": 0.1})
    origin.pages["/a"] = Page(SMALL)
    (added,) = await daemon.add(origin.url("/a"))
    inserted = await sqlite.insert(origin.url("/a"))
    await until(lambda: sqlite.run("SELECT 1 FROM odl_task WHERE odr_id = %s", inserted), what="its acceptance")
    for task_id in (added, inserted):
        why = await daemon.odl("why", str(task_id))
        assert (why.code, why.out.strip()) == (0, "the daemon is set not to claim anything ([daemon] enabled = false)")
    assert (await daemon.odl("cancel", str(inserted))).out.strip() == f"task {inserted}: cancelled"  # it works
    assert (await sqlite.row(added))["status"] == 1
    assert origin.asked == []
    await _set(daemon, daemon={"enabled": True})
    (task,) = await daemon.finish(added)
    assert (task["phase"], task["sha256"]) == ("done", sha256(SMALL))


async def test_a_daemon_that_is_disabled_ends_what_it_has_begun(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    gate = asyncio.Event()
    origin.pages["/a"], origin.pages["/b"] = Page(DATA, gate=gate, gate_at=2 * MIB), Page(SMALL)
    (begun,) = await daemon.add(origin.url("/a"))
    await until(lambda: _are(daemon, {"fetching"}, begun), what="the transfer")
    await _set(daemon, daemon={"enabled": False})
    (later,) = await daemon.add(origin.url("/b"))
    gate.set()
    assert (await daemon.finish(begun))[0]["phase"] == "done"
    assert await _are(daemon, {"waiting"}, later)
    assert not origin.requests("/b")


async def test_the_kill_switch_cuts_every_transfer_and_loses_nothing(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    gate = asyncio.Event()
    origin.pages["/a"], origin.pages["/b"] = Page(DATA, gate=gate, gate_at=2 * MIB), Page(SMALL)
    (begun,) = await daemon.add(origin.url("/a"))
    await until(lambda: _are(daemon, {"fetching"}, begun), what="the transfer")
    await _set(daemon, guard={"egress": False})
    await until(lambda: _are(daemon, {"waiting"}, begun), what="its way back into the line")
    (later,) = await daemon.add(origin.url("/b"))
    for task in await daemon.show(begun, later):
        assert task["waits_for"]["sentence"] == "nothing is fetched for anybody now ([guard] egress = false)"
    assert not origin.requests("/b")
    gate.set()
    await _set(daemon, guard={"egress": True})
    assert [task["phase"] for task in await daemon.finish(begun, later)] == ["done", "done"]
    assert (await daemon.show(begun))[0]["attempt"] == 1


async def test_rules_that_are_read_anew_hold_for_transfers_that_run(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"retries": 0})
    origin.pages["/a"] = Page(DATA, gate=asyncio.Event(), gate_at=2 * MIB)
    (begun,) = await daemon.add(origin.url("/a"))
    await until(lambda: _are(daemon, {"fetching"}, begun), what="the transfer")
    await _set(daemon, guard={"deny": ["127.0.0.0/8"]})
    (task,) = await daemon.finish(begun)
    assert (task["phase"], len(origin.requests("/a"))) == ("failed", 1)


async def test_no_more_is_transferred_at_once_than_there_are_slots(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, download={"slots": 3})
    pages = {f"/{number}": _gated(SMALL) for number in range(9)}
    origin.pages |= pages
    ids = await daemon.add(*map(origin.url, pages))
    await until(lambda: origin.at_once == 3, what="the use of all slots")
    left = dict(pages)
    while left:  # one by one: as one ends the next begins
        _open(left.pop(next(path for path in left if origin.requests(path))))
        await _transferring(origin, min(3, len(left)), asked=min(9, 12 - len(left)))
    assert {task["phase"] for task in await daemon.finish(*ids)} == {"done"}
    assert origin.most_at_once == 3


async def test_slots_change_while_everything_runs(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"slots": 1})
    origin.pages |= {f"/{number}": _gated(SMALL) for number in range(12)}
    ids = await daemon.add(*map(origin.url, origin.pages))
    await until(lambda: origin.at_once == 1, what="the use of the only slot")
    await _set(daemon, download={"slots": 4})
    await until(lambda: origin.at_once == 4, what="the use of four slots")
    await _set(daemon, download={"slots": 2})
    begun = [path for path in origin.pages if origin.requests(path)]
    assert len(begun) == 4  # nothing is broken off
    for path in begun:
        _open(origin.pages[path])
    await _transferring(origin, 2, asked=6)
    origin.most_at_once = 0
    for page in origin.pages.values():
        _open(page)
    assert {task["phase"] for task in await daemon.finish(*ids)} == {"done"}
    assert origin.most_at_once <= 2
    assert {len(origin.requests(path)) for path in origin.pages} == {1}


async def test_a_mistake_in_the_settings_changes_nothing(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"slots": 2})
    origin.pages |= {f"/{number}": _gated(SMALL) for number in range(6)}
    ids = await daemon.add(*map(origin.url, origin.pages))
    await until(lambda: origin.at_once == 2, what="the use of both slots")
    daemon.configure(download={"slots": 0}, log={"level": "debug"})
    daemon.reload()
    await until(lambda: "the settings stay as they were: " in daemon.log(), what="the complaint")
    for page in origin.pages.values():
        _open(page)
    daemon.configure(download={"slots": 2}, log={"level": "info"})
    assert {task["phase"] for task in await daemon.finish(*ids)} == {"done"}
    assert origin.most_at_once == 2
    assert " DEBUG " not in daemon.log()


async def test_progress_is_shown_while_it_happens(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/a"] = _gated(DATA)
    (task_id,) = await daemon.add(origin.url("/a"))

    async def halfway() -> dict[str, Any] | None:
        (task,) = await daemon.show(task_id)
        return task if task["done"] == len(DATA) // 2 and task["speed"] else None

    task = await until(halfway, what="half of the file")
    assert task is not None
    assert (task["status_name"], task["phase"], task["total"], task["size"]) == (
        "DOWNLOADING",
        "fetching",
        len(DATA),
        0,
    )
    card = (await daemon.odl("show", str(task_id))).out
    listed = (await daemon.odl("list")).out.splitlines()[1].split()
    assert "\ndone     50%\n" in card
    assert "\nsize     4.0 MiB\n" in card
    assert listed[:5] == [str(task_id), "fetching", "50%", "4.0", "MiB"]
    _open(origin.pages["/a"])
    (task,) = await daemon.finish(task_id)
    assert (task["done"], task["total"], task["speed"], task["size"]) == (len(DATA), len(DATA), 0, len(DATA))


async def test_progress_without_a_length_has_no_total(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    page = origin.pages["/a"] = _gated(DATA)
    page.declared, page.ranges = -1, False
    (task_id,) = await daemon.add(origin.url("/a"))
    task = await until(lambda: _begun(daemon, task_id), what="the first bytes")
    assert task is not None
    assert (task["total"], task["phase"]) == (None, "fetching")
    _open(page)
    (task,) = await daemon.finish(task_id)
    assert (task["done"], task["total"]) == (len(DATA), len(DATA))


async def test_watch_without_a_terminal_says_a_line_per_change(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/a"] = _gated(DATA)
    (task_id,) = await daemon.add(origin.url("/a?token=1"))
    await until(lambda: _begun(daemon, task_id), what="the first bytes")
    output = daemon.folder / "watched"
    watch = Child([program("odl"), "--config", str(daemon.config), "watch", str(task_id), "99"], output=output)
    try:
        fetching = f"task {task_id}: fetching, {origin.url('/a')}"
        await until(lambda: fetching in watch.said(), what="the first line")
        _open(origin.pages["/a"])
        await watch.ended.wait()
    finally:
        await watch.kill()
    lines = [line for line in watch.said().splitlines() if "committing" not in line]
    assert lines == ["no task 99", fetching, f"task {task_id}: done, /a in library default, 4.0 MiB"]
    assert watch.code == 1  # for the one that is not there


async def test_watch_tells_by_its_exit_code_whether_all_is_well(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/a"] = Page(SMALL)
    good, bad = await daemon.add(origin.url("/a"), origin.url("/b"))
    assert (await daemon.odl("watch", str(good))).code == 0
    both = await daemon.odl("watch", str(good), str(bad))
    assert (both.code, both.err) == (1, "")
    assert f"task {bad}: failed, 127.0.0.1 answered 404: there is no such file" in both.out.splitlines()


async def test_aria2s_words_are_kept_without_logins_and_queries(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    daemon.configure(log={"aria2_file": str(daemon.folder / "aria2.log")})
    await daemon.restart()
    origin.pages["/a"], origin.pages["/gone"] = Page(SMALL), Page(status=404)
    origin.pages["/moved"] = Page(status=302, headers={"Location": "/gone?query4"})
    links = [
        origin.url(path, host="login1:login2@127.0.0.1") for path in ("/a?query1", "/gone?query2", "/moved?query3")
    ]
    await daemon.finish(*await daemon.add(*links))
    await daemon.stop()
    words = (daemon.folder / "aria2.log").read_text()
    assert origin.url("/gone") in words
    assert re.search(r"login\d|query\d", words) is None


async def _set(daemon: Daemon, /, **sections: dict[str, Any]) -> None:
    """Writes settings, and returns when they are in force."""
    before = daemon.log().count("settings read anew")
    daemon.configure(**sections)
    daemon.reload()
    await until(lambda: daemon.log().count("settings read anew") > before, what="the new settings")


def _gated(body: bytes) -> Page:
    """Its second half waits for an event of its own."""
    return Page(body, gate=asyncio.Event(), gate_at=len(body) // 2)


def _open(page: Page) -> None:
    assert page.gate is not None
    page.gate.set()


async def _transferring(origin: Origin, count: int, *, asked: int) -> None:
    """Returns when so many transfers run, after so many pages were asked for."""
    await until(
        lambda: origin.at_once == count and len({one.path for one in origin.asked}) == asked,
        what=f"{count} transfers at once",
    )


async def _are(daemon: Daemon, phases: set[str], *ids: int) -> bool:
    return {task["phase"] for task in await daemon.show(*ids)} <= phases


async def _begun(daemon: Daemon, task_id: int) -> dict[str, Any] | None:
    (task,) = await daemon.show(task_id)
    return task if task["done"] else None
