"""Beside the old worker's table: its interrupted work is taken over with its bytes, and a living one is told of."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256

DATA = content(3_000_000)
HALF = 1_500_000
FAST = {"poll": 0.2}


async def left_by_the_old_worker(origin: Origin, folder: Path) -> None:
    """A real aria2c, as the old worker ran it, that is killed in the middle of /a.bin."""
    folder.mkdir(parents=True)
    whole, origin.pages["/a.bin"] = origin.pages["/a.bin"], Page(DATA, gate=asyncio.Event(), gate_at=HALF)
    aria2c = await asyncio.create_subprocess_exec(
        *("aria2c", "--no-conf", "--quiet", "--dir", str(folder), "--auto-save-interval=1", origin.url("/a.bin"))
    )
    await until(lambda: _saved(folder))
    aria2c.kill()
    await aria2c.wait()
    origin.pages["/a.bin"] = whole
    origin.asked.clear()


async def _saved(folder: Path) -> bool:
    """Whether its control file tells of a whole piece: 1 MiB is one bit of the last byte."""
    file = folder / "a.bin.aria2"
    return file.exists() and len(file.read_bytes()) > 34 and file.read_bytes()[34] != 0


async def daemon_after_it(start_daemon: StartDaemon, table: Table, **intake: object) -> tuple[Daemon, int]:
    """A daemon that has not run here yet, beside a row that the old worker left; it is stopped."""
    daemon = await start_daemon("a", database=table.url, intake=FAST | intake)
    await daemon.stop()
    return daemon, await table.insert("http://127.0.0.1:1/", status=3)


async def put(table: Table, task_id: int, url: str, comment: str, status: int = 3) -> None:
    await table.run(
        "UPDATE OfflineDownloadRecord SET url = %s, comment = %s, status = %s WHERE odr_id = %s",
        *(url, comment, status, task_id),
    )


@pytest.mark.parametrize(
    "changed", ["before", *(pytest.param(way, marks=pytest.mark.chaos) for way in (None, "after"))]
)
async def test_its_interrupted_download_goes_on_where_it_was(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, changed: str | None
) -> None:
    daemon, task_id = await daemon_after_it(start_daemon, sqlite)
    headers = {}
    if changed is not None:
        headers["Last-Modified"] = formatdate(0 if changed == "before" else 4_000_000_000, usegmt=True)
    origin.pages["/a.bin"] = Page(DATA, headers=headers)
    old = daemon.scratch / "tmp5k2"
    await left_by_the_old_worker(origin, old)
    await put(sqlite, task_id, origin.url("/a.bin"), str(old))
    await daemon.start()
    (task,) = await daemon.finish(task_id)
    assert (task["status_name"], task["sha256"], task["comment"]) == ("OK", sha256(DATA), ""), task
    asked = [each.headers.get("range", "bytes=0-") for each in origin.requests("/a.bin")]
    begun_at = [int(each.removeprefix("bytes=").partition("-")[0]) for each in asked]
    assert all((first >= 1 << 20) is (changed != "after") for first in begun_at), asked
    assert list(daemon.scratch.iterdir()) == []


async def test_rows_in_downloading_go_before_those_in_queuing(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST, download={"slots": 1})
    await daemon.stop()
    for name in ("/waits", "/queues", "/loads"):
        origin.pages[name] = Page(b"x")
    ids = [
        await table.insert(origin.url(name), status=status)
        for name, status in (("/waits", 1), ("/queues", 2), ("/loads", 3))
    ]
    await daemon.start()
    await until(lambda: table.ended(ids))
    assert [asked.path for asked in origin.asked if asked.method == "GET"] == ["/loads", "/queues", "/waits"]


async def test_they_are_left_alone_where_that_is_set(start_daemon: StartDaemon, origin: Origin, table: Table) -> None:
    daemon, left = await daemon_after_it(start_daemon, table, take_over="never")
    origin.pages["/a"] = Page(b"x")
    await put(table, left, origin.url("/a"), "/tmp/of the old worker")
    await daemon.start()
    waiting = await table.insert(origin.url("/a"))
    await until(lambda: table.ended([waiting]))
    assert await table.row(left) == {"status": 3, "comment": "/tmp/of the old worker", "path": "/", "size": 0}
    assert "old offline download worker" not in daemon.log()
    said = await daemon.odl("check")
    assert said.code == 0, said


@pytest.mark.parametrize("table", ["mariadb"], indirect=True)
async def test_a_rival_is_told_of_and_its_rows_are_left_alone(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, intake=FAST)
    assert "ok    rival" in (await daemon.odl("check")).out
    taken = await table.insert(origin.url("/a"), status=3)  # as it stands after a rival was faster
    await until(lambda: _warned(daemon))
    said = await daemon.odl("check")
    assert said.code == 2
    assert f"FAIL  rival       somebody else took row {taken} to DOWNLOADING" in said.out, said
    assert (await table.row(taken))["status"] == 3
    assert origin.asked == []
    await daemon.stop()
    said = await daemon.odl("check")
    assert "warn  rival       1 rows are at QUEUING or DOWNLOADING and no daemon's" in said.out, said


async def _warned(daemon: Daemon) -> bool:
    return "the old offline download worker seems to run, too" in daemon.log()
