"""Dialling: every address is judged, and a trouble has one name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from odl_daemon.guard import dial as dial_module
from odl_daemon.guard.destination import destination
from odl_daemon.guard.dial import Dialler, Undialled
from odl_daemon.guard.resolver import Resolver
from odl_daemon.guard.rules import Address, Rules
from tests.guard.diallers import OpenDialler


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that refuses: bound, and nobody listens."""
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        yield idle.getsockname()[1]


class Names:
    """Stands in for the resolver, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[str]] = {}
        self.open = threading.Event()
        self.open.set()

    def getaddrinfo(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        self.open.wait(20)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in self.answers[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.open.set()


async def test_a_literal_is_dialled_without_asking_anybody(port: int, names: Names) -> None:
    with OpenDialler() as dialler, await dialler.dial("127.0.0.1", port, "somebody") as link:
        assert link.getpeername() == ("127.0.0.1", port)
        assert not link.getblocking()
        assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert names.asked == []


async def test_a_name_is_resolved(port: int) -> None:
    with OpenDialler() as dialler, await dialler.dial("localhost", port, "somebody") as link:
        assert link.getpeername()[1] == port


async def test_many_who_want_one_name_ask_once(port: int, names: Names) -> None:
    names.answers["files.test"] = ["127.0.0.1"]
    with OpenDialler() as dialler:
        for link in await asyncio.gather(*(dialler.dial("Files.test", port, "somebody") for _ in range(50))):
            link.close()
    assert names.asked == ["files.test"]


async def test_an_old_answer_is_asked_for_again(port: int, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_module, "REMEMBERED_FOR", -1.0)
    names.answers["files.test"] = ["127.0.0.1"]
    with OpenDialler() as dialler:
        for _ in range(2):
            (await dialler.dial("files.test", port, "somebody")).close()
    assert len(names.asked) == 2


async def test_no_more_names_are_remembered_than_there_is_room_for(
    port: int, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial_module, "REMEMBERED_FOR", -1.0)
    monkeypatch.setattr(dial_module, "REMEMBERED", 3)
    with OpenDialler() as dialler:
        for number in range(10):
            with pytest.raises(Undialled):
                await dialler.dial(f"no-{number}.test", port, "somebody")
        assert len(dialler._known) <= 3


async def test_the_next_address_is_tried_when_one_refuses(port: int, names: Names) -> None:
    names.answers["files.test"] = ["127.0.0.2", "127.0.0.1"]
    with OpenDialler() as dialler, await dialler.dial("files.test", port, "somebody") as link:
        assert link.getpeername() == ("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "files.test"])
async def test_every_address_passes_the_judge(host: str, port: int, names: Names) -> None:
    """Cloudreve CVE-2026-54562, pyLoad CVE-2026-33992: nobody judged."""
    names.answers["files.test"] = ["127.0.0.2", "127.0.0.1"]
    heard: list[tuple[str, int, list[Address]]] = []

    def judge(host: str, port: int, addresses: Sequence[Address]) -> Sequence[Address]:
        heard.append((host, port, list(addresses)))
        raise Undialled("forbidden")

    with OpenDialler(judge=judge) as dialler, pytest.raises(Undialled, match="forbidden"):
        await dialler.dial(host, port, "somebody")
    expected = names.answers.get(host, [host])
    assert heard == [(host, port, [Address(socket.AF_INET, (ip, port)) for ip in expected])]


async def test_blocked_unknown_and_refused_are_told_at_the_same_time(dead_port: int, names: Names) -> None:
    """Else the time would tell what there is inside."""
    heard: list[tuple[str, str]] = []
    names.answers |= {"inner.test": ["10.0.0.1"]}
    rules = Rules(allow=[found for found in [destination(f"127.0.0.1:{dead_port}")] if found])
    with Resolver() as resolver:
        dialler = Dialler(
            resolver=resolver,
            judge=rules,
            blocked=lambda blocked, who: heard.append((blocked.host, who)),
            told_after=0.2,
        )

        async def takes(host: str) -> float:
            began = asyncio.get_running_loop().time()
            with pytest.raises(Undialled):
                await dialler.dial(host, dead_port, "somebody")
            return asyncio.get_running_loop().time() - began

        hosts = ("127.0.0.1", "127.0.0.2", "::1", "169.254.169.254", "inner.test", "unknown.test")
        seconds = await asyncio.gather(*map(takes, hosts))
    assert all(0.19 < each < 1.0 for each in seconds), seconds
    assert {host for host, _ in heard} == set(hosts) - {"127.0.0.1", "unknown.test"}


async def test_what_the_judge_leaves_out_is_not_dialled(port: int, names: Names) -> None:
    names.answers["files.test"] = ["127.0.0.1", "127.0.0.1"]
    with (
        OpenDialler(judge=lambda host, port, addresses: []) as dialler,
        pytest.raises(Undialled, match="no address may be dialled"),
    ):
        await dialler.dial("files.test", port, "somebody")


@pytest.mark.parametrize("host", ["nowhere.test", "a" * 70 + ".test", "..", "1.2.3.4.5"])
async def test_a_name_without_an_address_is_undialled(host: str, port: int) -> None:
    with OpenDialler() as dialler, pytest.raises(Undialled, match="no address"):
        await dialler.dial(host, port, "somebody")


async def test_a_refused_connection_is_undialled(dead_port: int) -> None:
    with OpenDialler() as dialler, pytest.raises(Undialled, match="Connection refused"):
        await dialler.dial("127.0.0.1", dead_port, "somebody")


async def test_a_host_that_does_not_answer_is_undialled_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:  # its queue is full: further connections hang
            each.setblocking(False)
            each.connect_ex(address)
        with OpenDialler(connect_limit=0.2) as dialler, pytest.raises(Undialled, match="no answer in time"):
            await dialler.dial(address[0], address[1], "somebody")
        for each in fillers:
            each.close()


async def test_a_name_server_that_does_not_answer_is_undialled_in_time(port: int, names: Names) -> None:
    names.open.clear()
    with OpenDialler(resolve_limit=0.05) as dialler:
        with pytest.raises(Undialled, match="could not be resolved"):
            await dialler.dial("slow.test", port, "somebody")
        with pytest.raises(Undialled, match="could not be resolved"):
            await dialler.dial("slow.test", port, "somebody")
        assert names.asked == ["slow.test"]
        names.open.set()


async def test_a_cancelled_dial_does_not_spoil_the_answer_for_others(port: int, names: Names) -> None:
    names.answers["files.test"] = ["127.0.0.1"]
    names.open.clear()
    with OpenDialler() as dialler:
        async with asyncio.TaskGroup() as group:
            leaves = group.create_task(dialler.dial("files.test", port, "one"))
            stays = group.create_task(dialler.dial("files.test", port, "another"))
            await asyncio.sleep(0)
            leaves.cancel()
            names.open.set()
        stays.result().close()
    assert names.asked == ["files.test"]
