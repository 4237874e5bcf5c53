"""What the HTTP door costs: answers beside a long table, and watchers of many active tasks."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from tests.acceptance.until import until
from tests.http.client import Client
from tests.http.conftest import House, house
from tests.servers.files import make_file
from tests.servers.mariadb import MariaDb
from tests.servers.nginx import Nginx

from bench.stage import cpu_of, folder, memory_of

ROWS, USERS = 100_000, 500
"""A half of the rows is one user's, the other half is spread over the rest of the users."""

BIG, SMALL = "big@example.org", "user7@example.org"


async def api(disk: Path, runs: int, files: int) -> None:
    """100,000 rows and 10 downloads: answers of the HTTP door to a user with half of them and to one with few."""
    async with MariaDb() as mariadb:
        await asyncio.to_thread(mariadb.create, "bench")
        for name, database in (("sqlite", ""), ("mariadb", mariadb.url("bench"))):
            with folder("origin", disk) as place, folder("daemon", disk) as here:
                async with _busy(place, here, slots=10, database=database) as busy:
                    await _fill(busy)
                    await _ask_all(name, busy, 40 * runs)


@asynccontextmanager
async def _busy(place: Path, here: Path, *, slots: int, database: str = "") -> AsyncIterator[House]:
    """A daemon all of whose slots are at files that do not end while it is measured."""
    async with (
        Nginx(place, slow_rate=16 * 1024) as nginx,
        house(here, database=database, download={"slots": slots}, intake={"poll": 5}) as running,
    ):
        await asyncio.to_thread(make_file, nginx.root / "slow", 256 << 20)
        await running.boss.add(*[f"{nginx.slow_url('slow')}?{number}" for number in range(slots)])

        async def all_run() -> bool:
            counts = (await running.boss.get("/api/v1/tasks", phase="fetching", limit=200))["tasks"]
            return len(counts) == slots

        await until(all_run, within=120)
        yield running


async def _fill(busy: House) -> None:
    """Rows of all users, by turns; of one in two it is said that it is done."""
    async with asyncio.TaskGroup() as group:
        turns = asyncio.Semaphore(4)

        async def add(owner: str, number: int) -> None:
            async with turns:
                await busy.boss.add(*[f"https://example.org/{number}/{each}" for each in range(100)], owner=owner)

        for number in range(ROWS // 200):
            group.create_task(add(BIG, number), name="rows of one user")
            group.create_task(add(f"user{number % USERS}@example.org", number), name="rows of many")
    await busy.boss.post("/api/v1/tasks/bulk", {"wish": "cancel", "tab": "waiting", "q": "1", "owner": "*"})

    async def settled() -> bool:
        page = await busy.boss.get("/api/v1/tasks", tab="waiting", q="1", owner="*", limit=1)
        return not page["tasks"]

    await until(settled, within=300)


async def _ask_all(name: str, busy: House, times: int) -> None:
    big, small = await busy.client(BIG), await busy.client(SMALL)
    for whose, client in (("half of all rows", big), ("few rows", small)):
        (newest,) = (await client.get("/api/v1/tasks", limit=1))["tasks"]
        asked: dict[str, tuple[str, str, object]] = {
            "list": ("GET", "/api/v1/tasks?limit=50", None),
            "list waiting": ("GET", "/api/v1/tasks?limit=50&tab=waiting", None),
            "list failed": ("GET", "/api/v1/tasks?limit=50&tab=failed", None),
            "search": ("GET", "/api/v1/tasks?limit=50&q=nothing-like-it", None),
            "show": ("GET", f"/api/v1/tasks/{newest['id']}", None),
            "me": ("GET", "/api/v1/me", None),
            "submit": ("POST", "/api/v1/tasks", {"urls": ["https://example.org/one"]}),
        }
        print(f"  {name}, a user with {whose}")
        for what, (method, path, body) in asked.items():
            took = await _timed(client, method, path, body, times if what != "search" else times // 8)
            print(f"    {what:13} p50 {statistics.median(took):6.1f} ms  p99 {_p99(took):6.1f} ms")
    await _at_once(name, big, times)


async def _at_once(name: str, client: Client, times: int) -> None:
    """Lists and submits together."""
    async with asyncio.TaskGroup() as group:
        lists = group.create_task(_timed(client, "GET", "/api/v1/tasks?limit=50", None, times), name="lists")
        body = {"urls": ["https://example.org/one"]}
        adds = group.create_task(_timed(client, "POST", "/api/v1/tasks", body, times), name="submits")
    print(f"  {name}, both at once: list p99 {_p99(lists.result()):.1f} ms, submit p99 {_p99(adds.result()):.1f} ms")


async def _timed(client: Client, method: str, path: str, body: object, times: int) -> list[float]:
    """Milliseconds of each of so many requests, one after the other over one connection."""
    took = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {client.token}"}) as session:
        for _ in range(times):
            began = time.perf_counter()
            async with session.request(method, client.base + path, json=body) as answer:
                await answer.read()
                assert answer.status == 200, await answer.text()
            took.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.005)
    return took


def _p99(took: list[float]) -> float:
    return sorted(took)[max(round(len(took) * 0.99) - 1, 0)]


async def watchers(disk: Path, runs: int, files: int) -> None:
    """1,000 watchers of 100 active tasks: processor time of the daemon, with them and without."""
    with folder("origin", disk) as place, folder("daemon", disk) as here:
        async with _busy(place, here, slots=100) as busy:
            alone = await _share_of(busy, 10)
            async with _watching(busy, 1000, deaf=False) as heard:
                before = heard()
                with_them = await _share_of(busy, 20)
                pieces = (heard() - before) / 20
            memory = memory_of(busy.daemon.pid)[0]
            async with _watching(busy, 1000, deaf=True):
                await asyncio.sleep(10)
                deaf = memory_of(busy.daemon.pid)[0]
    print(f"  {alone * 100:.1f} % of a core without, {with_them * 100:.1f} % with 1,000 watchers;")
    print(f"  {pieces / 1e6:.1f} MB/s went out; {memory:.0f} MiB, {deaf:.0f} MiB with 1,000 who do not read")


async def _share_of(busy: House, seconds: float) -> float:
    began, cpu = time.monotonic(), cpu_of(busy.daemon.pid)
    await asyncio.sleep(seconds)
    return (cpu_of(busy.daemon.pid) - cpu) / (time.monotonic() - began)


@asynccontextmanager
async def _watching(busy: House, count: int, *, deaf: bool) -> AsyncIterator[Callable[[], int]]:
    """So many streams of all tasks, of admins who have fifty each; tells how many bytes they have read."""
    heard = 0
    host, _, port = busy.base.removeprefix("http://").rpartition(":")
    keys = [await busy.key(f"admin{number}@example.org", admin=True) for number in range(count // 50)]

    async def watch(number: int, ready: Callable[[], object]) -> None:
        nonlocal heard
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
        key = keys[number % len(keys)]
        writer.write(
            f"GET /api/v1/events?owner=* HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        await reader.readuntil(b"event: hello")
        ready()
        try:
            if deaf:
                await asyncio.Event().wait()  # what comes now stays in the socket, but for the reader's limit
            while piece := await reader.read(1 << 20):
                heard += len(piece)
        finally:
            writer.transport.abort()

    async with asyncio.TaskGroup() as group:
        ready = asyncio.Semaphore(0)
        all_ = [group.create_task(watch(number, ready.release), name="a watcher") for number in range(count)]
        for _ in all_:
            await ready.acquire()
        yield lambda: heard
        for each in all_:
            each.cancel()
