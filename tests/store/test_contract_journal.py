"""Steps are made durable together, and none of them harms another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.model.task import Phase, Progress
from odl_daemon.ports import Filter, LeaseLost
from tests.store.conftest import AT, Place, added


async def test_steps_of_many_tasks_are_all_kept(place: Place) -> None:
    async with place.store() as store:
        await added(store, 500)
        tasks = await store.claim("h", 500, {}, AT)
        started = [advance(task, Event.STARTED, at=AT, progress=Progress(task.id)) for task in tasks]
        await asyncio.gather(*[store.save(task) for task in started])
        assert await store.tasks(Filter(), 1000) == started[::-1]


async def test_a_lost_lease_is_nobody_elses_trouble(place: Place) -> None:
    async with place.store() as store:
        await added(store, 20)
        tasks = await store.claim("h", 20, {}, AT)
        steps = [advance(task, Event.STARTED, at=AT) for task in tasks]
        steps[7] = replace(steps[7], epoch=steps[7].epoch - 1)
        results = await asyncio.gather(*[store.save(task) for task in steps], return_exceptions=True)
        assert [number for number, result in enumerate(results) if isinstance(result, LeaseLost)] == [7]
        assert [result for result in results if result is not None and not isinstance(result, LeaseLost)] == []
        assert await store.count(Filter(phases=frozenset({Phase.FETCHING}))) == 19


async def test_a_row_that_cannot_be_kept_is_nobody_elses_trouble(place: Place) -> None:
    async with place.store() as store:
        await added(store, 10)
        tasks = await store.claim("h", 10, {}, AT)
        steps = [advance(task, Event.STARTED, at=AT) for task in tasks]
        steps[4] = replace(steps[4], sha256="x" * 70, attempt=2**70)
        results = await asyncio.gather(*[store.save(task) for task in steps], return_exceptions=True)
        assert [number for number, result in enumerate(results) if result is not None] == [4]
        assert await store.count(Filter(phases=frozenset({Phase.FETCHING}))) == 9
        await store.save(advance(tasks[4], Event.STARTED, at=AT))


async def test_sizes_and_words_of_strangers_are_cut_to_what_a_column_holds(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        huge = Progress(10**30, 10**30, 0, "e" * 100_000)
        await store.save(advance(task, Event.RETRIED, at=AT, progress=huge, comment="ü" * 70_000 + "\ud800"))
        [read] = await store.tasks(Filter(), 1)
        assert read.phase is Phase.WAITING
        assert read.comment.startswith("ü" * 100)
        assert read.progress.total == 2**63 - 1


async def test_the_same_step_twice_is_the_same_as_once(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        step = advance(task, Event.STARTED, at=AT)
        await store.save(step)
        await store.save(step)
        assert await store.tasks(Filter(), 1) == [step]


async def test_a_caller_that_leaves_neither_loses_its_step_nor_a_connection(place: Place) -> None:
    async with place.store() as store:
        await added(store, 40)
        tasks = await store.claim("h", 40, {}, AT)
        rng = Random(1)
        for wave in range(25):
            async with asyncio.TaskGroup() as group:
                callers = [
                    group.create_task(store.save(advance(task, Event.STARTED, at=AT, attempt=wave + 1)), name="caller")
                    for task in tasks
                ]
                for caller in callers:
                    asyncio.get_running_loop().call_later(rng.random() * 0.004, caller.cancel)
        last = [advance(task, Event.STARTED, at=AT, attempt=99) for task in tasks]
        await asyncio.gather(*[store.save(task) for task in last])
        assert await store.tasks(Filter(), 100) == last[::-1]


async def test_readers_and_claims_that_are_left_lose_no_connection(place: Place) -> None:
    async with place.store() as store:
        await added(store, 30)
        rng = Random(2)
        async with asyncio.TaskGroup() as group:
            for number in range(300):
                work = store.claim("h", 1, {}, AT) if number % 3 == 0 else store.tasks(Filter(), 30)
                caller = group.create_task(work, name="caller")
                asyncio.get_running_loop().call_later(rng.random() * 0.05, caller.cancel)
        held = await store.pulse("h", [])
        rest = await store.claim("h", 100, {}, AT)
        assert len(held) + len(rest) == 30


async def test_a_store_that_is_left_by_an_error_passes_it_on(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        async with place.store() as store:
            await added(store, 1)
            raise ZeroDivisionError
    async with place.store() as store:
        assert await store.count(Filter()) == 1
