"""Who is who at a Seafile server, asked of its web site no more often than needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from odl_daemon.library import seahub_accounts
from odl_daemon.library.seahub_accounts import AT_ONCE, SeahubAccounts
from odl_daemon.model.keys import Principal
from odl_daemon.ports import AccountsAway
from tests.acceptance.until import until
from tests.servers.origin import Origin, Page
from tests.servers.seafile import SeafServer
from tests.servers.seafile.web import PAGE, WEB

ALICE, BOB = "alice@example.org", "bob@example.org"
INFO = "/api2/account/info/"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version="13.0") as server:
        yield server


@pytest.fixture
def accounts(server: SeafServer) -> SeahubAccounts:
    return SeahubAccounts(server.seahub + "/", limit=5)


async def looks(server: SeafServer) -> int:
    """How often the web site was asked."""
    calls = await server.calls()
    return calls.get(WEB, 0)


async def test_a_token_and_a_session_tell_who_comes_and_whether_he_is_staff(
    server: SeafServer, accounts: SeahubAccounts
) -> None:
    await server.make_staff(BOB)
    for user, staff in ((ALICE, False), (BOB, True)):
        assert await accounts.by_token(await server.create_token(user)) == Principal(user, admin=staff)
        cookies = {"sessionid": await server.sign_in(user), "sfcsrftoken": "x", "odl_session": "secret"}
        assert await accounts.by_cookies(cookies) == Principal(user, admin=staff)


async def test_nobody_is_nobody(server: SeafServer, accounts: SeahubAccounts) -> None:
    token = await server.create_token(ALICE)
    await server.deactivate(ALICE)
    assert await accounts.by_token(token) is None
    assert await accounts.by_token("0" * 40) is None
    assert await accounts.by_cookies({"sessionid": "0" * 32}) is None


@pytest.mark.parametrize("shown", ["x" * 5000, "a\r\nX-Evil: 1", "é", "\ud800", "a\0b", "\x7f"])
async def test_what_can_be_no_credential_is_not_passed_on(
    server: SeafServer, accounts: SeahubAccounts, shown: str
) -> None:
    assert await accounts.by_token(shown) is None
    assert await accounts.by_cookies({"sessionid": shown}) is None
    assert await accounts.by_cookies({}) is None
    assert await accounts.by_cookies({"other": "x"}) is None
    assert await looks(server) == 0


async def test_only_the_cookies_of_the_web_site_go_there() -> None:
    async with Origin() as origin:
        origin.pages[INFO] = Page(b'{"email": "a@x"}')
        accounts = SeahubAccounts(origin.url(""))
        assert await accounts.by_cookies({"odl_session": "secret", "sessionid": "s"}) == Principal("a@x")
        assert origin.asked[0].headers["cookie"] == "sessionid=s"


async def test_an_answer_is_remembered_for_a_minute_also_that_it_is_nobody(
    server: SeafServer, accounts: SeahubAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, cookies = await server.create_token(ALICE), {"sessionid": await server.sign_in(ALICE)}
    for _ in range(3):
        assert await accounts.by_token(token)
        assert await accounts.by_cookies(cookies)
        assert await accounts.by_token("0" * 40) is None
    assert await looks(server) == 3
    await server.sign_out(cookies["sessionid"])
    assert await accounts.by_cookies(cookies) == Principal(ALICE)
    monkeypatch.setattr(seahub_accounts, "FRESH", 0.0)
    assert await accounts.by_cookies(cookies) is None


async def test_a_token_is_not_mistaken_for_a_cookie(server: SeafServer, accounts: SeahubAccounts) -> None:
    session = await server.sign_in(ALICE)
    assert await accounts.by_cookies({"sessionid": session}) == Principal(ALICE)
    assert await accounts.by_token(session) is None
    assert await accounts.by_token(f"sessionid={session}") is None


@pytest.mark.parametrize(
    ("code", "message"), [(500, PAGE), (502, PAGE), (302, PAGE), (429, "slow down"), (404, "nothing"), (200, PAGE)]
)
async def test_what_is_no_answer_of_the_web_site_tells_nothing_and_is_not_remembered(
    server: SeafServer, accounts: SeahubAccounts, code: int, message: str
) -> None:
    token = await server.create_token(ALICE)
    await server.fail("refuse", WEB, code=code, message=message)
    with pytest.raises(AccountsAway, match=f"answered with {code}"):
        await accounts.by_token(token)
    assert await accounts.by_token(token) == Principal(ALICE)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"email": ""}', b'{"email": 7}', b"{", b"\xff", b"[" * 5000])
async def test_an_answer_that_names_nobody_is_no_answer(body: bytes) -> None:
    async with Origin() as origin:
        origin.pages[INFO] = Page(body)
        with pytest.raises(AccountsAway):
            await SeahubAccounts(origin.url("")).by_token("x")


async def test_an_answer_that_comes_in_pieces_is_read_to_its_end() -> None:
    async with Origin() as origin, asyncio.TaskGroup() as group:
        gate = asyncio.Event()
        origin.pages[INFO] = Page(b'{"email": "a@x"}', gate=gate, gate_at=7)
        asking = group.create_task(SeahubAccounts(origin.url("")).by_token("x"), name="a look")
        await until(lambda: origin.sent[INFO])
        await asyncio.sleep(0.05)  # the first piece is there, and nothing follows it yet
        gate.set()
        assert await asking == Principal("a@x")


@pytest.mark.parametrize("staff", ["1", "null", '"true"', "[]", '"yes"'])
async def test_staff_is_who_is_told_to_be_in_so_many_words(staff: str) -> None:
    async with Origin() as origin:
        origin.pages[INFO] = Page(f'{{"email": "a@x", "is_staff": {staff}}}'.encode())
        assert await SeahubAccounts(origin.url("")).by_token("x") == Principal("a@x")


async def test_a_web_site_that_is_gone_or_silent_is_a_sentence(server: SeafServer) -> None:
    accounts = SeahubAccounts(server.seahub, limit=0.3)
    await server.fail("ignore", WEB)
    with pytest.raises(AccountsAway, match="the Seafile web site does not answer: try again in a moment"):
        await accounts.by_token("x")
    await server.die()
    with pytest.raises(AccountsAway, match="does not answer"):
        await accounts.by_token("y")


async def test_a_crowd_of_made_up_tokens_does_not_keep_the_web_site_busy() -> None:
    async with Origin() as origin:
        gate = asyncio.Event()
        origin.pages[INFO] = Page(b'{"email": "a@x"}', gate=gate, gate_at=0)
        accounts = SeahubAccounts(origin.url(""))
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(accounts.by_token(f"{number}")) for number in range(AT_ONCE * 5)]
            await until(lambda: origin.at_once == AT_ONCE)
            gate.set()
        assert {each.result() for each in asked} == {Principal("a@x")}
        assert origin.most_at_once < AT_ONCE * 2  # an answer that was read may not have left there yet


async def test_made_up_tokens_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seahub_accounts, "REMEMBERED", 5)
    async with Origin() as origin:
        origin.pages[INFO] = Page(b"", status=403)
        accounts = SeahubAccounts(origin.url(""))
        for number in range(20):
            assert await accounts.by_token(f"{number}") is None
        assert len(accounts._known) == 5
