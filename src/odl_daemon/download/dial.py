"""Connects to hosts of the internet: resolves a name once, judges every address, dials what was judged."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

CONNECT_LIMIT: Final = 15.0
RESOLVE_LIMIT: Final = 5.0

REMEMBERED_FOR: Final = 5.0
"""Seconds that addresses, or that there are none, are remembered: as long as one burst of files from one host."""

REMEMBERED: Final = 4096
"""Names that are remembered at most."""

RESOLVERS: Final = 16
"""Threads that ask for names: slow names of some must not hold up the others for long."""


class Undialled(OSError):
    """A connection could not, or must not, be made; why is for the admin's eyes only."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a name resolved to, or an IP literal said."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


Judge = Callable[[str, int, Sequence[Address], str], Sequence[Address]]
"""Takes host, port, all its addresses and for whom; returns those that may be dialled, or raises Undialled."""


def admit_all(host: str, port: int, addresses: Sequence[Address], who: str) -> Sequence[Address]:
    """The judge that refuses nothing."""
    return addresses


class Dialler:
    """Dials for everybody in download/. Use it as a context: leaving ends its threads."""

    def __init__(
        self,
        *,
        judge: Judge = admit_all,
        connect_limit: float = CONNECT_LIMIT,
        resolve_limit: float = RESOLVE_LIMIT,
    ) -> None:
        self._judge = judge
        self._connect_limit = connect_limit
        self._resolve_limit = resolve_limit
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        self._known: dict[str, tuple[float, asyncio.Future[list[_Found]]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads, without waiting for a name server that does not answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def dial(self, host: str, port: int, who: str) -> socket.socket:
        """A connected, non-blocking TCP socket to the first of the host's admitted addresses that answers.

        `who` names on whose behalf, for the judge. Raises Undialled, whatever the cause.
        """
        addresses = self._judge(host, port, await self._addresses(host, port), who)
        return await self._connect(host, addresses)

    # --- names ----------------------------------------------------------------------------------------------

    async def _addresses(self, host: str, port: int) -> list[Address]:
        found = _literal(host) or await self._resolved(host.lower())
        return [_address(family, ip, scope, port) for family, ip, scope in found]

    async def _resolved(self, host: str) -> list[_Found]:
        """Asks once for everybody who wants the name at about the same time."""
        now = asyncio.get_running_loop().time()
        asked_at, answer = self._known.get(host, (0.0, None))
        if answer is None or answer.cancelled() or (answer.done() and now - asked_at > REMEMBERED_FOR):
            answer = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)
            self._remember(host, now, answer)
        try:
            async with asyncio.timeout(self._resolve_limit):
                found = await asyncio.shield(answer)
        except TimeoutError as error:
            raise Undialled(f"{host} could not be resolved in {self._resolve_limit:.0f} s") from error
        if not found:
            raise Undialled(f"{host} has no address")
        return found

    def _remember(self, host: str, now: float, answer: asyncio.Future[list[_Found]]) -> None:
        if len(self._known) >= REMEMBERED:
            self._known = {
                name: (then, known)
                for name, (then, known) in self._known.items()
                if not known.done() or now - then <= REMEMBERED_FOR
            }
        self._known[host] = (now, answer)

    # --- connections ----------------------------------------------------------------------------------------

    async def _connect(self, host: str, addresses: Sequence[Address]) -> socket.socket:
        """Tries one after the other; none but the last may use up the time of those behind it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._connect_limit
        why = "no address may be dialled"
        for number, address in enumerate(addresses):
            share = (deadline - loop.time()) / (len(addresses) - number)
            try:
                async with asyncio.timeout(share):
                    return await _connected(address)
            except TimeoutError:
                why = "no answer in time"
            except OSError as error:
                why = os.strerror(error.errno or 0)  # asyncio's own words hold the address only
        raise Undialled(f"{host}: {why}")


_Found = tuple[socket.AddressFamily, str, int]
"""Family, IP address, scope id."""


def _literal(host: str) -> list[_Found] | None:
    with suppress(ValueError):
        ip = ipaddress.ip_address(host)
        if ip.version == 4:
            return [(socket.AF_INET, str(ip), 0)]
        if "%" not in host:
            return [(socket.AF_INET6, str(ip), 0)]
    return None


def _look_up(host: str) -> list[_Found]:
    """Runs in a thread. A name without an address is an answer too: it is remembered like one."""
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError):
        return []
    return [
        (family, str(sockaddr[0]), int(sockaddr[3]) if len(sockaddr) == 4 else 0)
        for family, _, _, _, sockaddr in answers
    ]


def _address(family: socket.AddressFamily, ip: str, scope: int, port: int) -> Address:
    return Address(family, (ip, port) if family == socket.AF_INET else (ip, port, 0, scope))


async def _connected(address: Address) -> socket.socket:
    link = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(link, address.sockaddr)
    except BaseException:
        link.close()
        raise
    return link
