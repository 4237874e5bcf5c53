"""The door behind nginx, with the very lines that docs/api.md gives."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.until import until
from tests.http.client import Client, until_event
from tests.http.conftest import ANN, House, house
from tests.servers.child import Child
from tests.servers.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
ME = "/api/v1/me"

CONF = """
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 418; }}  # whoever is beside us
        {lines}
    }}
}}
"""


@asynccontextmanager
async def nginx(folder: Path, port: int, door: int) -> AsyncIterator[None]:
    """nginx with what the document says, before the door at this port."""
    found = re.search(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    assert "127.0.0.1:8098" in found[1]
    lines = found[1].replace("127.0.0.1:8098", f"127.0.0.1:{door}")
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(CONF.format(user=user, port=port, lines=lines))
    child = Child(["nginx", "-p", str(folder), "-e", "error.log", "-c", str(folder / "conf")], output=folder / "said")
    try:
        await until(lambda: listens(port), what="nginx")
        yield
    finally:
        await child.kill()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house that is reached by its public URL only."""
    folder = tmp_path_factory.mktemp("http")
    port, door = free_port(), free_port()
    public = f"http://localhost:{port}/odl"
    http = {"listen": f"127.0.0.1:{door}", "public_url": public + "/", "trusted_proxies": ["127.0.0.1"]}
    async with (
        house(folder / "daemon", http=http, daemon={"enabled": False}) as running,
        nginx(folder / "nginx", port, door),
    ):
        running.base = public
        running.ann = replace(running.ann, base=public)
        yield running


async def test_programs_ask_below_the_prefix(behind: House) -> None:
    assert (await behind.ann.get(ME))["owner"] == ANN
    (task_id,) = await behind.ann.add("https://example.com/a")
    assert (await behind.ann.get(f"/api/v1/tasks/{task_id}"))["task"]["owner"] == ANN
    told = await behind.nobody.ask("GET", ME)
    assert (told.status, told.reason) == (401, "not_signed_in")


async def test_a_browser_signs_in_and_its_cookie_goes_nowhere_else(behind: House) -> None:
    origin = behind.base.removesuffix("/odl")
    ours = {"X-Odl": "1", "Origin": origin, "Sec-Fetch-Site": "same-origin"}
    once = await behind.key(ANN, once=True)
    told = await behind.nobody.ask("POST", "/api/v1/session", {"token": once}, headers=ours)
    assert (told.status, told.cookies["odl_session"]["path"]) == (200, "/odl")
    browser = Client(behind.base, cookie=f"odl_session={told.cookies['odl_session'].value}")
    body = {"urls": ["https://example.com/b"]}
    assert (await browser.ask("POST", "/api/v1/tasks", body, headers=ours)).status == 200
    theirs = {**ours, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await browser.ask("POST", "/api/v1/tasks", body, headers=theirs)).status == 403
    assert (await browser.ask("DELETE", "/api/v1/session", headers=ours)).status == 200
    assert (await browser.ask("GET", ME)).status == 401


async def test_events_are_not_held_back(behind: House) -> None:
    async with asyncio.timeout(10), behind.ann.events() as events:
        await until_event(events, "hello")
        (task_id,) = await behind.ann.add("https://example.com/c")
        assert [task["id"] for task in (await until_event(events, "tasks")).data["tasks"]] == [task_id]


async def test_a_web_socket_comes_through(behind: House) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{behind.base}/jsonrpc") as line,
    ):
        await line.send_json({"jsonrpc": "2.0", "id": 1, "method": "system.listMethods", "params": []})
        assert "result" in await line.receive_json()


async def test_what_is_for_the_operator_is_for_nobody_else(behind: House) -> None:
    for path in ("/metrics", "/healthz", "/readyz"):
        assert (await behind.nobody.ask("GET", path)).status == 404
    told = await Client(behind.base.removesuffix("/odl")).ask("GET", "/odl")
    assert (told.status, told.headers["Location"].endswith("/odl/")) == (301, True)
    assert (await Client(behind.base.removesuffix("/odl")).ask("GET", "/")).status == 418
