"""What a user reads before a link is handed over is what would become of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.acceptance.conftest import Table
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content
from tests.servers.ports import free_port

MIB = 1 << 20
ANN = "ann@example.com"

Look = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def daemon(start_daemon: StartDaemon, sqlite: Table) -> Daemon:
    listen = f"127.0.0.1:{free_port()}"
    limits = {"max_size": 5 * MIB}
    return await start_daemon("a", database=sqlite.url, http={"listen": listen}, limits=limits)


@pytest.fixture
async def look(daemon: Daemon) -> AsyncIterator[Look]:
    token = (await daemon.odl("token", "create", "--owner", ANN)).out.strip()
    listen = daemon.setting("http", "listen")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:

        async def ask(url: str, **more: object) -> dict[str, Any]:
            async with session.post(f"http://{listen}/api/v1/preflight", json={"url": url, **more}) as answer:
                assert answer.status == 200, await answer.text()
                found: dict[str, Any] = await answer.json()
                return found

        yield ask


async def test_a_card_tells_name_size_and_that_nothing_is_in_the_way(look: Look, origin: Origin) -> None:
    disposition = {"Content-Disposition": "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf", "Accept-Ranges": "bytes"}
    origin.pages["/moved"] = Page(status=302, headers={"Location": origin.url("/file?id=1")})
    origin.pages["/file"] = Page(content(MIB), headers=disposition)
    card = await look(origin.url("/moved"))
    assert (card["final_url"], card["name"]) == (origin.url("/file?id=1"), "résumé.pdf")
    assert (card["size"], card["resumable"]) == (MIB, True)
    assert all(verdict["ok"] for verdict in card["verdicts"])
    assert {verdict["what"] for verdict in card["verdicts"]} == {"link", "target", "size", "quota", "disk"}
    assert origin.sent["/file"] == 0


async def test_a_card_tells_what_is_in_the_way(look: Look, origin: Origin) -> None:
    origin.pages["/large"] = Page(content(6 * MIB))
    origin.pages["/endless"] = Page(b"x", declared=1 << 50)
    assert _no(await look(origin.url("/large"))) == ["size"]
    assert _no(await look(origin.url("/endless"))) == ["size", "disk"]
    assert _no(await look(origin.url("/missing"))) == ["link"]
    assert _no(await look(origin.url("/missing"), path="/no/such/folder", library="none")) == ["link", "target"]
    assert _no(await look("http://10.0.0.1/")) == ["link"]
    assert _no(await look("ftp://example.org/")) == ["link"]


def _no(card: dict[str, Any]) -> list[str]:
    return [verdict["what"] for verdict in card["verdicts"] if not verdict["ok"]]
