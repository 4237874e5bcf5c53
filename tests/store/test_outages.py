"""A database that goes away loses nothing, and nobody hears of it more often than needed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.model.task import Phase, Progress, Task
from odl_daemon.ports import Filter, StoreAway
from odl_daemon.store import SqlStore
from tests.servers.mariadb import MariaDb
from tests.store.conftest import AT, added, sqlite_place


@pytest.fixture
async def own_server() -> AsyncIterator[MariaDb]:
    async with MariaDb() as server:
        await server.run("CREATE DATABASE odl")
        yield server


@pytest.fixture
def outage() -> Iterator[asyncio.Event]:
    """Set as soon as the store says that its database is away."""
    told = asyncio.Event()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    ear, store_log = Ear(logging.WARNING), logging.getLogger("odl_daemon.store")
    store_log.addHandler(ear)
    yield told
    store_log.removeHandler(ear)


async def test_mariadbd_killed_under_load_loses_nothing_and_doubles_nothing(own_server: MariaDb) -> None:
    async with SqlStore(url=own_server.url("odl")) as store:
        wanted: set[str] = set()
        finished: list[int] = []
        one_more = asyncio.Semaphore(0)
        stop = asyncio.Event()

        async def submit() -> None:
            number = 0
            while not stop.is_set():
                tasks = await added(store, 5, owner=f"user{number}@x")
                wanted.update(task.url for task in tasks)
                number += 1

        async def work(name: int) -> None:
            while not stop.is_set():
                for task in await store.claim("h", 5, {}, AT):
                    finished.append(await finish(task))
                await asyncio.sleep(0)

        async def finish(task: Task) -> int:
            started = advance(task, Event.STARTED, at=AT)
            await store.save(started)
            await store.save(advance(started, Event.FAILED, at=AT, comment="end"))
            one_more.release()
            return task.id

        async with asyncio.TaskGroup() as group:
            group.create_task(submit(), name="submit")
            for number in range(4):
                group.create_task(work(number), name=f"worker {number}")
            rng = Random(3)
            for _ in range(4):
                for _ in range(rng.randint(20, 120)):
                    await one_more.acquire()
                await own_server.kill()
                await own_server.start()
            stop.set()

        # replies to claims that were lost leave tasks in our hands, and the pulse names them
        for held in await store.pulse("h", []):
            [task] = await store.tasks(Filter(ids=(held.id,)), 1)
            await finish(task)
        while tasks := await store.claim("h", 200, {}, AT):
            await asyncio.gather(*[finish(task) for task in tasks])
        rows = await own_server.run("SELECT url, status, comment FROM OfflineDownloadRecord", database="odl")
        assert sorted(row[0] for row in rows) == sorted(wanted)
        assert {row[1:] for row in rows} == {(5, "end")}
        assert len(finished) == len(set(finished))


async def test_an_outage_is_told_once_and_so_is_its_end(
    own_server: MariaDb, outage: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with SqlStore(url=own_server.url("odl")) as store:
        await added(store, 3)
        tasks = await store.claim("h", 3, {}, AT)
        await own_server.kill()
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(store.save(advance(task, Event.STARTED, at=AT)), name="save")
            group.create_task(store.tasks(Filter(), 3), name="look")
            await outage.wait()
            assert store.away
            await own_server.start()
        assert not store.away
        assert await store.count(Filter(phases=frozenset({Phase.FETCHING}))) == 3
    told = [record for record in caplog.records if record.name.startswith("odl_daemon.store")]
    assert len([record for record in told if record.levelname == "WARNING"]) == 1
    assert len([record for record in told if "again" in record.message or "back" in record.message]) == 1


async def test_a_patient_store_waits_for_a_server_that_starts_later(own_server: MariaDb, outage: asyncio.Event) -> None:
    await own_server.stop()
    store = SqlStore(url=own_server.url("odl"))
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(store.__aenter__(), name="opening")
        await outage.wait()
        assert store.away
        await own_server.start()
        await opening
        assert len(await added(store, 1)) == 1
        await store.__aexit__(None, None, None)


async def test_a_store_closes_while_its_database_is_away(own_server: MariaDb, outage: asyncio.Event) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        async with SqlStore(url=own_server.url("odl")) as store:
            await own_server.kill()
            waiting = group.create_task(_away(store), name="a caller")
            await outage.wait()
        await waiting


async def _away(store: SqlStore) -> None:
    with pytest.raises(StoreAway):
        await store.count(Filter())


async def test_an_impatient_store_says_that_the_server_went_away(own_server: MariaDb) -> None:
    async with SqlStore(url=own_server.url("odl"), patient=False) as store:
        await added(store, 1)
        await own_server.kill()
        with pytest.raises(StoreAway, match=r"127\.0\.0\.1"):
            await store.tasks(Filter(), 1)
        with pytest.raises(StoreAway):
            await added(store, 1)


async def test_a_deadlock_is_nobodys_trouble(own_server: MariaDb) -> None:
    async with SqlStore(url=own_server.url("odl")) as one, SqlStore(url=own_server.url("odl")) as two:
        await added(one, 60)
        tasks = await one.claim("h", 60, {}, AT)
        steps = [advance(task, Event.STARTED, at=AT) for task in tasks]

        async def save_often(store: SqlStore, rng: Random) -> None:
            for _ in range(15):
                some = rng.sample(steps, 30)
                await asyncio.gather(*[store.save(step) for step in some], store.pulse("h", []))

        await asyncio.gather(*[save_often(store, Random(number)) for number, store in enumerate((one, two, one, two))])
        assert await one.count(Filter(phases=frozenset({Phase.FETCHING}))) == 60


async def test_another_program_that_holds_the_sqlite_file_is_waited_for(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path / "odl.db")
    async with place.store() as store:
        await added(store, 1)
        other = sqlite3.connect(tmp_path / "odl.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.TaskGroup() as group:
            adding = group.create_task(added(store, 1), name="adding")
            assert await store.count(Filter()) == 1
            other.execute("COMMIT")
            assert len(await adding) == 1
        other.close()


async def test_a_beat_under_way_does_not_undo_a_step(own_server: MariaDb) -> None:
    async with SqlStore(url=own_server.url("odl")) as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        step = advance(task, Event.FETCHED, at=AT, progress=Progress(7, 7))
        await asyncio.gather(store.pulse("h", []), store.save(step))
        [read] = await store.tasks(Filter(), 1)
        assert read == step
