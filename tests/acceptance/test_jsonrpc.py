"""A client of aria2, pointed at the daemon, puts files into the user's own library."""

from __future__ import annotations

from typing import Any

import aiohttp

from tests.acceptance.conftest import Table
from tests.conftest import StartDaemon
from tests.servers.origin import Origin, Page, content, sha256
from tests.servers.ports import free_port

DATA = content(100_000)


async def test_a_link_of_a_browser_extension_lands_in_the_library_and_is_told_of(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    daemon = await start_daemon("a", database=sqlite.url, http={"listen": listen})
    token = (await daemon.odl("token", "create", "--owner", "ann@example.com")).out.strip()
    origin.pages["/a"] = Page(DATA)
    async with aiohttp.ClientSession() as session:

        async def call(method: str, *params: object, as_who: str = token) -> dict[str, Any]:
            message = {"jsonrpc": "2.0", "id": "1", "method": method, "params": [f"token:{as_who}", *params]}
            async with session.post(f"http://{listen}/jsonrpc", json=message) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                found: dict[str, Any] = await answer.json(content_type=None)
                return found

        async with session.ws_connect(f"http://{listen}/jsonrpc") as told:
            await told.send_json(
                {"jsonrpc": "2.0", "id": 0, "method": "aria2.getVersion", "params": [f"token:{token}"]}
            )
            assert "version" in (await told.receive_json())["result"]
            gid = (await call("aria2.addUri", [origin.url("/a")], {"out": "named.bin", "dir": "/"}))["result"]
            heard: list[str] = []
            while "aria2.onDownloadComplete" not in heard:
                notice = await told.receive_json(timeout=30)
                assert notice["params"] == [{"gid": gid}]
                heard.append(notice["method"])
            assert heard == ["aria2.onDownloadStart", "aria2.onDownloadComplete"]
        status = (await call("aria2.tellStatus", gid, ["status", "completedLength"]))["result"]
        assert status == {"status": "complete", "completedLength": str(len(DATA))}
        assert sha256(daemon.file("named.bin").read_bytes()) == sha256(DATA)
        bob = (await daemon.odl("token", "create", "--owner", "bob@example.com")).out.strip()
        assert "error" in await call("aria2.tellStatus", gid, as_who=bob)
        assert (await call("aria2.getVersion", as_who="wrong"))["error"] == {"code": 1, "message": "Unauthorized"}
        async with session.ws_connect(f"http://{listen}/jsonrpc"):
            assert await daemon.stop() == 0
