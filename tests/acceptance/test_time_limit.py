"""The time limit counts transfer time alone, over all that interrupts a transfer, and ends a task as TLE."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.files import make_file
from tests.servers.nginx import Nginx

LIMIT = 3.0
LATE = 1.0
"""Seconds after the limit in which a task must be over."""
SLACK = 1.0
"""Seconds that it takes on a busy machine to see that it is over."""


async def test_a_slow_task_expires(start_daemon: StartDaemon, nginx: Nginx, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url, download={"time_limit": LIMIT})
    (task_id,) = await _slow(daemon, nginx)
    await _fetching(daemon, task_id)
    began = time.monotonic()
    await until(lambda: table.ended([task_id]), what="the end of the slow task")
    assert LIMIT - 1 <= time.monotonic() - began <= LIMIT + LATE + SLACK
    (task,) = await daemon.show(task_id)
    assert (task["status"], task["status_name"], task["phase"], task["reason"]) == (6, "TLE", "expired", "time_limit")
    assert task["comment"] == f"the time limit of {LIMIT:g} s was exceeded"
    assert (await table.row(task_id))["status"] == 6
    assert not list(daemon.scratch.glob("[0-9]*"))


async def test_the_time_is_summed_over_a_pause(start_daemon: StartDaemon, nginx: Nginx, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"time_limit": LIMIT})
    (task_id,) = await _slow(daemon, nginx)
    await _fetching(daemon, task_id)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 2)
    assert (await daemon.odl("pause", str(task_id))).out.strip() == f"task {task_id}: paused"
    first = time.monotonic() - began
    paused = time.monotonic()
    await until(lambda: time.monotonic() - paused > LIMIT)
    assert (await daemon.show(task_id))[0]["phase"] == "paused"
    await daemon.odl("resume", str(task_id))
    await _fetching(daemon, task_id)
    began = time.monotonic()
    (task,) = await daemon.finish(task_id)
    assert task["status_name"] == "TLE"
    assert time.monotonic() - began <= LIMIT - first + LATE + SLACK


async def test_the_time_is_summed_over_a_crash(start_daemon: StartDaemon, nginx: Nginx, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"time_limit": LIMIT + 2})
    (task_id,) = await _slow(daemon, nginx)
    await _fetching(daemon, task_id)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > LIMIT)
    first = time.monotonic() - began
    await daemon.kill()
    await daemon.start()
    await _fetching(daemon, task_id)
    began = time.monotonic()
    (task,) = await daemon.finish(task_id)
    assert task["status_name"] == "TLE"
    pulse = 1.0  # so much of the time may be lost by a crash
    assert time.monotonic() - began <= LIMIT + 2 - first + pulse + LATE + SLACK


async def test_a_retry_starts_the_time_from_zero(start_daemon: StartDaemon, nginx: Nginx, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"time_limit": 1})
    (task_id,) = await _slow(daemon, nginx)
    assert (await daemon.finish(task_id))[0]["status_name"] == "TLE"
    daemon.configure(download={"time_limit": 1000})
    daemon.reload()
    await until(lambda: "settings read anew" in daemon.log())
    assert (await daemon.odl("retry", "--failed")).out.strip() == "1 task will be tried again"
    await _fetching(daemon, task_id)
    (task,) = await daemon.show(task_id)
    assert (task["attempt"], task["reason"], task["comment"]) == (1, None, "")


async def _slow(daemon: Daemon, nginx: Nginx) -> list[int]:
    make_file(nginx.root / "a.bin", 16 << 20)
    return await daemon.add(nginx.slow_url("a.bin"))


async def _fetching(daemon: Daemon, task_id: int) -> Mapping[str, object]:
    async def look() -> Mapping[str, object] | None:
        (task,) = await daemon.show(task_id)
        return task if task["phase"] == "fetching" else None

    found = await until(look, what="the transfer")
    assert found is not None
    return found
