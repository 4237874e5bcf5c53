"""What `[guard] allow` may name: a network, an address or a name, with or without a port."""

from __future__ import annotations

import ipaddress
import re

_NAME = re.compile(r"(?!-)[\w-]{1,63}(\.[\w-]{1,63})*\.?")


def is_destination(item: str) -> bool:
    """Whether this is `10.1.0.0/16`, `10.1.2.3`, `fd00::/8`, `host`, `host:port` or `[address]:port`."""
    if _network(item):
        return True
    host, _, port = item.rpartition(":")
    if not host:
        return _NAME.fullmatch(item) is not None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return False
    return _network(host[1:-1]) if host.startswith("[") and host.endswith("]") else _NAME.fullmatch(host) is not None


def _network(item: str) -> bool:
    try:
        ipaddress.ip_network(item)
    except ValueError:
        return False
    return True
