"""What `[guard] allow` and `deny` may name: a network, an address or a name, with or without a port."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass

from odl_daemon.guard.addresses import IpAddress, IpNetwork, plain

_NAME = re.compile(r"(?!-)[\w-]{1,63}(\.[\w-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class Destination:
    """`10.1.0.0/16`, `10.1.2.3`, `fd00::/8`, `host`, `host:port` or `[address]:port`."""

    network: IpNetwork | None = None
    name: str = ""
    port: int | None = None
    """None for every one."""

    def names(self, host: str) -> bool:
        """Whether it speaks of this host by its name."""
        return bool(self.name) and self.name == host.lower().rstrip(".")

    def holds(self, address: IpAddress) -> bool:
        """Whether it speaks of this address."""
        return self.network is not None and plain(address) in self.network

    def opens(self, port: int) -> bool:
        return self.port in (None, port)


def destination(item: str) -> Destination | None:
    """None if it is none."""
    if network := _network(item):
        return Destination(network=network)
    host, _, port = item.rpartition(":")
    if not host:
        return Destination(name=_name(item)) if _NAME.fullmatch(item) else None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return None
    if host.startswith("[") and host.endswith("]"):
        network = _network(host[1:-1])
        return Destination(network=network, port=int(port)) if network else None
    if network := _network(host):
        return Destination(network=network, port=int(port))
    return Destination(name=_name(host), port=int(port)) if _NAME.fullmatch(host) else None


def _name(item: str) -> str:
    return item.lower().rstrip(".")


def _network(item: str) -> IpNetwork | None:
    with suppress(ValueError):
        return ipaddress.ip_network(item)
    return None
