"""A websocket: calls, notifications, and clients that are slow, silent or gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from odl_daemon.intake.jsonrpc import door, notices, talk
from odl_daemon.model.task import Phase
from tests.acceptance.until import until
from tests.engine.plays import claimed
from tests.jsonrpc.conftest import Client
from tests.jsonrpc.house import House


class Socket:
    """A client's end; what comes in between its calls is kept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, client: Client) -> None:
        self.socket = socket
        self.client = client
        self.heard: list[tuple[str, str]] = []
        """Notifications: what, and of which GID."""

    async def call(self, method: str, *params: object) -> Any:
        await self.socket.send_str(json.dumps(self.client.request(method, *params)))
        while True:
            words = await self._next()
            if "id" in words:
                return words.get("result", words.get("error"))

    async def hear(self, count: int) -> list[tuple[str, str]]:
        """So many notifications, the oldest first."""
        while len(self.heard) < count:
            assert "id" not in await self._next()
        return self.heard

    async def _next(self) -> Any:
        words = json.loads(await self.socket.receive_str(timeout=10))
        if "method" in words:
            assert set(words) == {"jsonrpc", "method", "params"}
            self.heard.append((words["method"], words["params"][0]["gid"]))
        return words


@asynccontextmanager
async def opened(client: Client) -> AsyncIterator[Socket]:
    async with client.session.ws_connect(client.url) as socket:
        yield Socket(socket, client)


async def test_calls_are_answered_and_the_tasks_life_is_told(house: House, ann: Client) -> None:
    async with opened(ann) as socket:
        assert (await socket.call("aria2.getVersion"))["version"] == "1.36.0"
        gid = await socket.call("aria2.addUri", ["http://h/slow/a"])
        await socket.hear(1)
        await socket.call("aria2.pause", gid)
        await socket.hear(2)
        await socket.call("aria2.unpause", gid)
        await socket.hear(3)
        house.source.let_go("/slow/a")
        assert await socket.hear(4) == [
            ("aria2.onDownloadStart", gid),
            ("aria2.onDownloadPause", gid),
            ("aria2.onDownloadStart", gid),
            ("aria2.onDownloadComplete", gid),
        ]


async def test_ends_that_are_no_good_are_told(house: House, ann: Client) -> None:
    async with opened(ann) as socket:
        bad = await socket.call("aria2.addUri", ["http://h/bad/a"])
        assert await socket.hear(2) == [("aria2.onDownloadStart", bad), ("aria2.onDownloadError", bad)]
        socket.heard.clear()
        unwanted = await socket.call("aria2.addUri", ["http://h/a"], {"pause": "true"})
        await socket.call("aria2.remove", unwanted)
        assert await socket.hear(2) == [("aria2.onDownloadPause", unwanted), ("aria2.onDownloadStop", unwanted)]


async def test_a_batch_is_answered_by_one_message(ann: Client) -> None:
    async with opened(ann) as socket:
        batch = [ann.request("aria2.getVersion"), ann.request("aria2.getSessionInfo")]
        await socket.socket.send_bytes(json.dumps(batch).encode())
        answers = json.loads(await socket.socket.receive_str(timeout=10))
        assert [answer["id"] for answer in answers] == ["q", "q"]


async def test_nonsense_is_answered_and_the_talk_goes_on(ann: Client) -> None:
    async with opened(ann) as socket:
        for nonsense in ("", "{", "[" * 100_000, "5", '"\\ud800"'):
            await socket.socket.send_str(nonsense)
            answer = json.loads(await socket.socket.receive_str(timeout=10))
            assert answer["error"]["code"] in (-32700, -32600)
        assert await socket.call("aria2.tellActive") == []


async def test_a_user_is_told_of_his_own_tasks_alone(house: House, ann: Client, bob: Client) -> None:
    async with opened(ann) as anns, opened(bob) as bobs:
        await bobs.call("aria2.getVersion")
        await anns.call("aria2.getVersion")
        gid = await anns.call("aria2.addUri", ["http://h/a"])
        await anns.hear(2)
        own = await bobs.call("aria2.addUri", ["http://h/b"])
        assert {told for _, told in await bobs.hear(2)} == {own}
        assert {told for _, told in anns.heard} == {gid}


async def test_nobody_is_told_anything_before_his_token(house: House, ann: Client) -> None:
    async with opened(ann) as silent, opened(Client(ann.session, ann.url, "odl_nobody")) as stranger:
        assert await stranger.call("aria2.tellActive") == {"code": 1, "message": "Unauthorized"}
        await ann.call("aria2.addUri", ["http://h/a"])
        await until(lambda: _done(house))
        gid = await silent.call("aria2.addUri", ["http://h/b"])
        assert {told for _, told in await silent.hear(2)} == {gid}
        assert "aria2.addUri" in await stranger.call("system.listMethods")
        assert stranger.heard == []


async def _done(house: House) -> bool:
    return all(task.phase is Phase.DONE for task in await house.tasks())


async def test_a_client_without_a_token_is_shown_out(ann: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "NO_TOKEN_LIMIT", 0.2)
    async with opened(ann) as socket:
        await socket.socket.send_str('{"id":1,"method":"system.listMethods"}')
        await socket.socket.receive_str(timeout=10)
        end = await socket.socket.receive(timeout=10)
        assert (end.type, end.data, end.extra) == (aiohttp.WSMsgType.CLOSE, 1008, "no token was shown")


async def test_a_client_with_a_token_may_be_silent_for_long(
    house: House, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "NO_TOKEN_LIMIT", 0.2)
    async with opened(ann) as socket:
        await socket.call("aria2.getVersion")
        with pytest.raises(TimeoutError):
            await socket.socket.receive(timeout=0.6)


