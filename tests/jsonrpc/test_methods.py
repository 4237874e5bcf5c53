from __future__ import annotations

from typing import Any

import pytest

from odl_daemon.model.task import Phase
from tests.acceptance.until import until
from tests.jsonrpc.conftest import Client, Refused
from tests.jsonrpc.house import ANN, SIZE, House

NOWHERE = "ffffffffffffffff"


async def status(client: Client, gid: str) -> str:
    return str((await client.call("aria2.tellStatus", gid, ["status"]))["status"])


async def becomes(client: Client, gid: str, wanted: str) -> None:
    async def look() -> bool:
        return await status(client, gid) == wanted

    await until(look, what=f"{gid} being {wanted}")


async def refusal(client: Client, method: str, *params: object) -> str:
    with pytest.raises(Refused) as refused:
        await client.call(method, *params)
    assert refused.value.code == 1
    return refused.value.message


def gids(structs: list[dict[str, Any]]) -> list[str]:
    return [struct["gid"] for struct in structs]


# --- handing over


async def test_a_link_becomes_the_users_own_task(house: House, ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/a.bin"], {"dir": "/docs//new", "out": "sub/b.bin"})
    await becomes(ann, gid, "complete")
    (task,) = await house.tasks()
    assert (task.owner, task.library, task.path, task.mkdir) == (ANN, "default", "/docs/new/sub/b.bin", True)
    struct = await ann.call("aria2.tellStatus", gid)
    assert struct == {
        "completedLength": str(SIZE),
        "connections": "0",
        "dir": "/docs/new/sub",
        "downloadSpeed": "0",
        "errorCode": "0",
        "errorMessage": "",
        "files": [
            {
                "completedLength": str(SIZE),
                "index": "1",
                "length": str(SIZE),
                "path": "/docs/new/sub/b.bin",
                "selected": "true",
                "uris": [{"status": "used", "uri": "http://h/a.bin"}],
            }
        ],
        "gid": gid,
        "numPieces": "3",
        "pieceLength": "1048576",
        "status": "complete",
        "totalLength": str(SIZE),
        "uploadLength": "0",
        "uploadSpeed": "0",
    }


async def test_of_several_mirrors_the_first_usable_is_taken(house: House, ann: Client) -> None:
    await ann.call("aria2.addUri", ["ftp://h/a", "not a link", "HTTPS://H/b", "http://h/c"])
    assert [task.url for task in await house.tasks()] == ["https://h/b"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "The parameter at 0 is required but missing."),
        (["http://h/a"], "The parameter at 0 has wrong type."),
        ([[]], "URI is not provided."),
        ([[5]], "URI is not provided."),
        ([["magnet:?xt=urn:btih:1"]], "magnet: links are not taken here, only http and https"),
        ([["http://h/a"], "x"], "The parameter at 1 has wrong type."),
        ([["http://h/a"], {}, "x"], "The parameter at 2 has wrong type."),
        ([["http://h/a"], {}, True], "The parameter at 2 has wrong type."),
        ([["http://h/a"], {}, -1], "Position must be greater than or equal to 0."),
        ([["http://h/a"], {"pause": "perhaps"}], "We encountered a problem while processing the option '--pause'."),
        ([["http://h/a"], {"dir": 5}], "We encountered a problem while processing the option '--dir'."),
    ],
)
async def test_a_link_that_cannot_be_taken_is_refused_in_aria2s_words(
    house: House, ann: Client, params: list[object], message: str
) -> None:
    assert await refusal(ann, "aria2.addUri", *params) == message
    assert await house.tasks() == []


async def test_a_position_is_tolerated(ann: Client) -> None:
    assert len(await ann.call("aria2.addUri", ["http://h/a"], {}, 0)) == 16


