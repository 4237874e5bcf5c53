"""Which addresses of the internet are for everybody, and what the others are.

Our own table, because the standard library's `is_global` answers another question: it takes multicast, NAT64 and
addresses of IPv4 inside IPv6 for global. After the IANA registries of special-purpose addresses (RFC 6890) for IPv4;
of IPv6 only 2000::/3 is given out to anybody (RFC 4291, 2.4), and of that some blocks are for special purposes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network


def special(address: IpAddress) -> str:
    """What an address is that is not for everybody, in a word for the admin; "" for one that is."""
    address = plain(address)
    if is_metadata(address):
        return "cloud metadata"
    for network, word in (_IPV4 if address.version == 4 else _IPV6).items():
        if address in network:
            return word
    return "" if address.version == 4 or address in _GIVEN_OUT else "reserved"


def plain(address: IpAddress) -> IpAddress:
    """An IPv4 address that is written as one of IPv6 (`::ffff:a.b.c.d`) is the same to the kernel."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_metadata(address: IpAddress) -> bool:
    """Where clouds give out the keys of their machines: no admin can have meant that for a stranger."""
    return plain(address) in _METADATA


def _table(words: Mapping[str, str]) -> dict[IpNetwork, str]:
    return {ipaddress.ip_network(network): word for networks, word in words.items() for network in networks.split()}


_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)

_IPV4: Final = _table(
    {
        "0.0.0.0/8": "this host",
        "127.0.0.0/8": "loopback",
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16": "private",
        "100.64.0.0/10": "shared by a provider",
        "169.254.0.0/16": "link-local",
        "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.175.48.0/24": "for protocols",
        "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24": "for documentation",
        "192.88.99.0/24": "a relay into IPv6",
        "198.18.0.0/15": "for benchmarks",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
    }
)

_GIVEN_OUT: Final = IPv6Network("2000::/3")

_IPV6: Final = _table(
    {
        "::/128": "this host",
        "::1/128": "loopback",
        "::/96": "IPv4 inside",
        "64:ff9b::/96 64:ff9b:1::/48": "IPv4 inside (NAT64)",
        "2001::/32": "IPv4 inside (Teredo)",
        "2002::/16": "IPv4 inside (6to4)",
        "fc00::/7 fec0::/10": "private",
        "fe80::/10": "link-local",
        "ff00::/8": "multicast",
        "2001:db8::/32 3fff::/20": "for documentation",
        "2001::/23 2620:4f:8000::/48": "for protocols",
    }
)
