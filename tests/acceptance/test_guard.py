"""A stranger's link reaches nothing inside: listeners on forbidden addresses hear nothing, and nobody learns why."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.dns import NameServer
from tests.servers.origin import Origin, Page, content

DATA = content(10_000)
GOOD = "127.0.0.9"
"""The one address that is allowed in these tests: it stands for the internet."""


class Forbidden:
    """Listens on every address of this host, at one port, and counts who comes anywhere but to GOOD."""

    def __init__(self) -> None:
        self.heard = 0
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            server = await asyncio.start_server(self._hear, "0.0.0.0", 0)
            self.port = server.sockets[0].getsockname()[1]
            await stack.enter_async_context(server)
            await stack.enter_async_context(await asyncio.start_server(self._hear, "::", self.port, reuse_address=True))
            yield

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += writer.get_extra_info("sockname")[0] != GOOD
        writer.close()


@pytest.fixture
async def forbidden() -> AsyncIterator[Forbidden]:
    found = Forbidden()
    async with found.listening():
        yield found


def own_addresses() -> list[str]:
    """Of this host, besides loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [str(probe.getsockname()[0])]


LITERALS = """
127.0.0.1 127.0.0.2 127.1 127.0.1 0 0.0.0.0 2130706433 017700000001 0x7f000001 0x7f.0.0.1 0177.0.0.1
127.0.0.1. 10.0.0.1 10.255.255.254 172.16.0.1 172.31.255.254 192.168.0.1 192.168.255.254 100.64.0.1
100.127.255.254 169.254.1.1 169.254.169.254 0xa9fea9fe 2852039166 100.100.100.200 168.63.129.16 192.0.0.192
192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
192.88.99.1 192.31.196.1 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1]
[::ffff:169.254.169.254] [::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::1] [2002:7f00:1::]
[2002:a9fe:a9fe::] [2001:0:7f00:1::1] [fc00::1] [fd00::1] [fd00:ec2::254] [fe80::1] [fec0::1] [ff02::1]
[2001:db8::1] [3fff::1] [100::1] [4000::1] 127.255.255.254 0x7f.1 10.1 127.000.000.001 [0:0:0:0:0:0:0:1]
[fe80::1%25lo] localhost localhost. LOCALHOST ip6-localhost
"""

ODD = """
http://a@127.0.0.1:{port}/ http://a:b@127.0.0.1:{port}/ http://127.0.0.1:{port}#@example.com/
http://127.0.0.1:{port}/?@example.com http://①②⑦.⓪.⓪.①:{port}/ http://127。0。0。1:{port}/
HTTP://127.0.0.1:{port}/ https://127.0.0.1:{port}/ https://[::1]:{port}/ http://127.0.0.1:22/
http://127.0.0.1:3306/ http://127.0.0.1:25/
"""


async def ended(daemon: Daemon, table: Table, urls: list[str]) -> list[dict[str, Any]]:
    """The tasks of rows with these links, as the web interface inserts them, when all have ended."""
    ids = [await table.insert(url) for url in urls]
    await until(lambda: table.ended(ids), within=90)
    return await daemon.show(*ids)


def guarded(names: NameServer, forbidden: Forbidden, **more: object) -> dict[str, Any]:
    return {"allow": [GOOD], "ports": [80, 443, forbidden.port], "resolvers": [names.address], **more}


ONE_TRY = {"retries": 0, "retry_wait": "100ms", "slots": 40}


async def test_no_form_of_a_forbidden_address_is_connected_to(
    start_daemon: StartDaemon, sqlite: Table, forbidden: Forbidden
) -> None:
    guard = {"allow": [], "ports": [80, 443, forbidden.port]}
    daemon = await start_daemon("a", database=sqlite.url, guard=guard, download=ONE_TRY, intake={"poll": 0.2})
    hosts = [*LITERALS.split(), *own_addresses()]
    urls = [f"http://{host}:{forbidden.port}/x" for host in hosts] + [
        odd.format(port=forbidden.port) for odd in ODD.split()
    ]
    assert len(urls) >= 80
    tasks = await ended(daemon, sqlite, urls)
    assert forbidden.heard == 0
    assert {task["status_name"] for task in tasks} == {"ERROR"}, tasks
    reasons = {task["reason"] for task in tasks}
    assert reasons <= {"unreachable", "bad_url"}, reasons
    told = [task["comment"] for task in tasks if task["reason"] == "unreachable"]
    assert all("could not be reached" in each for each in told), told
    blocks = json.loads((await daemon.odl("blocks", "--json", "--limit", "500")).out)
    unreachable = {task["id"] for task in tasks if task["reason"] == "unreachable"}
    assert {block["task"] for block in blocks if block["task"] is not None} <= unreachable
    assert {"loopback", "private", "cloud metadata", "link-local"} <= {block["reason"] for block in blocks}


