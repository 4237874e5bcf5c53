"""What aria2 dials is what a link was judged by: two programs read one text, and must read the same."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from odl_daemon.download.aria2 import _checked_url
from odl_daemon.download.conf import ARGUMENTS, Conf
from odl_daemon.download.probe import NoAnswer, Prober
from odl_daemon.download.proxy import Proxy
from odl_daemon.download.rpc import Aria2Rpc, RpcError
from odl_daemon.download.sandbox import Isolation, Sandbox
from odl_daemon.guard.dial import Undialled
from odl_daemon.model.source import Source, Unusable, parse

AT_ONCE = 100
"""Links in one example."""

_words = some.text(some.characters(codec="utf-8"), max_size=8)
_odd = some.text(
    "@:/?#[]\\%. \t\n\x00\x7f;,&=+!$'()*-_~^|<>{}`\"\u3002\uff0e\u200d\xad\xdf\u03c2\u2460\uff11", max_size=5
)
_ascii = some.text("abcxyzABC019-_.", min_size=1, max_size=12)
_labels = some.text(some.characters(codec="utf-8", categories=["L", "Nd", "Mn", "No"]), min_size=1, max_size=6)
_hosts = some.one_of(
    _ascii,
    some.lists(some.one_of(_ascii, _labels), min_size=1, max_size=3).map(".".join),
    some.ip_addresses(v=4).map(str),
    some.ip_addresses(v=4).map(lambda address: str(int(address))),
    some.ip_addresses(v=4).map(lambda address: ".".join(f"{part:#o}" for part in address.packed)),
    some.ip_addresses(v=4).map(lambda address: hex(int(address))),
    some.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    some.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]"),
    some.ip_addresses(v=4).map(lambda address: f"[::ffff:{address}]"),
    some.tuples(_odd, _ascii, _odd).map("".join),
)
_logins = some.one_of(
    some.just(""), some.tuples(_words, some.sampled_from(["@", ":@", ":x@", "%40@", "@@"])).map("".join), _odd
)
_ports = some.one_of(some.just(""), some.integers(-1, 70000).map(lambda port: f":{port}"), _odd)
_tails = some.one_of(
    some.just(""),
    some.tuples(some.sampled_from(["/", "?", "#", "/x?", "\\", "/@", "?@", "#@", ";"]), _words, _odd).map("".join),
)
_schemes = some.sampled_from(["http://", "https://", "HTTP://", "https:", "http:/", "http:///", "//", ""])
_links = some.tuples(_schemes, _logins, _hosts, _ports, _tails).map("".join)


class Dialled(NamedTuple):
    """Whom somebody wants to be connected to."""

    host: str
    port: int


class Noting:
    """A dialler that takes down for each client what it asked for, and connects nobody."""

    def __init__(self) -> None:
        self.asked: dict[str, list[Dialled]] = {}

    async def dial(self, host: str, port: int, who: str) -> socket.socket:
        self.asked.setdefault(who, []).append(Dialled(host, port))
        raise Undialled("nobody is connected")


class Aria2:
    """One real aria2 in its sandbox, behind the real proxy."""

    def __init__(self, rpc: Aria2Rpc, port: int, folder: str, noting: Noting) -> None:
        self._rpc = rpc
        self._port = port
        self._folder = folder
        self._noting = noting
        self._count = 0

    async def dials(self, links: Sequence[Source]) -> list[list[Dialled]]:
        """What it dials for each of these links."""
        callers = [self._caller() for _ in links]
        added = 0
        for link, caller in zip(links, callers, strict=True):
            options = {"all-proxy": f"http://{caller}:{self._port}", "dir": self._folder}
            with suppress(RpcError):  # it cannot read the link at all
                await self._rpc.call("addUri", [link.url], options)
                added += 1
        async with asyncio.timeout(30):
            while int((await self._rpc.call("getGlobalStat"))["numStopped"]) < added:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await self._rpc.call("purgeDownloadResult")
        return [self._noting.asked.pop(caller, []) for caller in callers]

    def _caller(self) -> str:
        """Another loopback address for each link: by it the proxy knows for whom it is asked."""
        self._count += 1
        return str(IPv4Address("127.1.0.0") + self._count)


@asynccontextmanager
async def aria2(root: Path) -> AsyncIterator[Aria2]:
    noting = Noting()
    async with (
        Sandbox.opened(
            scratch=root,
            aria2c="aria2c",
            isolation=Isolation.NAMESPACE,
            arguments=ARGUMENTS,
            conf=Conf(secret="open sesame", slots=AT_ONCE, silence=30).text(),
            memory=1 << 30,
            lock=root.parent / "lock",
            heard=lambda line: None,
        ) as sandbox,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(Proxy(noting).serve(sandbox.listener), name="egress proxy")]
        (way,) = await sandbox.sockets(1)
        async with Aria2Rpc.connected(
            sandbox.rpc_port, token="open sesame", limit=10, on_event=lambda *_: None, socket_factory=lambda: way
        ) as rpc:
            tasks.append(group.create_task(rpc.listen(), name="what aria2 says"))
            try:
                yield Aria2(rpc, sandbox.proxy_port, str(root), noting)
            finally:
                for task in tasks:
                    task.cancel()


async def test_what_aria2_dials_is_what_was_judged(root: Path) -> None:
    async with aria2(root) as found:
        loop = asyncio.get_running_loop()

        @settings(max_examples=60, deadline=None, phases=(Phase.reuse, Phase.generate), suppress_health_check=_SLOW)
        @given(some.lists(_links, min_size=AT_ONCE // 2, max_size=AT_ONCE))
        def law(texts: list[str]) -> None:
            links = list(_accepted(texts))
            dialled = asyncio.run_coroutine_threadsafe(found.dials(links), loop).result(60)
            wrong = [
                (link.url, asked) for link, asked in zip(links, dialled, strict=True) if set(asked) != {_judged(link)}
            ]
            assert wrong == []

        await asyncio.to_thread(law)


@settings(deadline=None, max_examples=500)
@given(_links)
def test_what_we_ask_ourselves_is_what_was_judged(text: str) -> None:
    for link in _accepted([text]):
        noting = Noting()
        with pytest.raises(NoAnswer):
            asyncio.run(Prober(dial=noting.dial, tls=_TLS).ask(link.url, "somebody"))
        assert noting.asked == {"somebody": [_judged(link)]}


@settings(deadline=None)
@given(_links)
def test_what_aria2_is_handed_is_what_was_judged_also_of_a_row_that_somebody_typed(text: str) -> None:
    for link in _accepted([text]):
        assert _checked_url(text) == _checked_url(link.url) == (link.url, _judged(link).host)


def _accepted(texts: Sequence[str]) -> Iterator[Source]:
    for text in texts:
        with suppress(Unusable):
            yield parse(text)


def _judged(link: Source) -> Dialled:
    parts = urlsplit(link.url)
    return Dialled(link.host.strip("[]"), parts.port or {"http": 80, "https": 443}[parts.scheme])


_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
_TLS = ssl.create_default_context()
