"""Rows that others put into the shared table, whatever they look like."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.model.task import Phase, Status, Task
from odl_daemon.ports import Filter, Row
from tests.servers.mariadb import MariaDb
from tests.store.conftest import AT, INSERT, Place, added, inserted, later, mariadb_place, request, shown

WAITING = frozenset({Status.WAITING})


def task_of(row: Row, **changes: object) -> Task:
    task = Task(row.id, row.owner, row.library, row.path, row.url, created=AT, changed=AT, target=row.path)
    return replace(task, mark=row.mark, epoch=1, **changes)  # type: ignore[arg-type]


async def test_new_rows_are_strangers_until_they_are_adopted(place: Place) -> None:
    async with place.store() as store:
        await added(store, 2)
        ids = [await inserted(place, f"http://host/{number}") for number in range(3)]
        rows = await store.strangers(0, WAITING, 10)
        assert [row.id for row in rows] == ids
        assert (rows[0].url, rows[0].owner, rows[0].library, rows[0].path) == (
            "http://host/0",
            "ann@x",
            "a-library",
            "/in",
        )
        assert [row.id for row in await store.strangers(ids[0], WAITING, 1)] == [ids[1]]
        assert len(await store.adopt([task_of(row) for row in rows])) == 3
        assert await store.strangers(0, WAITING, 10) == []
        assert {task.id for task in await store.claim("h", 9, {}, AT)} >= set(ids)


async def test_a_row_is_adopted_once(place: Place) -> None:
    async with place.store() as one, place.store() as two:
        for number in range(50):
            await inserted(place, f"http://host/{number}")
        rows = await one.strangers(0, WAITING, 100)
        counts = await asyncio.gather(
            one.adopt([task_of(row) for row in rows]), two.adopt([task_of(row, created=later(1)) for row in rows])
        )
        assert sum(map(len, counts)) == 50
        assert len(await one.claim("h", 100, {}, AT)) == 50


async def test_a_row_that_is_no_task_ends_with_its_sentence(place: Place) -> None:
    async with place.store() as store:
        await inserted(place, "not a url")
        [row] = await store.strangers(0, WAITING, 10)
        assert len(await store.adopt([advance(task_of(row), Event.FAILED, at=AT, comment="that is no link")])) == 1
        assert (await shown(place, row.id))[:2] == (5, "that is no link")


async def test_interrupted_rows_of_the_old_worker_wait_again(place: Place) -> None:
    async with place.store() as store:
        await inserted(place, status=3, comment="/tmp/old-worker")
        [row] = await store.strangers(0, frozenset({Status.DOWNLOADING}), 10)
        assert row.comment == "/tmp/old-worker"
        assert len(await store.adopt([task_of(row, due=-2)])) == 1
        assert (await shown(place, row.id))[:2] == (1, "")


async def test_a_row_that_moved_meanwhile_is_not_adopted(place: Place) -> None:
    async with place.store() as store:
        await inserted(place)
        [row] = await store.strangers(0, WAITING, 10)
        await place.run("UPDATE OfflineDownloadRecord SET status = 3, comment = 'theirs'")
        assert len(await store.adopt([task_of(row)])) == 0
        assert (await shown(place, row.id))[:2] == (3, "theirs")


async def test_a_done_row_that_is_set_back_to_waiting_is_submitted_anew_into_the_same_folder(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        task = advance(task, Event.FETCHED, at=AT)
        await store.save(advance(task, Event.COMMITTED, at=AT, path="/in/file", size=7))
        assert await store.strangers(0, WAITING, 10) == []
        await place.run("UPDATE OfflineDownloadRecord SET status = 1")
        [row] = await store.strangers(0, WAITING, 10)
        assert row.before is not None
        assert (row.before.phase, row.before.target) == (Phase.DONE, "/in")
        again = advance(row.before, Event.RENEWED, at=later(1))
        assert len(await store.adopt([replace(again, epoch=again.epoch + 1)])) == 1
        assert await shown(place, row.id) == (1, "", "/in", 0)
        [claimed] = await store.claim("h", 1, {}, AT)
        assert (claimed.target, claimed.path) == ("/in", "/in")
        assert claimed.epoch > task.epoch


async def test_a_paused_row_is_no_stranger(place: Place) -> None:
    async with place.store() as store:
        [task] = await added(store, 1)
        await store.settle([advance(task, Event.PAUSED, at=AT)])
        assert await store.strangers(0, frozenset({Status.QUEUING}), 10) == []


async def test_a_truncated_table_inherits_nobodys_state(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 3)
        await store.settle([advance(task, Event.FAILED, at=AT) for task in tasks[:2]])
        await place.run("DELETE FROM OfflineDownloadRecord")
        for task in tasks:
            await place.run(
                INSERT.replace("(repo_id", "(odr_id, repo_id").replace("VALUES (", "VALUES (%s, "),
                (task.id, "lib", "/", "http://new", "bob@x", "2026-01-01 00:00:00", 0, 1, ""),
            )
        assert await store.claim("h", 9, {}, AT) == []
        assert {task.phase for task in await store.tasks(Filter(), 9)} == {Phase.WAITING}
        rows = await store.strangers(0, WAITING, 10)
        assert [row.before for row in rows] == [None] * 3
        assert len(await store.adopt([task_of(row) for row in rows])) == 3
        claimed = await store.claim("h", 9, {}, AT)
        assert {task.url for task in claimed} == {"http://new"}


async def test_deleted_rows_are_forgotten_unless_somebody_holds_them(place: Place) -> None:
    async with place.store() as store:
        await added(store, 5)
        [held] = await store.claim("h", 1, {}, AT)
        await place.run("DELETE FROM OfflineDownloadRecord WHERE odr_id <= 3")
        assert await store.forget_deleted(1) == [2]
        assert await store.forget_deleted(10) == [3]
        assert await store.forget_deleted(10) == []
        assert [one.id for one in await store.pulse("h", [])] == [held.id]


async def test_a_status_that_nobody_knows_is_left_alone(place: Place) -> None:
    async with place.store() as store:
        odd = await inserted(place, status=77, comment="?")
        assert await store.strangers(0, frozenset(Status) - {Status.UNKNOWN}, 10) == []
        assert await store.claim("h", 9, {}, AT) == []
        assert await store.reap(AT) == 0
        assert await shown(place, odd) == (77, "?", "/in", 0)


@pytest.mark.parametrize("timestamp", ["0000-00-00 00:00:00", "1735787045.5"])
async def test_a_row_with_a_broken_time_is_a_task_like_any_other(place: Place, timestamp: str) -> None:
    async with place.store() as store:
        await inserted(place, timestamp=timestamp)
        [listed] = await store.tasks(Filter(), 10)
        assert listed.phase is Phase.WAITING
        [row] = await store.strangers(0, WAITING, 10)
        assert len(await store.adopt([task_of(row)])) == 1
        [task] = await store.claim("h", 1, {}, AT)
        await store.save(advance(task, Event.FAILED, at=AT, comment="no"))
        [read] = await store.tasks(Filter(), 10)
        assert read.phase is Phase.FAILED


async def test_garbage_in_every_column_can_be_read(place: Place) -> None:
    async with place.store() as store:
        await place.run(
            INSERT, ("", "relative/../x\x01", "file:///etc/passwd\n%s :x", "", "2025-01-01 00:00:00", -5, 1, "c")
        )
        [row] = await store.strangers(0, WAITING, 10)
        assert row.url == "file:///etc/passwd\n%s :x"
        assert len(await store.adopt([advance(task_of(row), Event.FAILED, at=AT, comment="no")])) == 1


async def test_bytes_that_are_no_text_can_be_read(tmp_path: object, place: Place) -> None:
    if place.url.startswith("sqlite"):
        async with place.store() as store:
            await inserted(place)
            await place.run("UPDATE OfflineDownloadRecord SET url = CAST(X'ff41' AS TEXT), comment = X'ff00'")
            [row] = await store.strangers(0, WAITING, 10)
            assert row.url == "\ufffdA"
            assert len(await store.adopt([task_of(row)])) == 1


async def test_an_emoji_that_the_shared_table_cannot_spell_fails_no_step(mariadb: MariaDb) -> None:
    place = mariadb_place(mariadb, charset="utf8mb3")
    async with place.store() as store:
        await added(store, 3)
        tasks = await store.claim("h", 3, {}, AT)
        steps = [advance(task, Event.FAILED, at=AT, comment="plain ü") for task in tasks]
        steps[1] = replace(steps[1], comment="a 😀 failed")
        await asyncio.gather(*[store.save(step) for step in steps])
        assert [(await shown(place, task.id))[1] for task in tasks] == ["plain ü", "a ? failed", "plain ü"]


async def test_an_emoji_in_a_folder_or_a_file_name_survives_on_our_side(mariadb: MariaDb) -> None:
    place = mariadb_place(mariadb, charset="utf8mb3")
    async with place.store() as store:
        await store.add([replace(request(path="/in/😀"), name="😀.txt")], AT)
        [task] = await store.claim("h", 1, {}, AT)
        assert (task.target, task.name) == ("/in/😀", "😀.txt")
        task = advance(task, Event.FETCHED, at=AT)
        await store.save(advance(task, Event.COMMITTED, at=AT, path="/in/😀/😀.txt", size=1))
        assert (await shown(place, task.id))[::2] == (4, "/in/?/?.txt")


async def test_an_emoji_in_the_sentence_of_a_refused_row_is_no_trouble(mariadb: MariaDb) -> None:
    place = mariadb_place(mariadb, charset="latin1")
    async with place.store() as store:
        await inserted(place)
        [row] = await store.strangers(0, WAITING, 10)
        assert len(await store.adopt([advance(task_of(row), Event.FAILED, at=AT, comment="日 😀 é")])) == 1
        assert (await shown(place, row.id))[1].startswith("? ?")
