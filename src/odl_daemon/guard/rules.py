"""May this be dialled? Every address that a name has is judged, on whoever's behalf."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from odl_daemon.guard.addresses import IpAddress, is_metadata, plain, special
from odl_daemon.guard.destination import Destination


class Undialled(OSError):
    """A connection could not, or must not, be made; why is for the admin's eyes only."""


class Blocked(Undialled):
    """A connection must not be made."""

    def __init__(self, host: str, port: int, address: str, reason: str) -> None:
        super().__init__(f"{host} is blocked: {reason}")
        self.host = host
        self.port = port
        self.address = address
        """The one that is to blame, if the name has several."""
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Address:
    """What a name resolved to, or an IP literal said."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


PORTS = frozenset({80, 443, 8080, 8443})
"""Where web servers listen."""


def belongs_to_this_host(address: IpAddress) -> bool:
    """Whether an interface of this host has the address: only such a one can be bound."""
    return _binds(address) and not _binds(_NOBODYS[address.version])


def _binds(address: IpAddress) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


_NOBODYS = {4: ipaddress.ip_address("192.0.2.1"), 6: ipaddress.ip_address("2001:db8::1")}
"""Addresses for documentation. Where even these can be bound (`ip_nonlocal_bind`), binding tells nothing."""


@dataclass(frozen=True)
class Rules:
    """guard.dial.Judge. What is denied stays so; what is allowed may be an inner address or another port; the rest
    may be whatever is for everybody, on the ports of web servers, and never an address of this host."""

    allow: Sequence[Destination] = ()
    deny: Sequence[Destination] = ()
    ports: Collection[int] = PORTS
    is_own: Callable[[IpAddress], bool] = belongs_to_this_host

    def __call__(self, host: str, port: int, addresses: Sequence[Address]) -> Sequence[Address]:
        """Those of the addresses that may be dialled. Raises Blocked: also if a name has addresses for everybody and
        others, as one does that wants to get past a judge."""
        verdicts = [(address, self._why_not(host, port, _ip(address))) for address in addresses]
        refused = [(address, why) for address, why in verdicts if why]
        admitted = [address for address, why in verdicts if not why]
        if refused and not all(self._is_allowed(host, port, _ip(address)) for address in admitted):
            admitted = []
        if not admitted:
            address, why = refused[0] if refused else (None, "no address")
            raise Blocked(host, port, address.sockaddr[0] if address else "", why)
        return admitted

    def _why_not(self, host: str, port: int, address: IpAddress) -> str:
        """Why this address must not be dialled; "" if it may."""
        if _speaks_of(self.deny, host, port, address):
            return "denied"
        if is_metadata(address):
            return special(address)
        if self._is_allowed(host, port, address):
            return ""
        if why := special(address):
            return why
        if self.is_own(address):
            return "an address of this host"
        return "" if port in self.ports else "port"

    def _is_allowed(self, host: str, port: int, address: IpAddress) -> bool:
        return any(
            each.opens(port)
            and (each.holds(address) or (each.names(host) and (each.port is not None or port in self.ports)))
            for each in self.allow
        )


def _speaks_of(some: Sequence[Destination], host: str, port: int, address: IpAddress) -> bool:
    return any(each.opens(port) and (each.holds(address) or each.names(host)) for each in some)


def _ip(address: Address) -> IpAddress:
    return plain(ipaddress.ip_address(str(address.sockaddr[0]).partition("%")[0]))
