"""What users have taken, and how much of it claims let begin."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.model.shares import Share, Shares, Used, hour_of
from odl_daemon.ports import Taken
from tests.store.conftest import AT, Place, added

HOUR = timedelta(hours=1)
ONE_AT_ONCE = Shares(Share(running=1))


async def test_a_day_is_the_last_24_hours(place: Place) -> None:
    async with place.store() as store:
        await store.charge({"ann@x": Taken(1, 10)}, AT - 24 * HOUR)
        await store.charge({"ann@x": Taken(2, 20)}, AT - 23 * HOUR)
        await store.charge({"ann@x": Taken(3, 30), "bob@x": Taken(1)}, AT)
        await store.charge({"ann@x": Taken(0, 5)}, AT)
        used = await store.used([], AT)
    assert used == {
        "ann@x": Used(tasks=5, hours=((hour_of(AT) - 23, 20), (hour_of(AT), 35))),
        "bob@x": Used(tasks=1),
    }


async def test_what_is_older_than_a_day_goes(place: Place) -> None:
    async with place.store() as store:
        await store.charge({"ann@x": Taken(1, 10)}, AT - 30 * HOUR)
        await store.charge({"bob@x": Taken(1, 10)}, AT)
    assert [tuple(row) for row in await place.run("SELECT owner FROM odl_used")] == [("bob@x",)]


async def test_tasks_are_counted_by_what_they_do(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 6)
        await store.settle([advance(tasks[0], Event.PAUSED, at=AT), advance(tasks[1], Event.FAILED, at=AT)])
        await store.claim("h", 1, {}, AT)
        used = await store.used(["ann@x", "nobody@x"], AT)
    assert used == {"ann@x": Used(running=1, queued=4), "nobody@x": Used()}


async def test_charges_of_two_daemons_add_up(place: Place) -> None:
    async with place.store() as one, place.store() as two:
        both = {"ann@x": Taken(1, 7), "bob@x": Taken(0, 1)}
        await asyncio.gather(*[store.charge(both, AT) for store in (one, two) for _ in range(10)])
        used = await one.used(["ann@x", "bob@x"], AT)
    assert [(each.tasks, each.bytes) for each in used.values()] == [(20, 140), (0, 20)]


async def test_no_more_of_a_user_begin_than_his_share_says(place: Place) -> None:
    async with place.store() as store:
        await added(store, 9, owner="ann@x")
        await added(store, 9, owner="bob@x")
        shares = Shares(Share(running=3))
        first = await store.claim("h", 4, {}, AT, shares=shares)
        second = await store.claim("h", 100, {}, AT, shares=shares)
        assert Counter(task.owner for task in first + second) == {"ann@x": 3, "bob@x": 3}
        await store.save(advance(first[0], Event.FAILED, at=AT))
        (freed,) = await store.claim("h", 100, {}, AT, shares=shares)
        assert freed.owner == first[0].owner


async def test_daemons_that_claim_at_once_keep_a_users_share_together(place: Place) -> None:
    async with place.store() as one, place.store() as two:
        for number in range(20):
            await added(one, 3, owner=f"user{number}@x")
        claims = [store.claim(name, 30, {}, AT, shares=ONE_AT_ONCE) for store, name in ((one, "h"), (two, "i"))]
        claimed = [task for found in await asyncio.gather(*claims) for task in found]
    owners = Counter(task.owner for task in claimed)
    assert (len(owners), set(owners.values())) == (20, {1})


async def test_who_may_begin_nothing_holds_nobody_up(place: Place) -> None:
    async with place.store() as store:
        for number in range(60):
            await added(store, 2, owner=f"user{number:02}@x")
        await added(store, 2, owner="zoe@x")
        day = {f"user{number:02}@x": Taken(0, 100) for number in range(60)}
        await store.charge(day, AT)
        claimed = await store.claim("h", 5, {}, AT, shares=Shares(Share(bytes_per_day=100)))
    assert [task.owner for task in claimed] == ["zoe@x", "zoe@x"]


async def test_what_was_begun_is_claimed_where_nothing_fresh_may_begin(place: Place) -> None:
    async with place.store() as store:
        begun, _ = await added(store, 2)
        await store.settle([replace(begun, due=-2)])
        claimed = await store.claim("h", 9, {}, AT, fresh=False)
        assert [task.id for task in claimed] == [begun.id]


async def test_places_in_line_are_told_for_many_at_once(place: Place) -> None:
    async with place.store() as store:
        ann, bob = await added(store, 120, owner="ann@x"), await added(store, 3, owner="bob@x")
        await store.settle([replace(ann[7], due=-1), advance(ann[9], Event.CANCELLED, at=AT)])
        asked = [ann[0], ann[8], ann[10], ann[119], bob[2], replace(ann[7], due=-1)]
        assert await store.ahead_of(asked, AT) == [1, 8, 9, 118, 2, 0]
