from __future__ import annotations

from tests.acceptance.until import until
from tests.jsonrpc.conftest import Client
from tests.jsonrpc.house import House


async def test_it_goes(house: House, ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/slow/a.bin"])
    await until(lambda: _has(ann, gid, "active"))
    print(await ann.call("aria2.tellStatus", gid))
    house.source.let_go("/slow/a.bin")
    await until(lambda: _has(ann, gid, "complete"))
    print(await ann.call("aria2.tellStatus", gid))
    print(await ann.call("aria2.getGlobalStat"))


async def _has(client, gid, status):
    return (await client.call("aria2.tellStatus", gid, ["status"]))["status"] == status
