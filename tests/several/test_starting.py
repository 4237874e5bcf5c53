"""How daemons come up: many at once, a second one in the same folder, and on a table that the old worker left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.origin import Origin, Page, content, sha256
from tests.world import assert_world

SHARED = """CREATE TABLE OfflineDownloadRecord (
    odr_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, repo_id VARCHAR(36) NOT NULL, path TEXT NOT NULL,
    url TEXT NOT NULL, owner VARCHAR(255) NOT NULL, timestamp DATETIME NOT NULL, size BIGINT NOT NULL,
    status SMALLINT NOT NULL, comment TEXT NOT NULL) ENGINE=InnoDB"""
"""The table of the web interface, as its server makes it."""

WAITING, QUEUING, DOWNLOADING = 1, 2, 3


async def test_five_daemons_start_at_once_on_an_empty_database_and_do_each_task_once(
    start_one: StartDaemon, origin: Origin, table: Table, library: Path
) -> None:
    daemons = await asyncio.gather(*[start_one(name) for name in "abcde"])
    sums = _serve(origin, 50)
    urls = list(sums)
    added = [daemon.add(*urls[number * 5 : number * 5 + 5]) for number, daemon in enumerate(daemons)]
    written = [table.insert(url) for url in urls[25:]]
    await asyncio.gather(*added, *written)
    await until(lambda: _all_ended(table, 50), what="the end of all")
    await assert_world(table, sums, daemons, library=library)
    asked = {path: len(origin.requests(path)) for path in origin.pages}
    assert asked == dict.fromkeys(origin.pages, 1)
    versions = await table.run("SELECT version FROM odl_schema ORDER BY version")
    assert versions == [(number,) for number in range(1, len(versions) + 1)]


@pytest.mark.parametrize("shared", ["state_dir", "temp_dir"])
async def test_a_second_daemon_in_the_same_folder_is_refused(
    start_one: StartDaemon, origin: Origin, table: Table, library: Path, tmp_path: Path, shared: str
) -> None:
    first = await start_one("a")
    folder = first.state if shared == "state_dir" else first.scratch
    section = "daemon" if shared == "state_dir" else "download"
    with pytest.raises(AssertionError, match="the daemon ended with 2 before it was ready"):
        await start_one("b", **{section: {shared: str(folder)}})
    said = (tmp_path / "b" / "daemon.log").read_text().splitlines()
    assert len(said) == 1, said
    assert f"another odl-daemon works in {folder}; stop it, or give this one a " in said[0]
    assert f"{shared} of its own" in said[0]
    sums = _serve(origin, 1)
    await first.add(*sums)
    await until(lambda: _all_ended(table, 1), what="the end of the task")
    await assert_world(table, sums, [first], library=library)


@pytest.mark.parametrize("names", ["a", "abc"], ids=["one daemon", "three daemons"])
async def test_what_the_old_worker_left_goes_first_in_its_order(
    start_one: StartDaemon, origin: Origin, table: Table, library: Path, names: str
) -> None:
    sums = _serve(origin, 9)
    await table.run(SHARED)
    statuses = [WAITING, QUEUING, DOWNLOADING] * 3
    for url, status in zip(sums, statuses, strict=True):
        await table.insert(url, status=status)
    daemons = await asyncio.gather(*[start_one(name, download={"slots": 1}) for name in names])
    await until(lambda: _all_ended(table, 9), what="the end of all")
    asked = [statuses[list(origin.pages).index(one.path)] for one in origin.asked]
    assert sorted(asked) == sorted(statuses), "one was fetched twice"
    if len(names) == 1:
        assert asked == sorted(statuses, reverse=True)
    await assert_world(table, sums, daemons, library=library)


def _serve(origin: Origin, count: int) -> dict[str, str]:
    """Small files, and their sums by URL."""
    sums = {}
    for number in range(count):
        data, path = content(1000 + number, seed=number), f"/{number}.bin"
        origin.pages[path] = Page(data)
        sums[origin.url(path)] = sha256(data)
    return sums


async def _all_ended(table: Table, count: int) -> bool:
    text = "SELECT COUNT(*) FROM OfflineDownloadRecord WHERE status NOT IN (1, 2, 3)"
    return await table.run(text) == [(count,)]
