"""What is kept of keys."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

from odl_daemon.model.keys import Key, KeyKind, Principal
from tests.store.conftest import AT, Place, later

DAY = timedelta(days=1)


def key(name: str, kind: KeyKind = KeyKind.TOKEN, *, seconds: float = 0, lasts: timedelta | None = None) -> Key:
    digest = hashlib.sha256(name.encode()).hexdigest()
    at = later(seconds)
    return Key(digest, kind, Principal("Änn@x", admin=True), f"{name} 🗝", at, at + lasts if lasts else None)


async def test_a_key_is_kept_as_it_was_until_it_is_dropped(place: Place) -> None:
    one, two, three = key("b"), key("a", KeyKind.ONCE, seconds=1, lasts=DAY), key("c", KeyKind.SESSION, seconds=2)
    async with place.store() as store:
        for each in (three, one, two):
            await store.keys.add(each)
        assert await store.keys.find(two.digest) == two
        assert await store.keys.find(key("no").digest) is None
        assert await store.keys.all() == [one, two, three]
        assert await store.keys.drop([two.digest, key("no").digest, one.digest]) == [two.digest, one.digest]
        assert await store.keys.drop([two.digest]) == []
        assert await store.keys.all() == [three]


async def test_a_key_that_is_added_twice_is_there_once(place: Place) -> None:
    async with place.store() as store:
        await store.keys.add(key("a"))
        await store.keys.add(key("a"))
        assert await store.keys.all() == [key("a")]


async def test_what_has_run_out_goes_when_a_key_is_added(place: Place) -> None:
    lasting, over, fresh = key("a"), key("b", lasts=DAY), key("c", seconds=86_400)
    async with place.store() as store:
        for each in (lasting, over, fresh):
            await store.keys.add(each)
        assert await store.keys.all() == [lasting, fresh]


async def test_of_several_who_drop_a_key_one_has_dropped_it(place: Place) -> None:
    async with place.store() as one, place.store() as two:
        await one.keys.add(key("a"))
        dropped = await asyncio.gather(*(store.keys.drop([key("a").digest]) for store in (one, two) * 3))
    assert sorted(dropped) == [*[[]] * 5, [key("a").digest]]


async def test_digests_that_differ_in_a_letter_are_different_keys(place: Place) -> None:
    async with place.store() as store:
        await store.keys.add(key("a"))
        assert await store.keys.find(key("a").digest.upper()) is None


async def test_times_are_kept_to_the_microsecond(place: Place) -> None:
    async with place.store() as store:
        await store.keys.add(key("a", lasts=timedelta(microseconds=1)))
        found = await store.keys.find(key("a").digest)
    assert found is not None
    assert (found.created, found.expires) == (AT, AT + timedelta(microseconds=1))
