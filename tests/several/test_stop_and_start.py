"""A daemon that was stopped goes on with what it fetched, then with what it had in line, then with the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256
from tests.world import assert_world

SIZE = 4 << 20
SMALL = 1000

WAIT = (1, 2)
QUICK = tuple(range(3, 15))
"""They end so fast that the daemon claims one more task than it has slots."""
SECOND, IN_LINE, FIRST = 15, 16, 17
"""The order of the ids is not the one in which they must go on."""
ALL = (*WAIT, *QUICK, SECOND, IN_LINE, FIRST)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_interrupted_work_goes_first_in_its_order_and_is_continued(
    start_one: StartDaemon, origin: Origin, table: Table, library: Path, end: str
) -> None:
    sums, gate = {}, asyncio.Event()
    for number in ALL:
        data = content(SMALL if number in QUICK else SIZE, seed=number)
        origin.pages[f"/{number}"] = Page(data, etag=f'"{number}"', gate=gate, gate_at=SIZE // 2)
        sums[origin.url(f"/{number}")] = sha256(data)
    daemon = await start_one("a", daemon={"enabled": False}, download={"slots": 2})
    await daemon.add(*sums)
    assert (await daemon.odl("pause", *map(str, ALL[:-1]))).code == 0
    await _claims(daemon, allowed=True)
    await until(lambda: _phases(table, {FIRST: "fetching"}), what="the first transfer")
    assert (await daemon.odl("resume", *map(str, (*QUICK, SECOND, IN_LINE)))).code == 0
    halfway = {FIRST: "fetching", SECOND: "fetching", IN_LINE: "queued"}
    await until(lambda: _phases(table, halfway), what="two transfers and one task in line")
    await _claims(daemon, allowed=False)
    assert (await daemon.odl("resume", *map(str, WAIT))).code == 0
    await until(lambda: _phases(table, halfway | dict.fromkeys(WAIT, "waiting")), what="those who wait")
    await until(lambda: _can_go_on(table, FIRST, SECOND), what="versions to go on with")

    if end == "stop":
        assert await daemon.stop() == 0
        left = await table.run("SELECT odr_id, status, comment FROM OfflineDownloadRecord WHERE status <> 4")
        assert sorted(left) == [(number, 1, "") for number in (*WAIT, SECOND, IN_LINE, FIRST)]
    else:
        await daemon.kill()
    before = len(origin.asked)
    gate.set()
    daemon.configure(daemon={"enabled": True})
    await daemon.start()
    await until(lambda: table.ended(list(ALL)), what="the end of all")

    asked = [one for one in origin.asked[before:] if one.method == "GET"]
    order = [int(path[1:]) for path in dict.fromkeys(one.path for one in asked)]
    assert set(order[:2]) == {FIRST, SECOND}
    assert order[2:] == [IN_LINE, *WAIT]
    for number in (FIRST, SECOND):
        starts = [_start(one.headers.get("range", "")) for one in asked if one.path == f"/{number}"]
        assert starts, number
        if end == "kill":
            continue  # how little a kill costs has tests of its own
        assert min(starts) > 0, "it began again with the first byte"
        assert origin.sent[f"/{number}"] < 1.5 * SIZE
    await assert_world(table, sums, [daemon], library=library)


async def _claims(daemon: Daemon, *, allowed: bool) -> None:
    read = daemon.log().count("settings read anew")
    daemon.configure(daemon={"enabled": allowed})
    daemon.reload()
    await until(lambda: daemon.log().count("settings read anew") > read, what="the new settings")


async def _can_go_on(table: Table, *ids: int) -> bool:
    """Whether enough of each has come, and its source has told which version it is."""
    found = await table.run("SELECT odr_id FROM odl_task WHERE done >= %s AND validator <> ''", SIZE // 2)
    return {task_id for (task_id,) in found} >= set(ids)


async def _phases(table: Table, wanted: dict[int, str]) -> bool:
    found: dict[int, str] = dict(await table.run("SELECT odr_id, phase FROM odl_task"))
    return {number: found[number] for number in wanted} == wanted


def _start(wanted: str) -> int:
    """The first byte that a Range header asks for."""
    return int(wanted.removeprefix("bytes=").partition("-")[0] or 0)
