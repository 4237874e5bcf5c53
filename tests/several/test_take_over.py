"""A daemon that dies or freezes while it fetches loses its tasks to another one, and nothing is done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256
from tests.several.held import all_fetched_by, everything
from tests.world import assert_world

SIZE = 400_000
FILES = 6


async def test_a_dead_daemons_tasks_are_taken_over_after_the_lease(
    start_one: StartDaemon, origin: Origin, table: Table, library: Path
) -> None:
    dead, gate, sums = await _fetching(start_one, origin, table)
    other = await start_one("b")
    await dead.kill()
    leases = await _all(table, "lease_until")
    await until(lambda: all_fetched_by(table, "b", FILES), what="the taking over")
    begun = await _all(table, "changed")
    early = [task_id for task_id in _ids() if begun[task_id] <= leases[task_id]]
    assert not early, "they were taken from one who might still have lived"
    gate.set()
    await until(lambda: table.ended(_ids()), what="the end of all")
    await dead.start()  # it finds that its bytes are of no use any longer
    assert _fetched(origin) == dict.fromkeys(sums, 2)
    await assert_world(table, sums, [other, dead], library=library)


async def test_a_frozen_daemon_wakes_after_its_tasks_are_done_and_changes_nothing(
    start_one: StartDaemon, origin: Origin, table: Table, library: Path
) -> None:
    frozen, gate, sums = await _fetching(start_one, origin, table)
    other = await start_one("b")
    frozen.freeze()
    await until(lambda: all_fetched_by(table, "b", FILES), what="the taking over")
    gate.set()
    await until(lambda: table.ended(_ids()), what="the end of all")
    before = await everything(table)
    await _wakes(frozen)
    assert await everything(table) == before
    assert _fetched(origin) == dict.fromkeys(sums, 2)
    await assert_world(table, sums, [other, frozen], library=library)


async def test_a_frozen_daemon_wakes_while_another_fetches_its_tasks_and_lets_it(
    start_one: StartDaemon, origin: Origin, table: Table, library: Path
) -> None:
    frozen, gate, sums = await _fetching(start_one, origin, table)
    other = await start_one("b")
    frozen.freeze()
    await until(lambda: all_fetched_by(table, "b", FILES), what="the taking over")
    await _wakes(frozen)
    assert await all_fetched_by(table, "b", FILES)
    gate.set()
    await until(lambda: table.ended(_ids()), what="the end of all")
    assert _fetched(origin) == dict.fromkeys(sums, 2)
    await assert_world(table, sums, [other, frozen], library=library)


async def _wakes(frozen: Daemon) -> None:
    """Thaws it, and returns when it has let go of everything."""
    frozen.thaw()
    await until(lambda: frozen.log().count("lease lost, leaving it alone") == FILES, what="the awakening")
    await until(lambda: not list(frozen.scratch.iterdir()), what="the end of its bytes")


async def _fetching(
    start_one: StartDaemon, origin: Origin, table: Table
) -> tuple[Daemon, asyncio.Event, dict[str, str]]:
    """A daemon in the middle of every file, the gate that holds the rest of them back, and their sums by URL."""
    gate, sums = asyncio.Event(), {}
    for number in range(FILES):
        data, path = content(SIZE, seed=number), f"/{number}.bin"
        origin.pages[path] = Page(data, etag=f'"{number}"', gate=gate, gate_at=SIZE // 2)
        sums[origin.url(path)] = sha256(data)
    daemon = await start_one("a")
    assert await daemon.add(*sums) == _ids()
    await until(lambda: all_fetched_by(table, "a", FILES), what="the transfers")
    await until(lambda: origin.at_once == FILES, what="all the first halves")
    return daemon, gate, sums


async def _all(table: Table, column: str) -> dict[int, int]:
    return dict(await table.run(f"SELECT odr_id, {column} FROM odl_task"))


def _fetched(origin: Origin) -> dict[str, int]:
    """How often each file was asked for: once by each daemon, for what one of them left is of no use to another."""
    return {origin.url(path): len(origin.requests(path)) for path in origin.pages}


def _ids() -> list[int]:
    return list(range(1, FILES + 1))