async def test_what_is_handed_over_paused_stands_still(house: House, ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/a.bin"], {"pause": "true"})
    other = await ann.call("aria2.addUri", ["http://h/b.bin"])
    await becomes(ann, other, "complete")
    assert await status(ann, gid) == "paused"
    assert await ann.call("aria2.unpause", gid) == gid
    await becomes(ann, gid, "complete")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("aria2.addTorrent", ["aGVsbG8="]),
        ("aria2.addMetalink", ["aGVsbG8="]),
        ("aria2.changePosition", [NOWHERE, 0, "POS_SET"]),
        ("aria2.changeUri", [NOWHERE, 1, [], []]),
        ("aria2.changeGlobalOption", [{"dir": "/etc"}]),
        ("aria2.shutdown", []),
        ("aria2.forceShutdown", []),
    ],
)
async def test_what_is_no_users_business_is_refused_with_a_sentence(
    ann: Client, method: str, params: list[object]
) -> None:
    assert " " in await refusal(ann, method, *params)


# --- steering


async def test_pause_unpause_and_remove(house: House, ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/slow/a.bin"])
    await becomes(ann, gid, "active")
    assert await ann.call("aria2.pause", gid) == gid
    await becomes(ann, gid, "paused")
    assert await refusal(ann, "aria2.pause", gid) == f"GID#{gid} cannot be paused now"
    assert await ann.call("aria2.unpause", gid) == gid
    await becomes(ann, gid, "active")
    assert await refusal(ann, "aria2.unpause", gid) == f"GID#{gid} cannot be unpaused now"
    assert await ann.call("aria2.remove", gid) == gid
    await becomes(ann, gid, "removed")
    assert await refusal(ann, "aria2.forceRemove", gid) == f"Active Download not found for GID#{gid}"
    assert (await ann.call("aria2.tellStatus", gid, ["errorCode"])) == {"errorCode": "31"}


async def test_all_of_a_user_pause_and_go_on(house: House, ann: Client, bob: Client) -> None:
    anns = [await ann.call("aria2.addUri", [f"http://h/slow/{number}"]) for number in range(5)]
    bobs = await bob.call("aria2.addUri", ["http://h/slow/bobs"], {"pause": "true"})
    assert await ann.call("aria2.forcePauseAll") == "OK"
    for gid in anns:
        await becomes(ann, gid, "paused")
    assert await ann.call("aria2.unpauseAll") == "OK"
    await until(lambda: _all_but(ann, "paused"), what="the last of them going on")
    assert await status(bob, bobs) == "paused"


async def _all_but(client: Client, unwanted: str) -> bool:
    structs = await client.call("aria2.tellWaiting", 0, 100, ["status"])
    return all(struct["status"] != unwanted for struct in structs)


async def test_a_failed_link_says_why(ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/bad/a.bin"])
    await becomes(ann, gid, "error")
    told = await ann.call("aria2.tellStatus", gid, ["errorCode", "errorMessage"])
    assert told == {"errorCode": "3", "errorMessage": "the source does not have it (404)"}


async def test_options_that_change_nothing_may_be_changed(ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/slow/a"], {"dir": "/in", "out": "b"})
    assert await ann.call("aria2.getOption", gid) == {"dir": "/in", "library": "default", "out": "b"}
    assert await ann.call("aria2.changeOption", gid, {"max-download-limit": "1K", "split": "5"}) == "OK"
    for option in ("dir", "out", "pause", "library"):
        assert "cannot be changed" in await refusal(ann, "aria2.changeOption", gid, {option: "x"})
    assert "not taken here" in await refusal(ann, "aria2.changeOption", gid, {"all-proxy": "http://h"})


# --- looking


async def test_the_lists_show_each_task_once(house: House, ann: Client) -> None:
    active = [await ann.call("aria2.addUri", [f"http://h/slow/{number}"]) for number in range(3)]
    await until(lambda: _fetching(house, 3), what="three transfers")
    paused = await ann.call("aria2.addUri", ["http://h/p"], {"pause": True})
    assert gids(await ann.call("aria2.tellActive")) == active
    assert await ann.call("aria2.tellActive", ["gid"]) == [{"gid": gid} for gid in active]
    assert await ann.call("aria2.tellWaiting", 0, 100, ["gid", "status"]) == [{"gid": paused, "status": "paused"}]
    assert await ann.call("aria2.tellStopped", 0, 100) == []
    stat = await ann.call("aria2.getGlobalStat")
    assert stat == {
        "downloadSpeed": "3000",
        "numActive": "3",
        "numStopped": "0",
        "numStoppedTotal": "0",
        "numWaiting": "1",
        "uploadSpeed": "0",
    }


async def _fetching(house: House, count: int) -> bool:
    return [task.phase for task in await house.tasks()] == [Phase.FETCHING] * count


async def test_offsets_count_from_either_end(ann: Client) -> None:
    line = [await ann.call("aria2.addUri", [f"http://h/{number}"], {"pause": "true"}) for number in range(5)]

    async def part(offset: int, amount: int) -> list[str]:
        return gids(await ann.call("aria2.tellWaiting", offset, amount, ["gid"]))

    assert await part(0, 100) == line
    assert await part(1, 2) == line[1:3]
    assert await part(4, 9) == line[4:]
    assert await part(-1, 100) == line[::-1]
    assert await part(-2, 2) == [line[3], line[2]]
    assert await part(-5, 3) == [line[0]]
    assert await part(-6, 3) == await part(5, 3) == await part(0, 0) == await part(10**30, 1) == []


async def test_stopped_tasks_stand_in_the_order_of_their_ends(house: House, ann: Client) -> None:
    first = await ann.call("aria2.addUri", ["http://h/slow/1"])
    second = await ann.call("aria2.addUri", ["http://h/2"])
    await becomes(ann, second, "complete")
    house.source.let_go("/slow/1")
    await becomes(ann, first, "complete")
    assert gids(await ann.call("aria2.tellStopped", 0, 10)) == [second, first]
    assert gids(await ann.call("aria2.tellStopped", -1, 1)) == [first]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "The parameter at 0 is required but missing."),
        ([0], "The parameter at 1 is required but missing."),
        (["0", 1], "The parameter at 0 has wrong type."),
        (
            [0, -1],
            "The integer parameter at 1 has invalid value: the value must be greater than or equal to 0.",
        ),
        ([0, 1, "gid"], "The parameter at 2 has wrong type."),
    ],
)
async def test_lists_are_asked_for_in_aria2s_words(ann: Client, params: list[object], message: str) -> None:
    assert await refusal(ann, "aria2.tellWaiting", *params) == message


