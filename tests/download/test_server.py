"""The one aria2, supervised: on a real one in its sandbox."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.until import until
from tests.download.bench import Bench, benched, kill_aria2c, pids_of_aria2c
from tests.servers.origin import Origin, Page, content

from odl_daemon.download.conf import ARGUMENTS, Conf, checked, misheard
from odl_daemon.download.rpc import Aria2Rpc
from odl_daemon.download.transfer import Part, State, Transfer, gid_of


def _transfer(bench: Bench, url: str, number: int = 1) -> Transfer:
    folder = bench.root / str(number)
    folder.mkdir(exist_ok=True)
    return Transfer(gid_of(number, 1, 1), url, {"dir": str(folder), "all-proxy": bench.server.proxy_for("ann")})


async def _until(transfer: Transfer, state: State) -> None:
    async with asyncio.timeout(20):
        while transfer.state is not state:
            await transfer.changed()


async def test_a_transfer_runs_and_completes(bench: Bench, origin: Origin) -> None:
    origin.pages["/x"] = Page(content(1000))
    transfer = _transfer(bench, origin.url("/x"))
    bench.server.transfers.add(transfer)
    await _until(transfer, State.COMPLETE)
    assert not transfer.gone.is_set()
    bench.server.transfers.closing(transfer)
    assert transfer.gone.is_set()


async def test_a_transfer_that_was_never_sent_is_gone_at_once(bench: Bench) -> None:
    transfer = _transfer(bench, "http://127.0.0.1:1/")
    bench.server.transfers.add(transfer)
    bench.server.transfers.closing(transfer)
    bench.server.transfers.closing(transfer)
    assert transfer.gone.is_set()


async def test_what_aria2_does_not_take_is_refused(bench: Bench) -> None:
    transfer = _transfer(bench, "http://127.0.0.1:1/")
    transfer.options = {**transfer.options, "split": "many"}
    bench.server.transfers.add(transfer)
    await _until(transfer, State.REFUSED)


async def test_a_dead_aria2_is_replaced_and_its_transfers_are_lost(
    bench: Bench, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    origin.pages["/x"] = Page(content(1000), gate=asyncio.Event(), gate_at=-1)
    transfer = _transfer(bench, origin.url("/x"))
    bench.server.transfers.add(transfer)
    await origin.heard("/x")
    before = pids_of_aria2c()
    kill_aria2c()
    await _until(transfer, State.LOST)
    assert transfer.part is Part.NONE  # somebody else's SIGKILL
    bench.server.transfers.closing(transfer)
    assert transfer.gone.is_set()
    await bench.server.ready()
    assert len(pids_of_aria2c()) == 1
    assert pids_of_aria2c() != before
    assert "its last words:" in caplog.text


async def test_a_cancellation_that_is_lost_does_not_keep_a_dead_aria2(bench: Bench) -> None:
    serve = bench.server._serve_proxy

    async def deaf(listener: socket.socket) -> None:
        try:
            await serve(listener)
        except asyncio.CancelledError:  # as a TaskGroup loses it
            await asyncio.Event().wait()

    async def replaced() -> None:
        before = pids_of_aria2c()
        kill_aria2c()
        await until(lambda: pids_of_aria2c() not in ([], before))
        await bench.server.ready()

    bench.server._serve_proxy = deaf
    await replaced()
    bench.server._serve_proxy = serve
    await replaced()


async def test_a_cancellation_that_is_lost_does_not_keep_a_stopping_daemon(root: Path) -> None:
    async with asyncio.timeout(20), benched(root) as bench:
        serve, deaf_once = bench.server._serve_proxy, asyncio.Event()

        async def deaf(listener: socket.socket) -> None:
            try:
                await serve(listener)
            except asyncio.CancelledError:
                if deaf_once.is_set():
                    raise
                deaf_once.set()
                await asyncio.Event().wait()

        bench.server._serve_proxy = deaf
        before = pids_of_aria2c()
        kill_aria2c()
        await until(lambda: pids_of_aria2c() not in ([], before))
        await bench.server.ready()
    assert deaf_once.is_set()


async def test_a_closing_transfer_is_gone_when_aria2_dies(bench: Bench, origin: Origin) -> None:
    origin.pages["/x"] = Page(content(1000), gate=asyncio.Event(), gate_at=-1)
    transfer = _transfer(bench, origin.url("/x"))
    bench.server.transfers.add(transfer)
    await origin.heard("/x")
    kill_aria2c("STOP")
    bench.server.transfers.closing(transfer)
    assert not transfer.gone.is_set()
    kill_aria2c()
    async with asyncio.timeout(20):
        await transfer.gone.wait()


async def test_more_slots_start_what_waits(root: Path, origin: Origin) -> None:
    for name in ("/1", "/2"):
        origin.pages[name] = Page(content(1000), gate=asyncio.Event(), gate_at=-1)
    async with benched(root, slots=1) as bench:
        first, second = (_transfer(bench, origin.url(f"/{number}"), number) for number in (1, 2))
        bench.server.transfers.add(first)
        await _until(first, State.RUNNING)
        bench.server.transfers.add(second)
        await _until(second, State.LINED_UP)
        bench.server.transfers.set_slots(2)
        await _until(second, State.RUNNING)


async def test_a_transfer_of_nobodys_is_removed_at_a_reconnect(
    bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.pages["/x"] = Page(content(1000), gate=asyncio.Event(), gate_at=-1)
    origin.pages["/y"] = Page(content(1000))
    ours = _transfer(bench, origin.url("/x"), 1)
    links = _watched(monkeypatch)
    bench.server.transfers.add(ours)
    await origin.heard("/x")
    rpc = links[-1]
    options = {"gid": "f" * 16, "dir": ours.options["dir"], "all-proxy": ours.options["all-proxy"], "pause": "true"}
    await rpc.call("addUri", [origin.url("/x")], options)
    await rpc.client_session.close()
    other = _transfer(bench, origin.url("/y"), 2)
    bench.server.transfers.add(other)
    await _until(other, State.COMPLETE)
    assert [item["gid"] for item in await links[-1].call("tellActive", ["gid"])] == [ours.gid]
    assert await links[-1].call("tellWaiting", 0, 10, ["gid"]) == []
    assert ours.state is State.RUNNING


async def test_results_do_not_pile_up_in_aria2(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    links = _watched(monkeypatch)
    for number in range(20):
        origin.pages[f"/{number}"] = Page(content(1000))
    await asyncio.gather(*(bench.fetch(bench.task(origin.url(f"/{number}"))) for number in range(20)))
    origin.pages["/last"] = Page(content(1000))
    await bench.fetch(bench.task(origin.url("/last")))
    last = _transfer(bench, origin.url("/last"), 99)
    bench.server.transfers.add(last)
    await _until(last, State.COMPLETE)  # one message more, and it takes the results before it along
    stopped = await links[-1].call("tellStopped", 0, 100, ["gid"])
    assert {item["gid"] for item in stopped} <= {last.gid}


async def test_aria2_is_asked_nothing_while_nothing_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    links = _watched(monkeypatch)
    await asyncio.sleep(1.2)
    assert links == []


async def test_nobody_without_the_secret_is_served(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, origin: Origin
) -> None:
    """ocDownloader: an aria2 that did what anybody asked for."""
    links = _watched(monkeypatch)
    origin.pages["/x"] = Page(content(1000))
    await bench.fetch(bench.task(origin.url("/x")))
    answers = await links[-1].send_request(
        {
            "id": links[-1]._next_id(),
            "method": "system.multicall",
            "params": [[{"methodName": "aria2.getVersion", "params": []}]],
        }
    )
    assert answers[0]["message"] == "Unauthorized"


def test_the_conf_cannot_be_broken_out_of() -> None:
    with pytest.raises(ValueError, match="control characters"):
        Conf(secret="x\nall-proxy=", slots=1, silence=60).text()
    for text in ("a\0", "a\r", "a\x85", "a\u2028b"):
        with pytest.raises(ValueError, match="control"):
            checked(text)


def test_an_option_that_aria2_has_otherwise_is_named() -> None:
    assert "no-proxy" in misheard({"no-proxy": "*"})
    assert "proxy-method" in misheard({})
    assert all(argument.endswith("=") for argument in ARGUMENTS)


def _watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every link in the order of its use from now on."""
    links: list[Any] = []
    batch = Aria2Rpc.batch

    async def watched(self: Aria2Rpc, calls: Any) -> Any:
        if self not in links:
            links.append(self)
        return await batch(self, calls)

    monkeypatch.setattr(Aria2Rpc, "batch", watched)
    return links
