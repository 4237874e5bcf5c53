"""Who comes through the HTTP door: by a token, by a link that signs a browser in, and until when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.http.client import Client, Told, until_event
from tests.http.conftest import ANN, BOB, BOSS, House, house

pytestmark = pytest.mark.asyncio(loop_scope="module")

ME = "/api/v1/me"
SESSION = "/api/v1/session"
ODL = {"X-Odl": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A daemon that begins nothing."""
    async with house(
        tmp_path_factory.mktemp("http"),
        daemon={"enabled": False},
        limits={"queued": 500, "bytes_per_day": "1 GiB"},
        auth={"admins": ["second@example.com"]},
        http={"public_url": "https://files.example.org/odl/"},
    ) as running:
        yield running


async def sign_in(client: Client, secret: str, **headers: str) -> Told:
    return await client.ask("POST", SESSION, {"token": secret}, headers={**ODL, **headers})


async def expire(still: House, owner: str) -> None:
    """The keys of a user run out now."""
    still.sql("UPDATE odl_key SET expires = 1000 WHERE owner = ?", (owner,))


# --- who asks


async def test_a_token_tells_who_asks_and_what_he_may(still: House) -> None:
    me = await still.ann.get(ME)
    assert (me["owner"], me["admin"], me["local"], me["libraries"]) == (ANN, False, False, ["default"])
    assert me["limits"]["limits"] == {
        "running": None,
        "queued": 500,
        "bytes_per_day": 1 << 30,
        "tasks_per_day": None,
        "max_size": None,
    }
    assert me["limits"] == await still.ann.get("/api/v1/limits")


async def test_the_one_user_of_a_daemon_of_his_own_is_told_so(still: House) -> None:
    assert (await (await still.client("local")).get(ME))["local"] is True


async def test_admins_are_those_whose_key_says_so_and_those_of_the_settings(still: House) -> None:
    second = await still.client("second@example.com")
    assert [(await client.get(ME))["admin"] for client in (still.ann, still.boss, second)] == [False, True, True]
    assert (await second.get("/api/v1/admin/users"))["users"] is not None
    browser = await still.browser("second@example.com")
    assert (await browser.get(ME))["admin"] is True


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "TOKEN  "])
async def test_a_token_may_be_shown_in_either_words(still: House, scheme: str) -> None:
    told = await still.nobody.ask("GET", ME, headers={"Authorization": f"{scheme} {still.ann.token}"})
    assert (told.status, told.json["owner"]) == (200, ANN)


async def test_a_key_that_never_was_has_run_out_or_was_taken_back_hears_the_same(still: House) -> None:
    owner = "over@example.com"
    revoked, once = await still.client(owner), await still.client(owner, once=True)
    session = await still.browser(owner)
    assert (await revoked.get(ME))["owner"] == owner
    assert (await still.daemon.odl("token", "revoke", "--owner", owner)).code == 0
    late = await still.client("late@example.com", days=1)
    await expire(still, "late@example.com")
    told = [
        await client.ask("GET", ME)
        for client in (still.nobody, Client(still.base, "odl_" + "x" * 43), Client(still.base, "nonsense"), late)
    ]
    told += [await client.ask("GET", ME) for client in (revoked, once, session)]
    assert {(each.status, each.text) for each in told} == {
        (401, '{"error":{"reason":"not_signed_in","sentence":"sign in first","action":"sign_in"}}')
    }
    assert {each.headers["WWW-Authenticate"] for each in told} == {"Bearer"}


async def test_a_token_counts_more_than_a_cookie(still: House) -> None:
    browser = await still.browser(ANN)
    told = await browser.ask("GET", ME, headers={"Authorization": f"Bearer {still.bob.token}"})
    assert told.json["owner"] == BOB
    assert (await browser.ask("GET", ME, headers={"Authorization": "Bearer wrong"})).status == 401


async def test_a_password_for_the_web_server_before_us_is_no_token(still: House) -> None:
    browser = await still.browser(ANN)
    told = await browser.ask("GET", ME, headers={"Authorization": "Basic dXNlcjpwYXNz"})
    assert (told.status, told.json["owner"]) == (200, ANN)


# --- a browser


async def test_a_link_signs_one_browser_in(still: House) -> None:
    once = await still.key(ANN, once=True)
    told = await sign_in(still.nobody, once)
    assert (told.status, told.json["owner"]) == (200, ANN)
    browser = Client(still.base, cookie=f"odl_session={told.cookies['odl_session'].value}")
    assert (await browser.get(ME))["owner"] == ANN
    again = await sign_in(still.nobody, once)
    assert (again.status, again.reason, dict(again.cookies)) == (401, "not_signed_in", {})
    assert (await browser.get(ME))["owner"] == ANN


async def test_of_many_who_use_a_link_at_once_one_is_signed_in(still: House) -> None:
    once = await still.key(ANN, once=True)
    told = await asyncio.gather(*(sign_in(still.nobody, once) for _ in range(8)))
    assert sorted(each.status for each in told) == [200] + [401] * 7


async def test_a_link_that_has_run_out_signs_nobody_in(still: House) -> None:
    once = await still.key("slow@example.com", once=True)
    await expire(still, "slow@example.com")
    assert (await sign_in(still.nobody, once)).status == 401


async def test_a_token_signs_in_as_often_as_it_is_shown(still: House) -> None:
    for _ in range(2):
        assert (await sign_in(still.nobody, still.ann.token)).status == 200


