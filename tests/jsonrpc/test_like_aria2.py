"""What the real aria2 answers, we answer: the same words where nothing but the protocol matters, the same shapes where
tasks are told of."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.until import until
from tests.jsonrpc.conftest import Client
from tests.jsonrpc.house import House
from tests.servers.child import Child
from tests.servers.origin import Origin, Page
from tests.servers.ports import free_port

NOBODY = "00000000000000ab"


@pytest.fixture
async def aria2(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A real one, whose secret is Ann's token."""
    port, aria2c = free_port(), shutil.which("aria2c")
    assert aria2c is not None
    argv = [aria2c, "--no-conf", "--enable-rpc", f"--rpc-listen-port={port}", "--rpc-secret=odl_ann"]
    argv += ["--rpc-allow-origin-all", f"--dir={tmp_path}", "--max-tries=1", "--file-allocation=none"]
    child = Child(argv, output=tmp_path / "aria2.log")
    client = Client(session, f"http://127.0.0.1:{port}/jsonrpc", "odl_ann")
    try:
        await until(lambda: _answers(client), what="aria2's first answer")
        yield client
    finally:
        await child.kill()


async def _answers(client: Client) -> bool:
    try:
        await client.call("aria2.getVersion")
    except aiohttp.ClientConnectionError:
        return False
    return True


def call(method: str, *params: object, token: bool = True) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": "q", "method": method, "params": [*(["token:odl_ann"] if token else []), *params]}


THE_SAME: list[object] = [
    b"{}",
    b'"x"',
    b"null",
    b"[]",
    b"[1]",
    b'{"id":1}',
    b'{"method":"aria2.getVersion"}',
    b'{"id":1,"method":5}',
    b'[{"id":1,"method":"aria2.pause","params":["token:odl_ann"]},5,{"id":2}]',
    *(call("aria2.tellActive", token=False), call("nothing", token=False), call("aria2.tellActive", 5, token=False)),
    *(call(f"aria2.{each}") for each in ("addUri", "tellStatus", "tellWaiting", "tellStopped", "remove", "pause")),
    *(call(f"aria2.{each}", 5) for each in ("addUri", "tellStatus", "tellActive", "getFiles", "changeOption")),
    *(call(f"aria2.{each}", NOBODY) for each in ("tellStatus", "remove", "forceRemove", "pause", "forcePause")),
    *(call(f"aria2.{each}", NOBODY) for each in ("unpause", "removeDownloadResult", "getOption")),
    *(call("aria2.tellStatus", each) for each in ("", "zz", "0" * 17, "abc")),
    call("aria2.tellWaiting", 0),
    call("aria2.tellWaiting", "0", 1),
    call("aria2.tellWaiting", 0, "1"),
    call("aria2.tellWaiting", 0, -1),
    call("aria2.tellWaiting", 0, 1, "k"),
    call("aria2.tellWaiting", 0, 10),
    call("aria2.tellWaiting", -1, 10),
    call("aria2.tellStopped", 0, 10),
    call("aria2.addUri", []),
    call("aria2.addUri", [7]),
    call("aria2.addUri", "http://h/"),
    call("aria2.addUri", ["http://h/"], 5),
    call("aria2.addUri", ["http://h/"], {"pause": "perhaps"}),
    call("aria2.addUri", ["http://h/"], {}, "x"),
    call("aria2.addUri", ["http://h/"], {}, -1),
    call("aria2.getGlobalStat"),
    call("aria2.pauseAll"),
    call("aria2.forcePauseAll"),
    call("aria2.unpauseAll"),
    call("aria2.purgeDownloadResult"),
    call("system.multicall", token=False),
    call("system.multicall", 5, token=False),
    call("system.multicall", []),
    call(
        "system.multicall",
        [
            {"methodName": "aria2.tellActive", "params": ["token:odl_ann"]},
            {"methodName": "aria2.tellActive", "params": []},
            {"methodName": "aria2.tellActive"},
            {"methodName": "aria2.tellActive", "params": {}},
            {"methodName": "aria2.tellStatus", "params": ["token:odl_ann", "abc"]},
            {"methodName": "system.multicall", "params": []},
            {"params": []},
            5,
        ],
        token=False,
    ),
]


async def test_the_protocol_is_answered_in_the_same_words(aria2: Client, ann: Client) -> None:
    for said in THE_SAME:
        theirs, ours = await aria2.post(said), await ann.post(said)
        assert ours == theirs, said


@pytest.mark.parametrize("said", [b"", b"{", b'{"id":1,"method":"aria2.pause","params":{}}'])
async def test_where_aria2_blames_itself_for_a_clients_mistake_only_the_status_differs(
    aria2: Client, ann: Client, said: bytes
) -> None:
    (their_status, theirs), (our_status, ours) = await aria2.post(said), await ann.post(said)
    assert ours == theirs
    assert (their_status, our_status) == (500, 400)


async def test_what_is_served_is_a_part_of_aria2s_methods(aria2: Client, ann: Client) -> None:
    assert set(await ann.call("system.listMethods")) < set(await aria2.call("system.listMethods"))
    assert set(await ann.call("system.listNotifications")) < set(await aria2.call("system.listNotifications"))


async def test_tasks_are_told_of_in_the_same_shapes(aria2: Client, ann: Client, house: House) -> None:
    async with Origin() as origin:
        origin.pages["/slow/a"] = Page(b"x" * 3_000_000, gate=asyncio.Event(), gate_at=1_500_000)
        origin.pages["/b"] = Page(b"x" * 1000)
        for status, theirs, ours in [
            ("active", [origin.url("/slow/a")], ["http://h/slow/a"]),
            ("complete", [origin.url("/b")], ["http://h/b"]),
            ("error", [origin.url("/bad/c")], ["http://h/bad/c"]),
            ("paused", [origin.url("/d")], ["http://h/d"]),
        ]:
            options = {"pause": "true"} if status == "paused" else {}
            their_gid = await aria2.call("aria2.addUri", theirs, options)
            our_gid = await ann.call("aria2.addUri", ours, options)
            their_struct, our_struct = await _struct(aria2, their_gid, status), await _struct(ann, our_gid, status)
            their_struct.pop("bitfield", None)  # nobody knows here which pieces have come
            assert shape(our_struct) == shape(their_struct)
            if status != "complete":
                assert shape(await ann.call("aria2.getUris", our_gid)) == [{"status": str, "uri": str}]
            if status == "active":
                calls = [("aria2.getServers", our_gid, their_gid), ("aria2.getFiles", our_gid, their_gid)]
                for method, our_one, their_one in calls:
                    assert shape(await ann.call(method, our_one)) == shape(await aria2.call(method, their_one))
        theirs_left, ours_left = await aria2.call("aria2.getGlobalStat"), await ann.call("aria2.getGlobalStat")
        del theirs_left["downloadSpeed"], ours_left["downloadSpeed"]
        assert ours_left == theirs_left


async def _struct(client: Client, gid: str, status: str) -> dict[str, Any]:
    """The task when it is there; of one that runs, when its length is known."""
    struct: dict[str, Any] = {}

    async def look() -> bool:
        struct.clear()
        struct.update(await client.call("aria2.tellStatus", gid))
        return struct["status"] == status and (status != "active" or struct["totalLength"] != "0")

    await until(look, what=f"{status} of {client.url}")
    return struct


def shape(words: Any) -> Any:
    """What there is, without what it says; of a list its first."""
    if isinstance(words, dict):
        return {key: shape(value) for key, value in words.items()}
    if isinstance(words, list):
        return [shape(value) for value in words[:1]]
    return type(words)
