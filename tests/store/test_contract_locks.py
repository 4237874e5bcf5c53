"""Locks belong to claims and end with them; set-aside bytes are counted over all tasks of a payer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.store.locks import SETTLING
from tests.store.conftest import AT, Place, added


async def test_a_lock_has_one_owner(place: Place) -> None:
    async with place.store() as store, place.store() as other:
        await added(store, 2)
        first, second = await store.claim("h", 2, {}, AT)
        assert await store.lock("library x", first)
        assert not await other.lock("library x", second)
        assert await store.lock("library x", first), "it keeps what it has"
        assert await other.lock("library y", second)
        await store.unlock("library x", first)
        assert await other.lock("library x", second)


async def test_of_many_that_ask_at_once_one_gets_it(place: Place) -> None:
    async with place.store() as store, place.store() as other:
        await added(store, 10)
        tasks = await store.claim("h", 10, {}, AT)
        answers = await asyncio.gather(*[each.lock("x", task) for each in (store, other) for task in tasks])
        owners = {task.id for task, answer in zip([*tasks, *tasks], answers, strict=True) if answer}
        assert len(owners) == 1


async def test_who_does_not_own_a_lock_does_not_release_it(place: Place) -> None:
    async with place.store() as store:
        await added(store, 2)
        first, second = await store.claim("h", 2, {}, AT)
        assert await store.lock("x", first)
        await store.unlock("x", second)
        await store.unlock("x", replace(first, epoch=first.epoch - 1))
        assert not await store.lock("x", second)


async def test_a_lock_ends_with_its_task(place: Place) -> None:
    async with place.store() as store:
        await added(store, 2)
        first, second = await store.claim("h", 2, {}, AT)
        assert await store.lock("x", first)
        await store.save(advance(first, Event.FAILED, at=AT))
        assert await store.lock("x", second)


async def test_a_lock_ends_with_its_lease(place: Place) -> None:
    async with place.store() as store:
        await added(store, 2)
        first, second = await store.claim("h", 2, {}, AT)
        assert await store.lock("x", first)
        await place.run("UPDATE odl_task SET lease_until = 1 WHERE odr_id = %s", (first.id,))
        assert await store.lock("x", second)
        assert not await store.lock("x", first)


async def test_a_lock_of_an_earlier_claim_is_free(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        (task,) = await store.claim("h", 1, {}, AT)
        assert await store.lock("x", task)
        await store.restore("h", AT)
        (again,) = await store.claim("h", 1, {}, AT)
        assert again.epoch > task.epoch
        assert await store.lock("x", again)
        assert not await store.lock("x", task)


async def test_set_aside_bytes_are_counted_over_all_tasks_of_a_payer(place: Place) -> None:
    async with place.store() as store:
        await added(store, 4)
        first, second, third, fourth = await store.claim("h", 4, {}, AT)
        assert await store.reserve(first, "ann", 100) == 100
        assert await store.reserve(second, "ann", 1000) == 1100
        assert await store.reserve(third, "bob", 5) == 5
        assert await store.reserve(first, "ann", 200) == 1200, "instead of what it had"
        await store.save(advance(second, Event.FAILED, at=AT))
        assert await store.reserve(fourth, "ann", 1) == 201, "a task that failed needs no room"


async def test_the_bytes_of_a_task_that_is_done_count_until_the_library_counts_them(place: Place) -> None:
    async with place.store() as store:
        await added(store, 2)
        first, second = await store.claim("h", 2, {}, AT)
        await store.reserve(first, "ann", 100)
        done = replace(first, path="/a")
        await place.run("UPDATE odl_task SET phase = 'done' WHERE odr_id = %s", (done.id,))
        now = (await place.run("SELECT MAX(lease_until) FROM odl_task"))[0][0]
        await place.run("UPDATE odl_task SET changed = %s WHERE odr_id = %s", (now - SETTLING // 2, done.id))
        assert await store.reserve(second, "ann", 1) == 101
        await place.run("UPDATE odl_task SET changed = %s WHERE odr_id = %s", (now - 2 * SETTLING, done.id))
        assert await store.reserve(second, "ann", 1) == 1


async def test_a_step_keeps_what_is_set_aside(place: Place) -> None:
    async with place.store() as store:
        await added(store, 2)
        first, second = await store.claim("h", 2, {}, AT)
        await store.reserve(first, "ann", 100)
        await store.save(advance(first, Event.STARTED, at=AT))
        assert await store.reserve(second, "ann", 1) == 101