@pytest.mark.parametrize("secret", ["", "x" * 501, None, 7, ["a"]])
async def test_what_can_be_no_key_is_refused(still: House, secret: object) -> None:
    told = await still.nobody.ask("POST", SESSION, {"token": secret}, headers=ODL)
    assert (told.status, told.reason) == (400, "bad_request")


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(still: House) -> None:
    for headers, path, secure in (
        ({}, "/", ""),
        ({"Host": "files.example.org"}, "/odl", True),
        ({"Host": "127.0.0.1:8098", "Origin": "https://files.example.org"}, "/odl", True),
    ):
        told = await sign_in(still.nobody, still.ann.token, **headers)
        morsel = told.cookies["odl_session"]
        assert (morsel["httponly"], morsel["samesite"], morsel["max-age"]) == (True, "Strict", "2592000")
        assert (morsel["path"], morsel["secure"], morsel["domain"]) == (path, secure, "")


async def test_signing_out_ends_the_session_and_takes_the_cookie_away(still: House) -> None:
    browser, other = await still.browser(ANN), await still.browser(ANN)
    told = await browser.ask("DELETE", SESSION, headers=ODL)
    assert (told.status, told.json, told.cookies["odl_session"].value) == (200, {}, "")
    assert told.cookies["odl_session"]["max-age"] == "0"
    assert (await browser.ask("GET", ME)).status == 401
    assert (await other.get(ME))["owner"] == ANN


async def test_a_session_is_no_token_and_a_token_no_session(still: House) -> None:
    browser = await still.browser(ANN)
    secret = browser.cookie.partition("=")[2]
    assert (await Client(still.base, secret).ask("GET", ME)).status == 401
    assert (await Client(still.base, cookie=f"odl_session={still.ann.token}").ask("GET", ME)).status == 401
    assert (await sign_in(still.nobody, secret)).status == 401


async def test_a_session_ends_with_its_time(still: House) -> None:
    browser = await still.browser("sleepy@example.com")
    (created, expires) = still.sql("SELECT created, expires FROM odl_key WHERE owner = 'sleepy@example.com'")[0]
    assert expires - created == 30 * 86_400 * 1_000_000
    await expire(still, "sleepy@example.com")
    assert (await browser.ask("GET", ME)).status == 401


# --- taken back


async def test_what_is_taken_back_opens_nothing_after_ten_seconds_not_even_what_is_open(still: House) -> None:
    """By this daemon at once; by others, who write into the table, when it looks again."""
    owner = "leak@example.com"
    token, browser = await still.client(owner), await still.browser(owner)
    for client in (token, browser):
        assert (await client.get(ME))["owner"] == owner
    async with token.events() as one, browser.events() as two:
        for events in (one, two):
            await until_event(events, "hello")
        still.sql("DELETE FROM odl_key WHERE owner = ?", (owner,))
        began = time.monotonic()
        for events in (one, two):
            assert [event.name async for event in events] == []
        assert time.monotonic() - began < 11
    for client in (token, browser):
        assert (await client.ask("GET", ME)).status == 401


async def test_a_key_that_is_revoked_here_is_dead_at_once(still: House) -> None:
    token, browser = await still.client("here@example.com"), await still.browser("here@example.com")
    for client in (token, browser):
        assert (await client.ask("GET", ME)).status == 200
    listed = (await still.daemon.odl("token", "list", "--json")).out
    assert token.token not in listed
    (key,) = [line for line in (await still.daemon.odl("token", "list")).out.splitlines() if "here@example" in line]
    assert (await still.daemon.odl("token", "revoke", key.split()[0])).code == 0
    for client in (token, browser):
        assert (await client.ask("GET", ME)).status == 401


async def test_the_command_line_makes_keys_that_open_the_door(still: House) -> None:
    made = await still.daemon.odl("token", "create", "--owner", "me@example.com", "--days", "2", "--admin")
    assert (await Client(still.base, made.out.strip()).get(ME))["admin"] is True


# --- what admins see


async def test_admins_see_whose_tasks_there_are_and_what_all_may(still: House) -> None:
    one, two = await still.client("one@example.com"), await still.client("two@example.com")
    await one.add("https://example.com/1", "https://example.com/2")
    await two.add("https://example.com/3")
    users = {user["owner"]: user["counts"] for user in (await still.boss.get("/api/v1/admin/users"))["users"]}
    assert users["one@example.com"] == {"all": 2, "active": 0, "waiting": 2, "done": 0, "failed": 0}
    assert users["two@example.com"]["all"] == 1
    limits = {user["owner"]: user for user in (await still.boss.get("/api/v1/admin/limits"))["users"]}
    assert limits["one@example.com"]["left"]["queued"] == 498


async def test_admins_see_what_links_were_kept_from(still: House) -> None:
    assert await still.boss.get("/api/v1/admin/blocks", limit=5, owner=BOSS) == {"blocks": []}
    for limit in ("0", "1001", "x"):
        assert (await still.boss.ask("GET", "/api/v1/admin/blocks", query={"limit": limit})).status == 400


@pytest.mark.parametrize("path", ["users", "limits", "blocks"])
async def test_what_is_for_admins_is_for_nobody_else(still: House, path: str) -> None:
    told = await still.ann.ask("GET", f"/api/v1/admin/{path}")
    assert (told.status, told.reason) == (403, "admins_only")
    assert (await still.nobody.ask("GET", f"/api/v1/admin/{path}")).status == 401
