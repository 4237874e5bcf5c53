"""Names to addresses: by the host's own resolver, or by the name servers that the operator names."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple, Self

THREADS: Final = 64
"""Threads that ask for names: slow names of some must not hold up the others for long."""

ANSWER_LIMIT: Final = 5.0
"""Seconds that the named servers get for one name."""


class Found(NamedTuple):
    """One address of a name."""

    family: socket.AddressFamily
    ip: str
    scope: int
    """Of an address of IPv6 that holds on one interface only; else 0."""


LookUp = Callable[[str], list[Found]]
"""Blocks until a name is looked up. A name without an address is an answer too: an empty one."""


class Resolver:
    """Asks in threads of its own. Use it as a context: leaving ends its threads."""

    def __init__(self, look_up: LookUp | None = None) -> None:
        """`look_up`: how; None asks the host's own resolver."""
        self._look_up = look_up or by_the_host
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="resolve")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the threads, without waiting for a name server that does not answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def ask(self, host: str) -> asyncio.Future[list[Found]]:
        """All addresses of a name; it may take as long as it takes."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host)


def name_server(item: str) -> tuple[str, int] | None:
    """Address and port of `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:53`; None if it is none."""
    host, port = item, "53"
    if item.startswith("[") or item.count(":") == 1:
        host, _, port = item.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        if port.isascii() and port.isdigit() and 0 < int(port) < 65536:
            return str(ipaddress.ip_address(host)), int(port)
    return None


def by_the_host(host: str) -> list[Found]:
    """As every other program on this host does it."""
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError):
        return []
    return [
        Found(family, str(sockaddr[0]), int(sockaddr[3]) if len(sockaddr) == 4 else 0)
        for family, _, _, _, sockaddr in answers
    ]


def by_servers(servers: Sequence[tuple[str, int]], limit: float = ANSWER_LIMIT) -> LookUp:
    """Asks name servers, each an IP address and a port, one after the other (RFC 1035); knows no file of hosts."""
    from dns import exception, nameserver, rdatatype, resolver  # only here: most ask the host's own resolver

    asking = resolver.Resolver(configure=False)
    asking.nameservers = [nameserver.Do53Nameserver(ip, port) for ip, port in servers]
    asking.lifetime = limit / 2  # for each of the two kinds of address

    def look_up(host: str) -> list[Found]:
        found: list[Found] = []
        for kind, family in ((rdatatype.A, socket.AF_INET), (rdatatype.AAAA, socket.AF_INET6)):
            with suppress(exception.DNSException, UnicodeError, OSError):
                found += [Found(family, record.address, 0) for record in asking.resolve(f"{host}.", kind, search=False)]
        return found

    return look_up
