"""Who may come in, what may be said, and how it is answered."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from odl_daemon.intake.jsonrpc import door
from odl_daemon.intake.jsonrpc.turn import LONGEST_ANSWER, MOST_CALLS, MOST_LINKS
from tests.jsonrpc.conftest import Client
from tests.jsonrpc.house import House, opened

UNAUTHORIZED = {"code": 1, "message": "Unauthorized"}


# --- what is said


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (b"", 400, -32700),
        (b"{", 400, -32700),
        (b"\xff\xfe", 400, -32700),
        (b'{"id":NaN}', 400, -32700),
        (b"[" * 200_000, 400, -32700),
        (b'{"a":' * 60_000, 400, -32700),
        (b"1" * 10_000, 400, -32700),
        (b"1", 400, -32600),
        (b'"x"', 400, -32600),
        (b"null", 400, -32600),
        (b"{}", 400, -32600),
        (b'{"method":"aria2.getVersion"}', 400, -32600),
        (b'{"id":1,"method":5}', 400, -32600),
        (b'{"id":[1],"method":"aria2.getVersion"}', 400, -32600),
        (b'{"id":1e999,"method":"aria2.getVersion"}', 400, -32600),
        (b'{"id":1,"method":"aria2.getVersion","params":{}}', 400, -32602),
        (b'{"id":1,"method":"aria2.nothing","params":["token:odl_ann"]}', 404, -32601),
        (b'{"id":1,"method":"aria2.getVersion"}', 400, 1),
        (b'{"id":1,"method":"aria2.tellStatus","params":["token:odl_ann","x"]}', 400, 1),
    ],
)
async def test_what_makes_no_sense_is_answered_in_json_rpcs_words(
    ann: Client, said: bytes, status: int, code: int
) -> None:
    got, answer = await ann.post(said)
    assert (got, answer["error"]["code"], answer["jsonrpc"]) == (status, code, "2.0")


@pytest.mark.parametrize("call_id", ["q", "", 0, 7, 1.5, -1, None, True, "\ud800", "ä", 10**40])
async def test_an_id_comes_back_as_it_was(ann: Client, call_id: object) -> None:
    _, answer = await ann.post({"id": call_id, "method": "system.listMethods"})
    assert answer["id"] == call_id


async def test_a_batch_is_answered_in_its_order(ann: Client) -> None:
    calls = [ann.request("aria2.getVersion"), 5, {"id": 2}, ann.request("aria2.tellStatus", "x")]
    status, answers = await ann.post(calls)
    assert status == 200
    assert [answer.get("error", {}).get("code", 0) for answer in answers] == [0, -32600, 1]
    assert await ann.post([]) == (200, [])


async def test_a_call_within_a_call_has_its_result_in_a_list(ann: Client) -> None:
    calls: list[object] = [
        ann.inner("aria2.getVersion"),
        {"methodName": "aria2.getVersion", "params": []},
        {"methodName": "aria2.getVersion"},
        {"methodName": "aria2.getVersion", "params": {}},
        ann.inner("aria2.nothing"),
        {"methodName": "system.multicall", "params": [[]]},
        {"methodName": "system.listMethods", "params": []},
        {"params": []},
        5,
        ann.inner("aria2.tellStatus", "abc"),
    ]
    results = await ann.call("system.multicall", calls)
    assert results[0][0]["version"] == "1.36.0"
    assert results[1] == results[2] == results[3] == UNAUTHORIZED
    assert results[4] == {"code": -32601, "message": "No such method: aria2.nothing"}
    assert results[5] == {"code": 1, "message": "Recursive system.multicall forbidden."}
    assert "aria2.addUri" in results[6][0]
    assert results[7] == {"code": 1, "message": "Missing methodName."}
    assert results[8] == {"code": 1, "message": "system.multicall expected struct."}
    assert results[9] == {"code": 1, "message": "GID abc is not found"}


async def test_calls_of_a_message_are_counted_wherever_they_are(ann: Client) -> None:
    many = [ann.inner("aria2.getSessionInfo")] * (MOST_CALLS + 1)
    results = await ann.call("system.multicall", many)
    faults = [result for result in results if isinstance(result, dict)]
    assert len(faults) == 2  # the multicall itself is one
    assert "calls at most" in faults[0]["message"]
    status, answer = await ann.post([ann.request("aria2.getSessionInfo")] * (MOST_CALLS + 1))
    assert (status, answer["error"]["code"]) == (400, -32600)


async def test_links_of_a_message_are_counted(house: House, ann: Client) -> None:
    calls = [ann.inner("aria2.addUri", [f"http://h/{number}"], {"pause": "true"}) for number in range(MOST_LINKS + 5)]
    results = await ann.call("system.multicall", calls)
    assert [isinstance(result, dict) for result in results] == [False] * MOST_LINKS + [True] * 5
    assert len(await house.tasks()) == MOST_LINKS


async def test_an_answer_grows_only_so_long(ann: Client) -> None:
    link = f"http://h/{'x' * 4000}"
    await ann.call(
        "system.multicall", [ann.inner("aria2.addUri", [f"{link}{n}"], {"pause": "true"}) for n in range(30)]
    )
    calls = [ann.inner("aria2.tellWaiting", 0, 1000)] * 300
    status, body = await _raw(ann, {"id": 1, "method": "system.multicall", "params": [calls]})
    assert status == 200
    assert LONGEST_ANSWER < len(body) < LONGEST_ANSWER * 1.2
    assert "grew too long" in json.loads(body)["result"][-1]["message"]


async def _raw(client: Client, said: object) -> tuple[int, bytes]:
    async with client.session.post(client.url, data=json.dumps(said).encode()) as answer:
        return answer.status, await answer.read()


async def test_a_message_that_is_too_long_is_refused(ann: Client) -> None:
    status, answer = await ann.post(b" " * (door.LONGEST_MESSAGE + 1))
    assert (status, answer["error"]["code"]) == (413, -32600)
    request = json.dumps(ann.request("aria2.getVersion")).encode()
    status, _ = await ann.post(request + b" " * (door.LONGEST_MESSAGE - len(request)))
    assert status == 200


async def test_a_message_that_grows_too_long_when_it_is_unpacked_is_refused(ann: Client) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    async with ann.session.post(ann.url, data=bomb, headers={"Content-Encoding": "gzip"}) as answer:
        assert answer.status == 413
    async with ann.session.post(ann.url, data=b"no gzip", headers={"Content-Encoding": "gzip"}) as answer:
        assert (answer.status, (await answer.json(content_type=None))["error"]["code"]) == (400, -32600)


async def test_a_message_without_a_length_is_refused_at_its_limit(ann: Client) -> None:
    async def endless() -> Any:
        while True:
            yield b" " * 65536

    async with ann.session.post(ann.url, data=endless()) as answer:
        assert answer.status == 413


# --- who says it


@pytest.mark.parametrize(
    "params",
    [[], ["odl_ann"], ["token:"], ["token:odl_nobody"], ["token:ä"], ["token:" + "x" * 5000], [["token:odl_ann"]], [5]],
)
async def test_nobody_is_known_without_a_good_token(ann: Client, params: list[object]) -> None:
    status, answer = await ann.post({"id": 1, "method": "aria2.tellActive", "params": params})
    assert (status, answer["error"]) == (400, UNAUTHORIZED)


async def test_cookies_and_other_credentials_say_nothing(house: House, session: aiohttp.ClientSession) -> None:
    headers = {"Cookie": "odl_session=odl_ann; token=odl_ann", "Authorization": "Bearer odl_ann", "X-Odl": "1"}
    call = {"id": 1, "method": "aria2.tellActive", "params": []}
    async with session.post(house.url, json=call, headers=headers) as answer:
        assert (await answer.json(content_type=None))["error"] == UNAUTHORIZED


async def test_a_user_without_a_name_is_nobody(house: House, ann: Client) -> None:
    house.tokens["odl_empty"] = ""
    _, answer = await ann.post({"id": 1, "method": "aria2.tellActive", "params": ["token:odl_empty"]})
    assert answer["error"] == UNAUTHORIZED


async def test_users_do_not_see_each_others_tasks(house: House, ann: Client, bob: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/slow/a"], {"pause": "true"})
    one = ["tellStatus", "remove", "forceRemove", "pause", "forcePause", "unpause", "removeDownloadResult"]
    one += ["getUris", "getFiles", "getServers", "getPeers", "getOption"]
    for method in one:
        for asked in (gid, gid[:5]):
            theirs = await bob.post(bob.request(f"aria2.{method}", asked))
            absent = await bob.post(bob.request(f"aria2.{method}", "f" * len(asked)))
            assert json.dumps(theirs).replace(asked, "GID") == json.dumps(absent).replace("f" * len(asked), "GID")
    theirs = await bob.post(bob.request("aria2.changeOption", gid, {}))
    assert theirs[1]["error"]["message"] == f"GID {gid} is not found"
    for method in ("pauseAll", "forcePauseAll", "unpauseAll", "purgeDownloadResult"):
        assert await bob.call(f"aria2.{method}") == "OK"
    assert await bob.call("aria2.tellActive") == await bob.call("aria2.tellWaiting", 0, 9) == []
    assert (await bob.call("aria2.getGlobalStat"))["numWaiting"] == "0"
    assert (await ann.call("aria2.tellStatus", gid))["status"] == "paused"


async def test_tokens_of_two_users_in_one_message_are_two_users(ann: Client, bob: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/a"], {"pause": "true"})
    _, answers = await ann.post([bob.request("aria2.tellWaiting", 0, 9), ann.request("aria2.tellWaiting", 0, 9)])
    assert [[struct["gid"] for struct in answer["result"]] for answer in answers] == [[], [gid]]


# --- where from


async def test_a_page_of_any_origin_may_ask_and_no_credentials_go_along(ann: Client) -> None:
    headers = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    async with ann.session.options(ann.url, headers=headers) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"] == "*"
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    async with ann.session.options(ann.url) as answer:
        assert "Access-Control-Allow-Private-Network" not in answer.headers


async def test_nothing_is_called_by_get(house: House, ann: Client) -> None:
    query = {"method": "aria2.getVersion", "id": "1", "params": "WyJ0b2tlbjpvZGxfYW5uIl0=", "jsoncallback": "f"}
    async with ann.session.get(ann.url, params=query) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "OPTIONS, POST"
        assert (await answer.json(content_type=None))["error"]["code"] == -32600
    for method in ("HEAD", "PUT", "DELETE", "PATCH"):
        async with ann.session.request(method, ann.url, json=ann.request("aria2.getVersion")) as answer:
            assert answer.status == 405


LIBRARY = "6a2b0bb5-0ec3-4d0a-a1fd-0c8ea1a1b6ba"


@pytest.mark.parametrize(
    "rest", [f"/{LIBRARY}/in%20box", f"/{LIBRARY}/in%20box/", f"?library={LIBRARY}&path=/in%20box"]
)
async def test_the_address_says_which_library_and_folder(house: House, ann: Client, rest: str) -> None:
    there = Client(ann.session, ann.url + rest, ann.token)
    assert (await there.call("aria2.getGlobalOption"))["dir"] == "/in box"
    await there.call("aria2.addUri", ["http://h/a"])
    await there.call("aria2.addUri", ["http://h/b"], {"dir": "/other"})
    await there.call("aria2.addUri", ["http://h/c"], {"dir": "", "out": "sub/c"})
    await there.call("aria2.addUri", ["http://h/d"], {"library": "another"})
    places = [(task.library, task.target) for task in await house.tasks()]
    assert places == [
        (LIBRARY, "/in box"),
        (LIBRARY, "/other"),
        (LIBRARY, "/in box/sub"),
        ("another", "/in box"),
    ]
    async with ann.session.ws_connect(there.url) as socket:
        await socket.send_str(json.dumps(ann.request("aria2.getGlobalOption")))
        assert json.loads(await socket.receive_str(timeout=10))["result"]["dir"] == "/in box"


async def test_another_try_goes_to_the_same_library_from_any_address(house: House, ann: Client) -> None:
    there = Client(ann.session, f"{ann.url}/{LIBRARY}/in", ann.token)
    gid = await there.call("aria2.addUri", ["http://h/bad/a"], {"out": "b"})
    await ann.call("aria2.addUri", ["http://h/bad/a"], await ann.call("aria2.getOption", gid))
    first, again = await house.tasks()
    assert (
        (again.library, again.target, again.name) == (first.library, first.target, first.name) == (LIBRARY, "/in", "b")
    )


@pytest.mark.parametrize(
    "rest", ["?path=/a/../..", "?path=%00", "?library=" + "x" * 37, "?library=a%0Ab", "/a/%00", "/" + "x" * 37]
)
async def test_an_address_that_makes_no_sense_is_told_so(ann: Client, rest: str) -> None:
    lost = Client(ann.session, ann.url + rest, ann.token)
    status, answer = await lost.post(lost.request("aria2.getVersion"))
    assert (status, answer["error"]["code"]) == (400, 1)
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await ann.session.ws_connect(lost.url)


async def test_where_libraries_must_be_named_an_address_without_one_takes_no_links(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with opened(tmp_path, library="") as house:
        ann = Client(session, house.url, "odl_ann")
        _, answer = await ann.post(ann.request("aria2.addUri", ["http://h/a"]))
        assert answer["error"]["message"].startswith("no library is named")
        assert await ann.call("aria2.tellWaiting", 0, 9) == []


# --- when it is too much


async def test_messages_do_not_pile_up(house: House, ann: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MOST_AT_ONCE", 1)
    coming, going = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        yield b" "
        coming.set()
        await going.wait()
        yield json.dumps(ann.request("aria2.getVersion")).encode()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(_raw_body(ann, slow()))
        await coming.wait()
        status, answer = await _until_refused(ann)
        assert (status, answer["error"]["code"]) == (503, -32000)
        going.set()
    assert first.result() == 200
    assert (await ann.call("aria2.getVersion"))["version"]


async def _raw_body(client: Client, body: object) -> int:
    async with client.session.post(client.url, data=body) as answer:
        return answer.status


async def _until_refused(client: Client) -> tuple[int, Any]:
    """The first message may be on its way still."""
    async with asyncio.timeout(10):
        while True:
            status, answer = await client.post(client.request("aria2.getVersion"))
            if status != 200:
                return status, answer
