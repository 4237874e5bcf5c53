"""The users of a Seafile server come through the HTTP door as who they are there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.http.client import Client
from tests.http.conftest import House, house
from tests.servers.seafile import SeafServer
from tests.servers.seafile.web import WEB

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@example.org"
ME = "/api/v1/me"
TASKS = "/api/v1/tasks"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path_factory.mktemp("seafile") / "seafile", version="13.0") as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(tmp_path_factory: pytest.TempPathFactory, server: SeafServer) -> AsyncIterator[House]:
    async with house(
        tmp_path_factory.mktemp("http"),
        daemon={"enabled": False},
        auth={"seahub_url": server.seahub, "admins": [EVE]},
        http={"public_url": "https://files.example.org/odl/"},
    ) as running:
        yield running


async def browser(still: House, server: SeafServer, user: str) -> Client:
    return Client(still.base, cookie=f"sessionid={await server.sign_in(user)}; sfcsrftoken=x")


async def test_an_api_token_of_the_server_opens_the_door(still: House, server: SeafServer) -> None:
    client = Client(still.base, await server.create_token(ALICE))
    assert (await client.get(ME))["owner"] == ALICE
    told = await still.nobody.ask("GET", ME, headers={"Authorization": f"Token {client.token}"})
    assert told.json["owner"] == ALICE
    (task_id,) = await client.add("https://example.com/a")
    assert (await client.get(f"{TASKS}/{task_id}"))["task"]["owner"] == ALICE
    assert (await Client(still.base, "0" * 40).ask("GET", ME)).status == 401


async def test_a_browser_that_is_signed_in_there_is_signed_in_here(still: House, server: SeafServer) -> None:
    alice = await browser(still, server, ALICE)
    assert (await alice.get(ME))["owner"] == ALICE
    assert (await Client(still.base, cookie="sessionid=" + "0" * 32).ask("GET", ME)).status == 401
    told = await alice.ask("POST", TASKS, {"urls": ["https://example.com/a"]})
    assert (told.status, told.reason) == (403, "cross_site")
    told = await alice.ask("POST", TASKS, {"urls": ["https://example.com/a"]}, headers={"X-Odl": "1"})
    assert told.json["results"][0]["task"]["owner"] == ALICE


async def test_staff_there_and_admins_of_the_settings_are_admins_here(still: House, server: SeafServer) -> None:
    await server.make_staff(BOB)
    for user, admin in ((ALICE, False), (BOB, True), (EVE, True)):
        for client in (await browser(still, server, user), Client(still.base, await server.create_token(user))):
            assert (await client.get(ME))["admin"] is admin
            assert (await client.ask("GET", "/api/v1/admin/users")).status == (200 if admin else 403)


async def test_the_server_is_asked_once_a_minute(still: House, server: SeafServer) -> None:
    alice = await browser(still, server, ALICE)
    before = (await server.calls())[WEB]
    for _ in range(5):
        await alice.get(ME)
    assert (await server.calls())[WEB] == before + 1


async def test_a_key_of_ours_is_never_shown_there(still: House, server: SeafServer) -> None:
    before = (await server.calls()).get(WEB, 0)
    assert (await still.ann.ask("GET", ME)).status == 200
    assert (await Client(still.base, "odl_" + "x" * 43).ask("GET", ME)).status == 401
    assert (await (await still.browser(ALICE)).get(ME))["owner"] == ALICE
    assert (await server.calls()).get(WEB, 0) == before


async def test_while_the_web_site_is_away_our_own_keys_go_on_opening_the_door(still: House, server: SeafServer) -> None:
    known, signed_in = Client(still.base, await server.create_token(ALICE)), await still.browser(ALICE)
    assert (await known.get(ME))["owner"] == ALICE
    await server.die()
    try:
        for client in (Client(still.base, "1" * 40), Client(still.base, cookie="sessionid=" + "1" * 32)):
            told = await client.ask("GET", ME)
            assert (told.status, told.reason, told.json["error"]["action"]) == (503, "away", "retry")
            assert told.sentence == "the Seafile web site does not answer: try again in a moment"
        for client in (still.ann, signed_in, known):
            assert (await client.ask("GET", ME)).status == 200
        both = Client(still.base, cookie=f"{signed_in.cookie}; sessionid=2")
        assert (await both.get(ME))["owner"] == ALICE
        assert (await still.nobody.ask("GET", ME)).status == 401
    finally:
        await server.start()
