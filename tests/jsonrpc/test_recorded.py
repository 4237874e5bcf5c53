"""What well-known clients send, message by message, as their sources build it."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from odl_daemon.model.task import Phase
from tests.acceptance.until import until
from tests.jsonrpc.conftest import Client
from tests.jsonrpc.house import ANN, House

AGENT = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
COOKIE = "Cookie: session=A-SECRET-OF-THE-SITE; theme=dark"


async def test_aria2_explorer_captures_a_download(house: House, ann: Client) -> None:
    """js/background/DownloadManager.js: a POST with what the browser knows; then js/background/MonitorManager.js."""
    preflight = {
        "Origin": "chrome-extension://mpkodccbngfoacfalldjimigbofkhgjn",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    async with ann.session.options(ann.url, headers=preflight) as answer:
        assert answer.ok
    options = {
        "header": [COOKIE, AGENT],
        "referer": "https://page.example/downloads",
        "out": "report 2024.pdf",
        "dir": "/from the browser",
        "max-connection-per-server": "16",
        "split": "16",
        "min-split-size": "1M",
    }
    headers = {"Accept": "application/json", "Content-Type": "application/json", "Origin": preflight["Origin"]}
    said = {"jsonrpc": "2.0", "method": "aria2.addUri", "id": 0}
    said |= {"params": ["token:odl_ann", ["https://files.example/get?id=7"], options]}
    async with ann.session.post(ann.url, data=json.dumps(said), headers=headers) as response:
        added = await response.json(content_type=None)
    assert added == {"id": 0, "jsonrpc": "2.0", "result": added["result"]}
    await until(lambda: _all_done(house))
    (task,) = await house.tasks()
    assert (task.owner, task.path) == (ANN, "/from the browser/report 2024.pdf")
    assert "A-SECRET-OF-THE-SITE" not in repr(task)
    async with ann.session.ws_connect(ann.url) as socket:
        await socket.send_str('{"jsonrpc":"2.0","method":"aria2.getGlobalStat","id":1,"params":["token:odl_ann"]}')
        stat = json.loads(await socket.receive_str(timeout=10))
        assert (stat["id"], stat["result"]["numStopped"]) == (1, "1")
        await socket.send_str(
            json.dumps(
                {"jsonrpc": "2.0", "method": "aria2.getFiles", "id": 2, "params": ["token:odl_ann", added["result"]]}
            )
        )
        (file,) = json.loads(await socket.receive_str(timeout=10))["result"]
        assert file["path"] == task.path


async def test_a_login_that_somebody_wrote_himself_is_refused_with_the_way_out(house: House, ann: Client) -> None:
    for header in (["Authorization: Basic YTpi"], f"{AGENT}\nauthorization : Bearer x", ["Proxy-Authorization: x"]):
        _, answer = await ann.post(ann.request("aria2.addUri", ["http://h/a"], {"header": header}))
        assert "https://user:password@host" in answer["error"]["message"]
    assert await house.tasks() == []


async def test_download_with_aria2_says_everything_in_batches(ann: Client) -> None:
    """chromium/libs/aria2.js: lists of calls with an empty id, the token in every one."""
    said = [
        {"id": "", "jsonrpc": "2.0", "method": "aria2.getGlobalOption", "params": ["token:odl_ann"]},
        {"id": "", "jsonrpc": "2.0", "method": "aria2.getVersion", "params": ["token:odl_ann"]},
        {"id": "", "jsonrpc": "2.0", "method": "aria2.getGlobalStat", "params": ["token:odl_ann"]},
        {"id": "", "jsonrpc": "2.0", "method": "aria2.tellActive", "params": ["token:odl_ann"]},
        {"id": "", "jsonrpc": "2.0", "method": "aria2.tellWaiting", "params": ["token:odl_ann", 0, 999]},
        {"id": "", "jsonrpc": "2.0", "method": "aria2.tellStopped", "params": ["token:odl_ann", 0, 999]},
        {
            "id": "",
            "jsonrpc": "2.0",
            "method": "aria2.addUri",
            "params": [
                "token:odl_ann",
                ["http://h/a"],
                {"out": "a", "header": [COOKIE, AGENT], "referer": "http://h/"},
            ],
        },
    ]
    status, answers = await ann.post(said)
    assert status == 200
    assert [answer["id"] for answer in answers] == [""] * 7
    assert all("result" in answer for answer in answers)


BASIC = ["gid", "totalLength", "completedLength", "uploadSpeed", "downloadSpeed", "connections", "numSeeders"]
BASIC += ["seeder", "status", "errorCode", "verifiedLength", "verifyIntegrityPending"]


async def test_ariang_opens_looks_and_works(house: House, ann: Client) -> None:
    """src/scripts/services/aria2RpcService.js and aria2TaskService.js."""
    async with ann.session.ws_connect(ann.url) as socket:

        async def ask(method: str, *params: object) -> Any:
            token = [] if method.startswith("system.") else ["token:odl_ann"]
            said = {"jsonrpc": "2.0", "method": method, "id": "QXJpYU5nXzE3", "params": [*token, *params]}
            await socket.send_str(json.dumps(said))
            while True:
                words = json.loads(await socket.receive_str(timeout=10))
                if words.get("id") == said["id"]:
                    return words["result"]

        assert (await ask("aria2.getVersion"))["version"] == "1.36.0"
        assert (await ask("aria2.getGlobalStat"))["numActive"] == "0"
        assert (await ask("aria2.getGlobalOption"))["dir"] == "/"
        gid = await ask("aria2.addUri", ["http://h/bad/a.bin"], {"dir": "/", "out": "b.bin", "split": "5"})
        keys = [*BASIC, "files", "bittorrent"]
        assert isinstance(await ask("aria2.tellActive", keys), list)
        assert isinstance(await ask("aria2.tellWaiting", 0, 1000, keys), list)
        await until(lambda: _failed(house))
        (stopped,) = await ask("aria2.tellStopped", -1, 1000, keys)
        assert (stopped["gid"], stopped["status"], stopped["errorCode"]) == (gid, "error", "3")
        inner = [
            {"methodName": f"aria2.{name}", "params": ["token:odl_ann", gid]}
            for name in ("tellStatus", "getPeers", "getOption")
        ]
        (task,), (peers,), (options,) = await ask("system.multicall", inner)
        assert peers == []
        # "retry": the same link with what getOption told, and the old result cleared
        again = await ask("aria2.addUri", [uri["uri"] for uri in task["files"][0]["uris"]], options)
        assert await ask("aria2.removeDownloadResult", gid) == "OK"
        assert again != gid
        slow = await ask("aria2.addUri", ["http://h/slow/c"], {"pause": "true"})
        assert await ask("aria2.unpause", slow) == slow
        await until(lambda: _is_fetching(house))
        assert await ask("aria2.forcePause", slow) == slow
        await until(lambda: _is_paused(house))
        assert await ask("aria2.forceRemove", slow) == slow
        assert await ask("aria2.purgeDownloadResult") == "OK"
        assert await ask("aria2.saveSession") == "OK"


async def test_a_setting_of_ariang_for_all_is_refused_and_told(ann: Client) -> None:
    _, answer = await ann.post(ann.request("aria2.changeGlobalOption", {"max-concurrent-downloads": "10"}))
    assert answer["error"] == {"code": 1, "message": "the settings of this server are not yours to change"}


async def test_a_page_with_jsonp_is_sent_to_post(ann: Client) -> None:
    """The oldest clients call by GET."""
    query = {"jsoncallback": "cb", "method": "aria2.addUri", "id": "x", "params": "W10="}
    async with ann.session.get(ann.url, params=query) as answer:
        assert answer.status == 405


async def test_a_script_without_a_content_type_is_understood(house: House, ann: Client) -> None:
    """As the manual's own examples: urllib sends a form's type."""
    said = json.dumps(ann.request("aria2.tellActive")).encode()
    for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}, {}):
        async with (
            aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
            session.post(ann.url, data=said, headers=headers) as answer,
        ):
            assert (await answer.json(content_type=None))["result"] == []


@pytest.mark.parametrize(
    "option", ["all-proxy", "http-proxy", "gid", "checksum", "load-cookies", "on-download-complete"]
)
async def test_options_outside_of_the_list_are_refused(house: House, ann: Client, option: str) -> None:
    status, answer = await ann.post(ann.request("aria2.addUri", ["http://h/a"], {option: "x"}))
    assert (status, answer["error"]["code"]) == (400, 1)
    assert answer["error"]["message"].startswith(f"option {option}: ")
    assert await house.tasks() == []


async def _all_done(house: House) -> bool:
    return all(task.phase is Phase.DONE for task in await house.tasks())


async def _failed(house: House) -> bool:
    return (await house.tasks())[-1].phase is Phase.FAILED


async def _is_fetching(house: House) -> bool:
    return (await house.tasks())[-1].phase is Phase.FETCHING


async def _is_paused(house: House) -> bool:
    return (await house.tasks())[-1].phase is Phase.PAUSED
