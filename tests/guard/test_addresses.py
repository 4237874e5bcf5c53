"""No address that is not for everybody passes, however it is wrapped."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as some

from odl_daemon.guard.addresses import special

INNER = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.1.1
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1
192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255 100.100.100.200 168.63.129.16 :: ::1 ::7f00:1 ::ffff:127.0.0.1
::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::
2001:db8::1 2001:10::1 2001:20::1 2002:7f00:1:: 2002:a00:1:: 2620:4f:8000::1 3fff::1 fc00::1 fd00::1 fd00:ec2::254
fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 4000::1 1fff::1 5f00::1
"""

OUTER = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 93.184.216.34 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1
169.253.255.255 172.15.255.255 172.32.0.1 192.0.3.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1
223.255.255.255 2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001::1 2003::1 2400:cb00::1 ::ffff:8.8.8.8
"""


@pytest.mark.parametrize("address", INNER.split())
def test_what_is_not_for_everybody_is_called_by_its_name(address: str) -> None:
    """pyLoad, after CVE-2026-33992 and CVE-2026-35459: `is_global` is true for many of these."""
    assert special(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTER.split())
def test_what_is_for_everybody_has_none(address: str) -> None:
    assert special(ipaddress.ip_address(address)) == ""


@given(some.ip_addresses(v=4))
def test_wrapped_in_ipv6_an_address_is_what_it_was_or_refused(address: IPv4Address) -> None:
    """Cloudreve CVE-2026-79913."""
    number = int(address)
    assert special(IPv6Address((0xFFFF << 32) + number)) == special(address)
    for wrapped in (
        IPv6Address(number),
        IPv6Address((0x64FF9B << 96) + number),
        IPv6Address((0x2002 << 112) + (number << 80)),
        IPv6Address((0x20010000 << 96) + (~number & 0xFFFFFFFF)),
    ):
        assert special(wrapped)


@given(some.ip_addresses())
def test_what_the_standard_library_calls_private_never_passes(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert special(address)
