"""A link that brings aria2 down costs the tasks of others a moment, and its own an end with a sentence."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, bomb, content, sha256, twice
from tests.world import sandboxed

MIB = 1 << 20
DATA = content(4 * MIB)
DEADLY = "the answer of 127.0.0.1 brought the downloader down each time"
IMPOSSIBLE = "the file from 127.0.0.1 is larger than the whole disk for downloads"


@pytest.mark.parametrize(("honest", "sentence"), [(False, DEADLY), (True, IMPOSSIBLE)])
async def test_bombs_end_with_their_sentence_and_a_hundred_tasks_arrive(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, honest: bool, sentence: str
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    good, evil = {}, {}
    for number in range(100):
        good[f"/{number}"] = Page(content(20_000, seed=number))
    for length in (10**14, 9 * 10**15, 10**16, 10**18):
        evil[f"/bomb/{length}"] = bomb(length, honest=honest)
    origin.pages |= good | evil
    ids = await daemon.add(*(origin.url(path) for path in _mixed([*good], [*evil])))
    began = time.monotonic()
    tasks = {task["url"].partition(f":{origin.port}")[2]: task for task in await daemon.finish(*ids)}
    print(f"all over after {time.monotonic() - began:.1f} s")  # noqa: T201 (shown with -s: by hand)
    assert {tasks[path]["sha256"] == sha256(page.body) for path, page in good.items()} == {True}
    assert {tasks[path]["comment"] for path in evil} == {sentence}
    assert {len(origin.requests(path)) for path in evil} <= ({1} if honest else {2, 3, 4})
    assert await _nobody_is_alone(daemon)


def _mixed(good: list[str], evil: list[str]) -> list[str]:
    """The evil among the good, evenly."""
    step = len(good) // len(evil)
    return [path for number, bad in enumerate(evil) for path in (*good[number * step : (number + 1) * step], bad)]


async def test_nothing_of_a_quarantine_outlives_a_killed_daemon(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    page = Page(DATA, etag='"v1"', gate=asyncio.Event(), gate_at=2 * MIB)
    task_id = await _alone(daemon, origin, page)
    await daemon.kill()
    page.gate = None
    await daemon.start()
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["sha256"]) == ("done", sha256(DATA))
    assert sandboxed(daemon) == ["sandbox"]


async def test_a_daemon_stops_in_order_while_a_task_is_alone(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    page = Page(DATA, etag='"v1"', gate=asyncio.Event(), gate_at=2 * MIB)
    task_id = await _alone(daemon, origin, page)
    assert await daemon.stop() == 0
    assert sandboxed(daemon) == []
    page.gate = None
    await daemon.start()
    assert (await daemon.finish(task_id))[0]["sha256"] == sha256(DATA)
    assert "Traceback" not in daemon.log()


async def test_a_task_that_is_alone_is_paused_resumed_and_cancelled(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    task_id = await _alone(daemon, origin, Page(DATA, etag='"v1"', gate=asyncio.Event(), gate_at=2 * MIB))

    async def moving() -> bool:
        (task,) = await daemon.show(task_id)
        return (task["phase"], task["total"]) == ("fetching", len(DATA)) and task["done"] > MIB

    await until(moving, what="its progress")
    assert (await daemon.odl("pause", str(task_id))).out.strip() == f"task {task_id}: paused"
    assert await _nobody_is_alone(daemon)
    assert (await daemon.odl("resume", str(task_id))).code == 0
    await until(lambda: sandboxed(daemon, "quarantine-*"), what="its next stay alone")
    assert (await daemon.odl("cancel", str(task_id))).out.strip() == f"task {task_id}: cancelled"
    assert await _nobody_is_alone(daemon)
    await until(lambda: not list(daemon.scratch.iterdir()), what="an empty scratch folder")


async def test_a_task_that_is_alone_expires(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"time_limit": 4})
    task_id = await _alone(daemon, origin, Page(DATA, gate=asyncio.Event(), gate_at=2 * MIB))
    (task,) = await daemon.finish(task_id)
    assert task["reason"] == "time_limit"
    assert await _nobody_is_alone(daemon)


async def _alone(daemon: Daemon, origin: Origin, page: Page) -> int:
    """A task that fetches this page alone, and has its first bytes."""
    origin.pages["/file"] = twice(page)
    (task_id,) = await daemon.add(origin.url("/file"))
    await until(lambda: len(origin.requests("/file")) >= 3 and origin.sent["/file"] > MIB, what="its bytes")
    assert len(sandboxed(daemon, "quarantine-*")) == 1
    return task_id


async def _nobody_is_alone(daemon: Daemon) -> bool:
    return await until(lambda: not sandboxed(daemon, "quarantine-*"), what="the end of a quarantine")
