"""Name servers of the operator's choice: asked for both kinds of address, and never for long."""

from __future__ import annotations

import asyncio
import time

import pytest

from odl_daemon.guard.resolver import Resolver, by_servers, name_server
from tests.servers.dns import NameServer


async def test_all_addresses_of_a_name_are_found_also_behind_an_alias() -> None:
    async with NameServer() as names:
        names.hosts["real.test"] = [["192.0.2.7", "192.0.2.8", "2001:db8::7"]]
        names.aliases["alias.test"] = "real.test"
        server = name_server(names.address)
        assert server is not None
        with Resolver(by_servers([server])) as resolver:
            for host in ("real.test", "alias.test", "REAL.test"):
                found = await resolver.ask(host)
                assert sorted(each.ip for each in found) == ["192.0.2.7", "192.0.2.8", "2001:db8::7"]
            assert await resolver.ask("nobody.test") == []
            assert await resolver.ask("a" * 64 + ".test") == []
            assert await resolver.ask("") == []


async def test_a_server_that_says_nothing_is_given_up_and_the_next_is_asked() -> None:
    async with NameServer() as mute, NameServer() as names:
        mute.silent.add("a.test")
        names.hosts["a.test"] = [["192.0.2.7"]]
        servers = [server for server in map(name_server, (mute.address, names.address)) if server]
        began = time.monotonic()
        found = await asyncio.get_running_loop().run_in_executor(None, by_servers(servers, limit=6.0), "a.test")
        assert [each.ip for each in found] == ["192.0.2.7"]
        found = await asyncio.get_running_loop().run_in_executor(None, by_servers(servers[:1], limit=0.4), "a.test")
        assert found == []
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("item", "server"),
    [
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("[2001:db8::1]:53", ("2001:db8::1", 53)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("dns.test:53", None),
        ("192.0.2.1:0", None),
        ("192.0.2.1:x", None),
        ("", None),
    ],
)
def test_a_name_server_is_an_address_and_a_port(item: str, server: tuple[str, int] | None) -> None:
    assert name_server(item) == server