async def test_a_token_that_was_taken_back_ends_the_talk_before_anything_more_is_told(
    house: House, ann: Client
) -> None:
    async with opened(ann) as socket:
        gid = await socket.call("aria2.addUri", ["http://h/slow/a"])
        await socket.hear(1)
        del house.tokens["odl_ann"]
        house.source.let_go("/slow/a")
        end = await socket.socket.receive(timeout=10)
        assert (end.type, end.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        assert socket.heard == [("aria2.onDownloadStart", gid)]


async def test_nothing_is_told_while_nobody_can_tell_whose_the_token_is(house: House, ann: Client) -> None:
    async with opened(ann) as socket:
        await socket.call("aria2.addUri", ["http://h/slow/a"])
        await socket.hear(1)
        house.away = True
        answer = await socket.call("aria2.tellActive")
        assert answer == {"code": -32000, "message": "the database does not answer"}
        house.source.let_go("/slow/a")
        end = await socket.socket.receive(timeout=10)
        assert (end.type, end.data) == (aiohttp.WSMsgType.CLOSE, 1013)


async def test_a_message_that_is_too_long_ends_the_talk(ann: Client) -> None:
    async with opened(ann) as socket:
        await socket.socket.send_str(" " * (600 << 10))
        end = await socket.socket.receive(timeout=10)
        assert (end.type, end.data) == (aiohttp.WSMsgType.CLOSE, 1009)


async def test_a_client_that_does_not_listen_is_cut_off(
    house: House, ann: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He asks for more than the connection holds and reads nothing of it; what he is to be told grows to its limit."""
    monkeypatch.setattr(notices, "MOST_WAITING", 10)
    link = f"http://h/{'x' * 4000}"
    await ann.call("system.multicall", [ann.inner("aria2.addUri", [link + str(n)], {"pause": 1}) for n in range(60)])
    _unread, writer = await asyncio.open_connection("127.0.0.1", house.port, limit=1024)
    writer.write(_handshake() + _frame(_many(ann)))
    await writer.drain()
    await until(lambda: house.door.talks == 1)
    await until(lambda: _stands_still(house, ann), within=10, what="the end of his talk")
    assert house.door.talks == 0
    writer.close()
    assert (await bob.call("aria2.getVersion"))["version"]


async def _stands_still(house: House, ann: Client) -> bool:
    """Gives him more to hear of until he is gone."""
    await ann.call("aria2.addUri", ["http://h/a"], {"pause": "true"})
    return house.door.talks == 0


def _many(client: Client) -> bytes:
    calls = [client.inner("aria2.tellWaiting", 0, 1000)] * 12
    return json.dumps({"id": 1, "method": "system.multicall", "params": [calls]}).encode()


def _handshake() -> bytes:
    return (
        b"GET /jsonrpc HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )


def _frame(text: bytes) -> bytes:
    """A text in one frame, masked with zeros (RFC 6455, 5.2)."""
    return bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2, "big") + bytes(4) + text


async def test_a_client_that_vanishes_is_forgotten(house: House, ann: Client) -> None:
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(ann.url)
        await socket.send_str(json.dumps(ann.request("aria2.getVersion")))
        await socket.receive_str(timeout=10)
        assert house.door.talks == 1
        assert socket._response.connection is not None
        transport = socket._response.connection.transport
        assert transport is not None
        transport.abort()
        await until(lambda: house.door.talks == 0)
    gid = await ann.call("aria2.addUri", ["http://h/a"])
    await until(lambda: _done(house))
    assert gid


async def test_only_so_many_are_let_in(house: House, ann: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MOST_SOCKETS", 1)
    async with opened(ann):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await ann.session.ws_connect(ann.url)
    await until(lambda: house.door.talks == 0)
    async with opened(ann) as socket:
        assert await socket.call("aria2.tellActive") == []


async def test_a_daemon_that_stops_ends_its_talks_in_order(house: House, ann: Client) -> None:
    async with opened(ann) as socket, asyncio.TaskGroup() as group:
        await socket.call("aria2.getVersion")
        group.create_task(house.door.hang_up(aiohttp.web.Application()))
        end = await socket.socket.receive(timeout=10)
        assert (end.type, end.data, end.extra) == (aiohttp.WSMsgType.CLOSE, 1001, "the daemon stops")


def test_the_same_is_said_once_and_too_much_is_not_kept() -> None:
    cut: list[int] = []
    ear = notices.Ear(lambda: cut.append(1))
    ear.owner = "local"
    for _ in range(5):
        ear.hear(claimed(id=1))
        ear.hear(claimed(id=1, phase=Phase.FETCHING))
        ear.hear(claimed(id=1, phase=Phase.DONE))
    assert asyncio.run(_taken(ear)) == ["aria2.onDownloadStart", "aria2.onDownloadComplete"]
    for number in range(notices.MOST_WAITING + 3):
        ear.hear(claimed(id=number))
    assert cut == [1, 1, 1]
    assert len(asyncio.run(_taken(ear))) == notices.MOST_WAITING


def test_a_task_without_an_owner_is_told_to_nobody() -> None:
    cut: list[int] = []
    ear = notices.Ear(lambda: cut.append(1))
    for number in range(notices.MOST_WAITING + 1):
        ear.hear(claimed(id=number, owner=""))
    assert cut == []


async def _taken(ear: notices.Ear) -> list[str]:
    return [json.loads(text)["method"] for text in await ear.heard()]