async def test_a_gid_may_be_shortened_as_long_as_it_is_unique(ann: Client) -> None:
    gids = [await ann.call("aria2.addUri", [f"http://h/{number}"], {"pause": "true"}) for number in range(20)]
    assert len({gid[:2] for gid in gids}) == len(gids)
    assert (await ann.call("aria2.tellStatus", gids[7][:3].upper(), ["gid"])) == {"gid": gids[7]}
    shared = next(gid[0] for gid in gids if sum(other[0] == gid[0] for other in gids) > 1)
    assert await refusal(ann, "aria2.tellStatus", shared) == f"GID {shared} is not unique"


@pytest.mark.parametrize(
    ("gid", "message"),
    [
        ("", "Invalid GID "),
        ("xyz", "Invalid GID xyz"),
        ("0" * 17, "Invalid GID 00000000000000000"),
        ("0" * 16, "GID 0000000000000000 is not found"),
        (NOWHERE, f"GID {NOWHERE} is not found"),
        ("abc", "GID abc is not found"),
        (5, "The parameter at 0 has wrong type."),
    ],
)
async def test_a_gid_that_is_none_is_told_so(ann: Client, gid: object, message: str) -> None:
    assert await refusal(ann, "aria2.tellStatus", gid) == message


async def test_what_is_there_of_one_task(ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/slow/a"])
    await becomes(ann, gid, "active")
    assert await ann.call("aria2.getUris", gid) == [{"status": "used", "uri": "http://h/slow/a"}]
    assert [file["path"] for file in await ann.call("aria2.getFiles", gid)] == ["/a"]
    (server,) = await ann.call("aria2.getServers", gid)
    assert server["servers"][0]["currentUri"] == "http://h/slow/a"
    assert await ann.call("aria2.getPeers", gid) == []
    paused = await ann.call("aria2.addUri", ["http://h/b"], {"pause": "true"})
    assert await refusal(ann, "aria2.getServers", paused) == f"No active download for GID#{paused}"


async def test_about_the_server(ann: Client, bob: Client) -> None:
    assert (await ann.call("aria2.getVersion"))["version"] == "1.36.0"
    assert len((await ann.call("aria2.getSessionInfo"))["sessionId"]) == 40
    assert await ann.call("aria2.getGlobalOption") == {"dir": "/", "max-download-result": "1000"}
    assert await ann.call("aria2.saveSession") == "OK"
    methods = await ann.call("system.listMethods")
    assert {"aria2.addUri", "aria2.tellStatus", "system.multicall"} <= set(methods)
    assert "aria2.shutdown" not in methods
    assert await ann.call("system.listNotifications") == [
        "aria2.onDownloadStart",
        "aria2.onDownloadPause",
        "aria2.onDownloadStop",
        "aria2.onDownloadComplete",
        "aria2.onDownloadError",
    ]


async def test_every_listed_method_is_served(ann: Client) -> None:
    for method in await ann.call("system.listMethods"):
        _, answer = await ann.post(ann.request(method))
        assert answer.get("error", {}).get("code", 1) == 1, method


# --- clearing the list


async def test_a_cleared_task_is_history_and_not_shown(house: House, ann: Client) -> None:
    gone, kept = [await ann.call("aria2.addUri", [f"http://h/{name}"]) for name in ("a", "b")]
    for gid in (gone, kept):
        await becomes(ann, gid, "complete")
    assert await ann.call("aria2.removeDownloadResult", gone) == "OK"
    assert gids(await ann.call("aria2.tellStopped", 0, 10)) == [kept]
    assert await refusal(ann, "aria2.tellStatus", gone) == f"GID {gone} is not found"
    assert await refusal(ann, "aria2.removeDownloadResult", gone) == f"GID {gone} is not found"
    stat = await ann.call("aria2.getGlobalStat")
    assert (stat["numStopped"], stat["numStoppedTotal"]) == ("1", "2")
    assert [task.phase for task in await house.tasks()] == [Phase.DONE, Phase.DONE]


async def test_what_moves_cannot_be_cleared(ann: Client) -> None:
    gid = await ann.call("aria2.addUri", ["http://h/slow/a"])
    message = await refusal(ann, "aria2.removeDownloadResult", gid)
    assert message == f"Could not remove download result of GID#{gid}"


async def test_a_purge_clears_what_has_ended_of_this_user(house: House, ann: Client, bob: Client) -> None:
    anns = [await ann.call("aria2.addUri", [f"http://h/{number}"]) for number in range(3)]
    bobs = await bob.call("aria2.addUri", ["http://h/bobs"])
    for gid in anns:
        await becomes(ann, gid, "complete")
    await becomes(bob, bobs, "complete")
    assert await ann.call("aria2.purgeDownloadResult") == "OK"
    assert await ann.call("aria2.tellStopped", 0, 10) == []
    assert gids(await bob.call("aria2.tellStopped", 0, 10)) == [bobs]
    later = await ann.call("aria2.addUri", ["http://h/later"])
    await becomes(ann, later, "complete")
    assert gids(await ann.call("aria2.tellStopped", 0, 10)) == [later]
    assert len(await house.tasks(ANN)) == 4
