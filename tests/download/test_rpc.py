"""The link to aria2, against a scripted other side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from odl_daemon.download.rpc import Aria2Rpc, Call, Gone, RpcError, Silent

Script = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]


@asynccontextmanager
async def linked(
    script: Script, *, limit: float = 5.0, events: list[tuple[str, str]] | None = None, listening: bool = True
) -> AsyncIterator[Aria2Rpc]:
    """A link to a server that runs `script` for each request."""

    async def talk(request: web.Request) -> web.WebSocketResponse:
        link = web.WebSocketResponse(max_msg_size=0)
        await link.prepare(request)
        async for message in link:
            await script(link, json.loads(message.data))
        return link

    app = web.Application()
    app.router.add_get("/jsonrpc", talk)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    heard = events if events is not None else []
    try:
        async with Aria2Rpc.connected(
            port, token="secret", limit=limit, on_event=lambda method, gid: heard.append((method, gid))
        ) as rpc:
            listener = asyncio.get_running_loop().create_task(rpc.listen())
            try:
                yield rpc
            finally:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)
    finally:
        await runner.cleanup()


async def _result(link: web.WebSocketResponse, request: dict[str, Any], result: object) -> None:
    await link.send_json({"jsonrpc": "2.0", "id": request["id"], "result": result})


async def test_a_call_carries_the_token_and_returns_the_result() -> None:
    asked = []

    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        asked.append(request)
        await _result(link, request, {"version": "1.36.0"})

    async with linked(script) as rpc:
        assert await rpc.call("getVersion") == {"version": "1.36.0"}
        assert await rpc.getVersion() == {"version": "1.36.0"}
    assert [request["method"] for request in asked] == ["aria2.getVersion"] * 2
    assert asked[0]["params"] == ["token:secret"]
    assert asked[0]["id"] != asked[1]["id"]


async def test_two_links_do_not_hear_each_others_answers() -> None:
    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        await _result(link, request, request["params"][1])

    async with linked(script) as one, linked(script) as two:
        assert await asyncio.gather(*(rpc.call("echo", text) for rpc, text in ((one, "1"), (two, "2")))) == ["1", "2"]


async def test_a_refusal_has_its_code() -> None:
    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        await link.send_json({"id": request["id"], "error": {"code": 1, "message": "No URI to download."}})

    async with linked(script) as rpc:
        with pytest.raises(RpcError) as caught:
            await rpc.call("addUri", [])
    assert (caught.value.code, caught.value.message) == (1, "No URI to download.")


async def test_a_batch_answers_each_call_and_leaves_the_callers_lists_alone() -> None:
    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        assert all(call["params"][0] == "token:secret" for call in request["params"][0])
        await _result(link, request, [["gid"], {"code": 1, "message": "no"}])

    params = (["http://h/"], {"split": "1"})
    async with linked(script) as rpc:
        first, second = await rpc.batch([Call("aria2.addUri", params), Call("aria2.tellStatus", ("x",))])
        assert first == "gid"
        assert isinstance(second, RpcError)
        methods = [{"methodName": "aria2.addUri", "params": ["x"]}]
        await rpc.multicall(methods)
        assert methods == [{"methodName": "aria2.addUri", "params": ["x"]}]
    assert params == (["http://h/"], {"split": "1"})


async def test_an_unanswered_call_is_not_sent_again() -> None:
    asked = []

    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        asked.append(request)

    async with linked(script, limit=0.2) as rpc:
        with pytest.raises(Silent):
            await rpc.call("addUri", [])
    assert len(asked) == 1


async def test_everything_pending_fails_at_once_when_the_link_is_lost() -> None:
    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        if request["method"] == "aria2.last":
            await link.close()

    async with linked(script, limit=60) as rpc:
        answers = await asyncio.gather(*(rpc.call(name) for name in ("one", "two", "last")), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Gone, Gone, Gone]
        with pytest.raises(Gone):
            await rpc.call("later")


async def test_notifications_are_heard_in_order() -> None:
    events: list[tuple[str, str]] = []

    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        for number in range(100):
            await link.send_json({"method": f"aria2.on{number}", "params": [{"gid": str(number)}]})
        await _result(link, request, "done")

    async with linked(script, events=events) as rpc:
        await rpc.call("go")
    assert events == [(f"aria2.on{number}", str(number)) for number in range(100)]


async def test_nonsense_ends_no_link() -> None:
    async def script(link: web.WebSocketResponse, request: dict[str, Any]) -> None:
        for text in ("{", "[]", "null", '{"id": 77, "result": 1}', '{"method": "x"}', '{"id": null, "error": {}}'):
            await link.send_str(text)
        await _result(link, request, "x" * 5_000_000)

    async with linked(script) as rpc:
        assert len(await rpc.call("go")) == 5_000_000


async def test_nobody_there_is_told_at_once(unused_port: int) -> None:
    with pytest.raises(Gone):
        async with Aria2Rpc.connected(unused_port, token="", limit=5, on_event=lambda method, gid: None):
            pass
