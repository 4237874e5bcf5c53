"""kill -9 at any moment, of anybody: no task is lost, none is done twice, no byte is wrong, nothing is left lying."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.conftest import Table
from tests.chaos.storm import Storm
from tests.conftest import StartDaemon
from tests.servers.nginx import Nginx
from tests.world import assert_world

SETTINGS = {"slots": 8, "retry_wait": 0.2}


async def test_kills_lose_and_double_nothing(start_daemon: StartDaemon, nginx: Nginx, table: Table, seed: int) -> None:
    daemon = await start_daemon("a", database=table.url, download=SETTINGS)
    storm = Storm(seed=seed, daemon=daemon, nginx=nginx, table=table)
    await storm.add(100)
    await storm.rage(10)
    await storm.clears(within=60)
    await assert_world(table, storm.sums, [daemon])
    print(f"killed: {dict(storm.kills)}; sent {await nginx.sent():,} bytes")  # noqa: T201


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_a_long_storm_loses_and_doubles_nothing(
    start_daemon: StartDaemon, nginx: Nginx, table: Table, seed: int, minutes: float
) -> None:
    daemon = await start_daemon("a", database=table.url, download=SETTINGS)
    storm = Storm(seed=seed, daemon=daemon, nginx=nginx, table=table)
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        await storm.add(100)
        await storm.rage(15)
    await storm.clears(within=600)
    await assert_world(table, storm.sums, [daemon])
    print(f"killed: {dict(storm.kills)}; sent {await nginx.sent():,} bytes")  # noqa: T201