async def test_names_redirects_and_rebinding_lead_no_further(
    start_daemon: StartDaemon, sqlite: Table, forbidden: Forbidden
) -> None:
    async with NameServer() as names, Origin(host=GOOD) as origin:
        inner, outer = "127.0.0.1", "93.184.216.34"
        names.hosts |= {
            "inner.test": [[inner]],
            "ten.test": [["10.0.0.1"]],
            "six.test": [["::1"]],
            "mapped.test": [["::ffff:127.0.0.1"]],
            "mixed.test": [[outer, inner]],
            "mixed6.test": [[outer, "::1"]],
            "meta.test": [["169.254.169.254"]],
            "good.test": [[GOOD]],
            "rebinds.test": [[GOOD], [inner]],
        }
        names.aliases["alias.test"] = "inner.test"
        daemon = await start_daemon(
            "a", database=sqlite.url, guard=guarded(names, forbidden), download=ONE_TRY, intake={"poll": 0.2}
        )
        bad = [f"http://{host}:{forbidden.port}/x" for host in [*names.hosts, "alias.test"] if host != "good.test"]
        targets = [f"http://{host}:{forbidden.port}/y" for host in ("127.0.0.1", "[::1]", "inner.test", "2130706433")]
        targets += [f"https://127.0.0.1:{forbidden.port}/", f"//127.0.0.1:{forbidden.port}/", "file:///etc/passwd"]
        targets += [f"ftp://127.0.0.1:{forbidden.port}/", f"http://169.254.169.254:{forbidden.port}/"]
        for number, target in enumerate(targets):
            origin.pages[f"/{number}"] = Page(status=302, headers={"Location": target})
        origin.pages["/good"] = Page(DATA)
        redirects = [f"http://good.test:{origin.port}/{number}" for number in range(len(targets))]
        origin.pages["/r"] = Page(status=302, headers={"Location": f"http://rebinds.test:{forbidden.port}/z"})
        tasks = await ended(
            daemon,
            sqlite,
            [*bad, *redirects, f"http://rebinds.test:{origin.port}/r", f"http://good.test:{origin.port}/good"],
        )
        assert forbidden.heard == 0
        assert [task["status_name"] for task in tasks] == ["ERROR"] * (len(tasks) - 1) + ["OK"], tasks
        told = {task["url"]: task["reason"] for task in tasks[: len(bad)]}
        assert told.pop(f"http://rebinds.test:{forbidden.port}/x") in (
            "interrupted",
            "unreachable",
        )  # whose turn it was
        assert set(told.values()) == {"unreachable"}


@pytest.mark.chaos
async def test_a_name_that_is_never_answered_holds_nobody_up_and_looks_like_the_others(
    start_daemon: StartDaemon, sqlite: Table, forbidden: Forbidden
) -> None:
    async with NameServer() as names, Origin(host=GOOD) as origin:
        names.silent |= {f"slow{number}.test" for number in range(20)}
        names.hosts["good.test"] = [[GOOD]]
        origin.pages["/good"] = Page(DATA)
        daemon = await start_daemon(
            "a", database=sqlite.url, guard=guarded(names, forbidden), download=ONE_TRY, intake={"poll": 0.2}
        )
        slow = [await sqlite.insert(f"http://slow{number}.test/", owner="mallory") for number in range(20)]
        good = await sqlite.insert(f"http://good.test:{origin.port}/good", owner="ann")
        await until(lambda: sqlite.ended([good]), within=15)
        assert (await sqlite.row(good))["status"] == 4
        await until(lambda: sqlite.ended(slow), within=60)
        tasks = await daemon.show(*slow)
        assert {task["reason"] for task in tasks} == {"unreachable"}


async def test_the_daemons_own_doors_stay_shut(start_daemon: StartDaemon, sqlite: Table) -> None:
    """aria2's RPC port, and the proxy's, inside the sandbox are not those of the host; no path leads to a socket."""
    daemon = await start_daemon("a", database=sqlite.url, guard={"allow": []}, download=ONE_TRY, intake={"poll": 0.2})
    urls = [f"http://127.0.0.1:{port}/jsonrpc" for port in (6800, 8118)]
    urls += [f"http://[::1]:{port}/" for port in (6800, 8118)]
    urls += [f"http://unix:{daemon.state}/control.sock:/", f"file://{daemon.state}/control.sock"]
    tasks = await ended(daemon, sqlite, urls)
    assert {task["status_name"] for task in tasks} == {"ERROR"}
    said = await daemon.odl("blocks", "--limit", "2")
    assert said.code == 0
    assert said.out.splitlines()[0].split() == ["AT", "TASK", "OWNER", "HOST", "PORT", "ADDRESS", "REASON"]
