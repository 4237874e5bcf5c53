"""What has come before a kill is continued after it: the origin sends little twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.chaos.victims import strike
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.files import make_file
from tests.servers.nginx import Nginx
from tests.world import assert_world

SIZE = 36_000_000
"""Bytes; less than what aria2 would fetch over two connections at once, each with the rate of its own."""

RATE = 4_000_000
"""Bytes per second: two seconds of it may be lost by each kill, and from the first byte would be much more."""

BOUND = 1.5
"""Times the size: three kills from the first byte would be 2.5."""


@pytest.fixture
async def nginx(tmp_path: Path) -> Nginx:
    return Nginx(tmp_path / "origin", slow_rate=RATE)


@pytest.mark.parametrize(
    "victim", ["daemon", *(pytest.param(each, marks=pytest.mark.chaos) for each in ("aria2c", "python3"))]
)
async def test_a_kill_costs_little_of_what_has_come(
    start_daemon: StartDaemon, nginx: Nginx, sqlite: Table, victim: str
) -> None:
    async with nginx:
        sums = {nginx.slow_url("a.bin"): await asyncio.to_thread(make_file, nginx.root / "a.bin", SIZE)}
        daemon = await start_daemon("a", database=sqlite.url)
        await daemon.add(*sums)
        for quarter in (1, 2, 3):
            await _has_come(sqlite, SIZE * quarter // 4)
            await _kill(daemon, victim)
        (task,) = await daemon.finish(1)
        assert task["status_name"] == "OK", daemon.log()
        await assert_world(sqlite, sums, [daemon])
        sent = await nginx.sent("/slow/a.bin")
        print(f"{victim}: sent {sent:,} bytes of {SIZE:,}: {sent / SIZE:.2f}")  # noqa: T201
        assert sent < BOUND * SIZE, [asked for asked in await nginx.asked() if asked.method == "GET"]


async def _has_come(table: Table, count: int) -> None:
    async def look() -> bool:
        return int((await table.run("SELECT done FROM odl_task"))[0][0]) >= count

    await until(look, within=60, what=f"{count:,} bytes")


async def _kill(daemon: Daemon, victim: str) -> None:
    if victim == "daemon":
        await daemon.kill()
        await daemon.start()
    else:
        assert strike(daemon.pid, victim)
