"""The stand-in's web site answers as Seahub's sources say that the real ones do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.servers.seafile import SeafServer
from tests.servers.seafile.web import PAGE, WEB, WEB_WRITE

ALICE: Final = "alice@example.org"
BOB: Final = "bob@example.org"
NOBODYS: Final = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(
    params=["13.0", pytest.param("8.0", marks=pytest.mark.chaos), pytest.param("12.0", marks=pytest.mark.chaos)]
)
async def seafile(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version=request.param) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Told:
    status: int
    headers: Mapping[str, str]
    json: object
    """None if it is a page."""


class Browser:
    """Asks as one user."""

    def __init__(self, server: SeafServer, token: str) -> None:
        self._server = server
        self._headers = {"Authorization": f"Token {token}"}

    async def ask(self, path: str, folder: str = "", *, mkdir: bool = False) -> Told:
        query = {"p": folder} if folder else {}
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.request(
                "POST" if mkdir else "GET",
                self._server.seahub + path,
                params=query,
                data={"operation": "mkdir"} if mkdir else None,
                allow_redirects=False,
            ) as answer,
        ):
            return Told(
                answer.status,
                answer.headers,
                await answer.json() if answer.content_type == "application/json" else None,
            )


async def browser_of(server: SeafServer, user: str) -> Browser:
    return Browser(server, await server.create_token(user))


async def test_a_library_shows_its_owner_and_what_may_be_done(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    alice, bob = await browser_of(seafile, ALICE), await browser_of(seafile, BOB)
    told = (await alice.ask(f"/api/v2.1/repos/{repo}/")).json
    assert isinstance(told, dict)
    assert (told["owner_email"], told["permission"], told["status"], told["encrypted"], told["no_quota"]) == (
        *(ALICE, "rw", "normal"),
        *(False, False),
    )
    assert (await bob.ask(f"/api/v2.1/repos/{repo}/")).status == 403
    await seafile.share(repo, BOB, "rw")
    await seafile.set_status(repo, 1)
    told = (await bob.ask(f"/api/v2.1/repos/{repo}/")).json
    assert isinstance(told, dict)
    assert (told["owner_email"], told["permission"], told["status"]) == (ALICE, "r", "read-only")


@pytest.mark.parametrize("path", [f"/api/v2.1/repos/{NOBODYS}/", f"/api2/repos/{NOBODYS}/dir/"])
async def test_no_library_is_told_in_json_and_no_route_by_a_page(seafile: SeafServer, path: str) -> None:
    alice = await browser_of(seafile, ALICE)
    told = await alice.ask(path)
    assert (told.status, isinstance(told.json, dict)) == (404, True)
    told = await alice.ask(path.replace(NOBODYS, NOBODYS.replace("-4", "-A")))
    assert (told.status, told.json) == (404, None)


async def test_a_bad_token_and_a_closed_account_differ(seafile: SeafServer) -> None:
    alice, stranger = await browser_of(seafile, ALICE), Browser(seafile, "0" * 40)
    await seafile.deactivate(ALICE)
    for browser, status in ((stranger, 401), (alice, 403)):
        told = await browser.ask("/api2/account/info/")
        assert told.status == status
        assert isinstance(told.json, dict)
        assert set(told.json) == {"detail"}


async def test_a_browser_that_is_signed_in_is_known_by_its_cookie(seafile: SeafServer) -> None:
    async def told(cookie: str) -> tuple[int, object]:
        headers = {"Cookie": cookie}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(seafile.seahub + "/api2/account/info/", headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    await seafile.make_staff(BOB)
    alice, bob = await seafile.sign_in(ALICE), await seafile.sign_in(BOB)
    for session, user, staff in ((alice, ALICE, False), (bob, BOB, True)):
        status, account = await told(f"sfcsrftoken=x; sessionid={session}")
        assert isinstance(account, dict)
        assert (status, account["email"], account["is_staff"]) == (200, user, staff)
    await seafile.sign_out(alice)
    for cookie in (f"sessionid={alice}", "sessionid=", "other=1"):
        assert (await told(cookie))[0] == 403


async def test_an_account_shows_what_it_uses(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.put(repo, "/a", b"12345")
    alice = await browser_of(seafile, ALICE)
    for quota in (-2, 100):
        await seafile.set_quota(ALICE, quota)
        told = (await alice.ask("/api2/account/info/")).json
        assert isinstance(told, dict)
        assert (told["email"], told["usage"], told["total"]) == (ALICE, 5, quota)


async def test_a_listing_tells_kinds_sizes_ids_and_who(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.make_folder(repo, "/a & b/sub")
    await seafile.put(repo, "/a & b/x", b"12345", user=BOB)
    told = await (await browser_of(seafile, ALICE)).ask(f"/api2/repos/{repo}/dir/", "/a & b")
    assert told.status == 200
    assert len(told.headers["oid"]) == 40
    assert isinstance(told.json, list)
    folder, file = told.json
    assert (folder["type"], folder["name"], "size" in folder) == ("dir", "sub", False)
    assert (file["type"], file["name"], file["size"], file["modifier_email"]) == ("file", "x", 5, BOB)
    assert file["id"] == (await seafile.files(repo))["/a & b/x"].id


@pytest.mark.parametrize("route", ["dir", "upload-link"])
async def test_a_missing_folder_is_404_and_one_below_it_an_error(seafile: SeafServer, route: str) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.put(repo, "/file", b"")
    alice = await browser_of(seafile, ALICE)
    for path, status in {"/no": 404, "/file": 404, "/no/folder": 500, "/file/folder": 500, "/no/such/one": 500}.items():
        told = await alice.ask(f"/api2/repos/{repo}/{route}/", path)
        assert (told.status, told.json is None) == (status, status == 500), path


async def test_a_folder_is_made_and_a_taken_name_numbered(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    alice, bob = await browser_of(seafile, ALICE), await browser_of(seafile, BOB)
    await seafile.share(repo, BOB, "r")
    route = f"/api2/repos/{repo}/dir/"
    made = [(await alice.ask(route, "/a/", mkdir=True)).status for _ in range(2)]
    assert made == [201, 201]
    assert [(await alice.ask(route, folder)).status for folder in ("/a", "/a (1)", "/a (2)")] == [200, 200, 404]
    assert (await alice.ask(route, "/no/folder", mkdir=True)).status == 404
    assert (await bob.ask(route, "/b", mkdir=True)).status == 403


async def test_a_link_for_uploads_needs_rw_and_room(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    alice, bob = await browser_of(seafile, ALICE), await browser_of(seafile, BOB)
    route = f"/api2/repos/{repo}/upload-link/"
    told = await alice.ask(route, "/")
    assert isinstance(told.json, str)
    assert told.json.startswith(f"{seafile.file_server}/upload-api/")
    assert (await bob.ask(route, "/")).status == 403
    await seafile.share(repo, BOB, "r")
    assert (await bob.ask(route, "/")).status == 403
    await seafile.put(repo, "/a", b"12345")
    await seafile.set_quota(ALICE, 5)
    assert (await alice.ask(route, "/")).status == 443


async def test_what_shall_go_wrong_does(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    alice = await browser_of(seafile, ALICE)
    route = f"/api2/repos/{repo}/dir/"
    await seafile.fail("refuse", WEB, code=429)
    assert (await alice.ask(route)).headers["Retry-After"] == "1"
    await seafile.fail("refuse", WEB, code=302, message=PAGE)
    told = await alice.ask(route)
    assert (told.status, told.json) == (302, None)
    await seafile.fail("drop", WEB_WRITE)
    with pytest.raises(aiohttp.ClientError):
        await alice.ask(route, "/made", mkdir=True)
    assert (await alice.ask(route, "/made")).status == 200
