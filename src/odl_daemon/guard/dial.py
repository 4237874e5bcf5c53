"""Connects to hosts of the internet: resolves a name once, has every address judged, dials what was admitted."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from odl_daemon.guard.resolver import Found, Resolver
from odl_daemon.guard.rules import Address, Blocked, Undialled

__all__ = ["Dialler", "Undialled"]

CONNECT_LIMIT: Final = 15.0
RESOLVE_LIMIT: Final = 5.0

REMEMBERED_FOR: Final = 5.0
"""Seconds that addresses, or that there are none, are remembered: as long as one burst of files from one host."""

REMEMBERED: Final = 4096
"""Names that are remembered at most."""

TOLD_AFTER: Final = 1.0
"""Seconds until whoever asked learns that there is no connection: blocked, unknown and refused take the same time."""

Judge = Callable[[str, int, Sequence[Address]], Sequence[Address]]
"""Takes host, port and all its addresses; returns those that may be dialled, or raises Blocked."""

Heard = Callable[[Blocked, str], None]
"""Hears of what was blocked, and on whose behalf it was asked for."""


class Dialler:
    """Dials on strangers' behalf."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        judge: Judge,
        blocked: Heard = lambda blocked, who: None,
        connect_limit: float = CONNECT_LIMIT,
        resolve_limit: float = RESOLVE_LIMIT,
        told_after: float = TOLD_AFTER,
    ) -> None:
        """Limits are in seconds."""
        self.judge = judge
        """What decides from now on."""
        self.shut = False
        """The kill switch: nothing is dialled for anybody."""
        self._resolver = resolver
        self._blocked = blocked
        self._connect_limit = connect_limit
        self._resolve_limit = resolve_limit
        self._told_after = told_after
        self._known: dict[str, tuple[float, asyncio.Future[list[Found]]]] = {}

    async def dial(self, host: str, port: int, who: str) -> socket.socket:
        """A connected, non-blocking TCP socket to the first of the host's admitted addresses that answers.

        `who` names on whose behalf. Raises Undialled, whatever the cause, and never before its time.
        """
        began = asyncio.get_running_loop().time()
        try:
            if self.shut:
                raise Undialled("the way out is shut")
            addresses = self.judge(host, port, await self._addresses(host, port))
            return await self._connect(host, addresses)
        except Undialled as why:
            if isinstance(why, Blocked):
                self._blocked(why, who)
            await asyncio.sleep(began + self._told_after - asyncio.get_running_loop().time())
            raise

    # --- names ----------------------------------------------------------------------------------------------

    async def _addresses(self, host: str, port: int) -> list[Address]:
        found = _literal(host) or await self._resolved(host.lower())
        return [_address(family, ip, scope, port) for family, ip, scope in found]

    async def _resolved(self, host: str) -> list[Found]:
        """Asks once for everybody who wants the name at about the same time."""
        now = asyncio.get_running_loop().time()
        asked_at, answer = self._known.get(host, (0.0, None))
        if answer is None or answer.cancelled() or (answer.done() and now - asked_at > REMEMBERED_FOR):
            answer = self._resolver.ask(host)
            self._remember(host, now, answer)
        try:
            async with asyncio.timeout(self._resolve_limit):
                found = await asyncio.shield(answer)
        except TimeoutError as error:
            raise Undialled(f"{host} could not be resolved in {self._resolve_limit:.0f} s") from error
        if not found:
            raise Undialled(f"{host} has no address")
        return found

    def _remember(self, host: str, now: float, answer: asyncio.Future[list[Found]]) -> None:
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


def _literal(host: str) -> list[Found] | None:
    with suppress(ValueError):
        ip = ipaddress.ip_address(host)
        if ip.version == 4:
            return [Found(socket.AF_INET, str(ip), 0)]
        if "%" not in host:
            return [Found(socket.AF_INET6, str(ip), 0)]
    return None


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
