"""aria2p, unmodified, drives the house."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aria2p
import pytest

from odl_daemon.model.task import Phase
from tests.acceptance.until import until
from tests.jsonrpc.house import ANN, House


@pytest.fixture
def api(house: House) -> aria2p.API:
    return aria2p.API(aria2p.Client(host="http://127.0.0.1", port=house.port, secret="odl_ann"))


async def test_a_download_is_added_watched_steered_and_cleared(house: House, api: aria2p.API) -> None:
    download = await asyncio.to_thread(api.add_uris, ["http://h/slow/a.bin"], {"dir": "/docs", "split": "5"})
    await until(lambda: _live(download, lambda: _is_moving(download)))
    assert (download.name, str(download.dir), download.total_length) == ("a.bin", "/docs", 3_000_000)
    assert download.progress_string() == "33.33%"
    assert await asyncio.to_thread(download.pause)
    await until(lambda: _live(download, lambda: download.is_paused))
    assert await asyncio.to_thread(download.resume)
    house.source.let_go("/slow/a.bin")
    await until(lambda: _live(download, lambda: download.is_complete))
    assert [str(file.path) for file in download.files] == ["/docs/a.bin"]
    stats = await asyncio.to_thread(api.get_stats)
    assert (stats.num_active, stats.num_waiting, stats.num_stopped) == (0, 0, 1)
    assert await asyncio.to_thread(api.purge)
    assert await asyncio.to_thread(api.get_downloads) == []
    assert [(task.owner, task.phase) for task in await house.tasks()] == [(ANN, Phase.DONE)]


async def test_downloads_are_listed_and_removed(house: House, api: aria2p.API) -> None:
    def add() -> list[aria2p.Download]:
        paused = [api.add_uris([f"http://h/{number}"], {"pause": "true"}) for number in range(3)]
        return [*paused, api.add_uris(["http://h/slow/x"])]

    downloads = await asyncio.to_thread(add)
    assert {each.gid for each in await asyncio.to_thread(api.get_downloads)} == {each.gid for each in downloads}
    results = await asyncio.to_thread(api.remove, downloads[:3], clean=False)
    assert results == [True, True, True]
    assert [each.gid for each in await asyncio.to_thread(api.get_downloads)] == [downloads[3].gid]
    assert await asyncio.to_thread(api.pause_all)
    await until(lambda: _live(downloads[3], lambda: downloads[3].is_paused))
    assert await asyncio.to_thread(api.resume_all)
    phases = [task.phase for task in await house.tasks()]
    assert phases[:3] == [Phase.CANCELLED] * 3


async def test_a_failed_download_is_tried_again_with_its_own_options(house: House, api: aria2p.API) -> None:
    failed = await asyncio.to_thread(api.add_uris, ["http://h/bad/a"], {"dir": "/docs", "out": "b"})
    await until(lambda: _live(failed, lambda: failed.has_failed))
    assert failed.error_code == "3"
    assert await asyncio.to_thread(api.retry_downloads, [failed], clean=False) == [True]
    again = (await house.tasks())[-1]
    assert (again.url, again.target, again.name) == ("http://h/bad/a", "/docs", "b")


async def test_options_are_read_and_set(house: House, api: aria2p.API) -> None:
    download = await asyncio.to_thread(api.add_uris, ["http://h/a"], {"dir": "/docs", "pause": "true"})
    (options,) = await asyncio.to_thread(api.get_options, [download])
    assert str(options.dir) == "/docs"
    assert await asyncio.to_thread(api.set_options, {"max-download-limit": "5K"}, [download]) == [True]
    assert str((await asyncio.to_thread(api.get_global_options)).dir) == "/"
    with pytest.raises(aria2p.ClientException, match="not yours to change"):
        await asyncio.to_thread(api.set_global_options, {"max-concurrent-downloads": "50"})


async def test_calls_in_one_message(api: aria2p.API) -> None:
    client: Any = api.client  # its annotations know one type of parameter
    calls = [(client.ADD_URI, [["http://h/a"], {"pause": "true"}]), (client.GET_GLOBAL_STAT, [])]
    (gid,), (stat,) = await asyncio.to_thread(client.multicall2, calls)
    assert stat["numWaiting"] == "1"
    batch = [(client.TELL_STATUS, [gid, ["gid"]], 1), (client.GET_VERSION, [], 2)]
    told, version = await asyncio.to_thread(client.batch_call, batch)
    assert (told, version["version"]) == ({"gid": gid}, "1.36.0")
    assert client.ADD_URI in await asyncio.to_thread(client.list_methods)


async def test_a_wrong_secret_is_unauthorized(house: House) -> None:
    client = aria2p.Client(host="http://127.0.0.1", port=house.port, secret="odl_nobody")
    with pytest.raises(aria2p.ClientException, match="Unauthorized") as refused:
        await asyncio.to_thread(client.tell_active)
    assert refused.value.code == 1


async def test_its_listener_shows_no_token_and_hears_nothing(house: House, api: aria2p.API) -> None:
    """aria2 tells everybody everything. aria2p listens on a connection of its own, over which it says nothing."""
    heard: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_listen, api, heard))
        await until(lambda: house.door.talks == 1)
        download = await asyncio.to_thread(api.add_uris, ["http://h/a"])
        await until(lambda: _live(download, lambda: download.is_complete))
        api.stop_listening()
    assert heard == []


def _listen(api: aria2p.API, heard: list[str]) -> None:
    def note(_: aria2p.API, gid: str) -> None:
        heard.append(gid)

    api.listen_to_notifications(on_download_start=note, on_download_complete=note, timeout=1, handle_signals=False)


async def _live(download: aria2p.Download, look: Callable[[], Any]) -> Any:
    """What is true of it, asked anew."""
    await asyncio.to_thread(download.update)
    return look()


def _is_moving(download: aria2p.Download) -> bool:
    """Whether it tells its pace."""
    return bool(download.is_active and download.eta.total_seconds() == 2000)
