"""Keys are known, run out, and are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from odl_daemon.engine.keyring import FRESH, ONCE, SESSION, Keyring
from odl_daemon.model.keys import Key, KeyKind, Principal

ANN, BOB = Principal("ann"), Principal("bob", admin=True)


class Drawer:
    """ports.KeyStore in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.looks = 0

    async def add(self, key: Key) -> None:
        self.keys[key.digest] = key

    async def find(self, digest: str) -> Key | None:
        self.looks += 1
        return self.keys.get(digest)

    async def all(self) -> list[Key]:
        return sorted(self.keys.values(), key=lambda key: key.created)

    async def drop(self, digests: Sequence[str]) -> list[str]:
        await asyncio.sleep(0)
        return [digest for digest in digests if self.keys.pop(digest, None)]


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(drawer: Drawer, clock: Clock) -> Keyring:
    return Keyring(drawer, clock)


async def token(keyring: Keyring, principal: Principal = ANN, days: float | None = None) -> str:
    secret, _ = await keyring.make(principal, lasts=None if days is None else timedelta(days=days))
    return secret


async def once(keyring: Keyring, principal: Principal = ANN) -> str:
    secret, _ = await keyring.make(principal, KeyKind.ONCE)
    return secret


async def signed_in(keyring: Keyring, secret: str) -> str:
    made = await keyring.sign_in(secret)
    assert made is not None
    return made[0]


async def test_nothing_by_which_a_key_could_be_used_is_kept(keyring: Keyring, drawer: Drawer) -> None:
    secret = await token(keyring)
    assert len(secret) >= 43
    assert secret not in repr(drawer.keys)
    assert secret.removeprefix("odl_") not in repr(vars(keyring))


async def test_each_kind_opens_only_its_own_door(keyring: Keyring) -> None:
    made = {kind: (await keyring.make(ANN, kind))[0] for kind in KeyKind}
    for kind, secret in made.items():
        for asked in KeyKind:
            assert await keyring.recognise(secret, asked) == (ANN if asked is kind else None)
    assert await keyring.sign_in(made[KeyKind.SESSION]) is None


@pytest.mark.parametrize("secret", ["", "odl_", "odl_" + "x" * 97, "odl_é", "odl_\ud800", "x" * 47, "ODL_" + "x" * 43])
async def test_what_can_be_no_key_is_not_even_looked_for(keyring: Keyring, drawer: Drawer, secret: str) -> None:
    assert await keyring.recognise(secret, *KeyKind) is None
    assert await keyring.sign_in(secret) is None
    assert drawer.looks <= (2 if secret == "odl_" else 0)


async def test_a_key_is_good_until_its_time(keyring: Keyring, clock: Clock) -> None:
    secret = await token(keyring, days=1)
    clock.on(86_400 - 1)
    assert await keyring.recognise(secret, KeyKind.TOKEN) == ANN
    clock.on(1)
    assert await keyring.recognise(secret, KeyKind.TOKEN) is None
    assert await keyring.sign_in(secret) is None


async def test_a_link_signs_in_once(keyring: Keyring, clock: Clock) -> None:
    secret = await once(keyring)
    made = await asyncio.gather(*(keyring.sign_in(secret) for _ in range(5)))
    assert sum(each is not None for each in made) == 1
    assert await keyring.sign_in(secret) is None


async def test_a_link_signs_in_for_twelve_hours(keyring: Keyring, clock: Clock) -> None:
    good, late = await once(keyring), await once(keyring)
    clock.on(ONCE.total_seconds() - 1)
    assert await keyring.sign_in(good)
    clock.on(1)
    assert await keyring.sign_in(late) is None


@pytest.mark.parametrize(("days", "lasts"), [(None, SESSION), (1, timedelta(days=1)), (400, SESSION)])
async def test_a_session_lives_no_longer_than_the_token_that_made_it(
    keyring: Keyring, clock: Clock, days: float | None, lasts: timedelta
) -> None:
    session = await signed_in(keyring, await token(keyring, days=days))
    clock.on(lasts.total_seconds() - 1)
    assert await keyring.recognise(session, KeyKind.SESSION) == ANN
    clock.on(1)
    assert await keyring.recognise(session, KeyKind.SESSION) is None


async def test_a_key_is_looked_up_once_in_a_while(keyring: Keyring, drawer: Drawer, clock: Clock) -> None:
    secret = await token(keyring)
    for _ in range(3):
        assert await keyring.recognise(secret, KeyKind.TOKEN)
    assert drawer.looks == 1
    clock.on(FRESH)
    await keyring.recognise(secret, KeyKind.TOKEN)
    assert drawer.looks == 2


async def test_what_another_daemon_took_back_is_good_for_seconds_only(
    keyring: Keyring, drawer: Drawer, clock: Clock
) -> None:
    secret = await token(keyring)
    assert await keyring.recognise(secret, KeyKind.TOKEN)
    other = Keyring(drawer, clock)
    await other.revoke([key.id for key in await other.all()])
    clock.on(FRESH)
    assert await keyring.recognise(secret, KeyKind.TOKEN) is None


async def test_a_clock_that_is_set_back_keeps_nothing_alive(keyring: Keyring, drawer: Drawer, clock: Clock) -> None:
    secret = await token(keyring)
    assert await keyring.recognise(secret, KeyKind.TOKEN)
    drawer.keys.clear()
    clock.on(-3600)
    assert await keyring.recognise(secret, KeyKind.TOKEN) is None


async def test_who_loses_a_key_loses_his_sessions_and_nobody_else_does(keyring: Keyring) -> None:
    leaked, other, bobs = await token(keyring), await token(keyring), await token(keyring, BOB)
    sessions = [await signed_in(keyring, secret) for secret in (leaked, other, bobs)]
    (first, *_) = await keyring.all()
    assert await keyring.revoke([first.id, "no such id"]) == [first.id]
    assert [await keyring.recognise(secret, KeyKind.TOKEN) for secret in (leaked, other, bobs)] == [None, ANN, BOB]
    assert [await keyring.recognise(each, KeyKind.SESSION) for each in sessions] == [None, None, BOB]


async def test_all_that_a_user_has_can_be_taken_back_at_once(keyring: Keyring) -> None:
    session = await signed_in(keyring, await once(keyring))
    mine, bobs = await token(keyring), await token(keyring, BOB)
    assert len(await keyring.revoke([], "ann")) == 1
    assert await keyring.recognise(session, KeyKind.SESSION) is None
    assert await keyring.recognise(mine, KeyKind.TOKEN) is None
    assert await keyring.recognise(bobs, KeyKind.TOKEN) == BOB


async def test_a_session_is_neither_listed_nor_revoked_by_an_id(keyring: Keyring, drawer: Drawer) -> None:
    session = await signed_in(keyring, await once(keyring))
    assert await keyring.all() == []
    (key,) = drawer.keys.values()
    assert await keyring.revoke([key.id]) == []
    assert await keyring.recognise(session, KeyKind.SESSION) == ANN


async def test_signing_out_ends_this_session_alone(keyring: Keyring) -> None:
    one, two = [await signed_in(keyring, await once(keyring)) for _ in range(2)]
    await keyring.sign_out(one)
    assert await keyring.recognise(one, KeyKind.SESSION) is None
    assert await keyring.recognise(two, KeyKind.SESSION) == ANN


async def test_keys_that_nobody_has_do_not_fill_the_memory(keyring: Keyring) -> None:
    for number in range(3000):
        await keyring.recognise(f"odl_{number}", KeyKind.TOKEN)
    assert len(keyring._known) <= 1000
