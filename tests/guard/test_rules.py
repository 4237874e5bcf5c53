"""What may be dialled: the admin's words over ours, except for the keys of machines."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from odl_daemon.guard.addresses import IpAddress
from odl_daemon.guard.destination import Destination, destination
from odl_daemon.guard.rules import Address, Blocked, Rules, belongs_to_this_host

OUTER, INNER, OWN, METADATA = "93.184.216.34", "10.1.2.3", "198.41.0.4", "169.254.169.254"


def rules(*, allow: str = "", deny: str = "", ports: tuple[int, ...] = (80, 443)) -> Rules:
    return Rules(_destinations(allow), _destinations(deny), ports, is_own)


def _destinations(words: str) -> list[Destination]:
    return [found for found in map(destination, words.split()) if found is not None]


def is_own(address: IpAddress) -> bool:
    return str(address) == OWN


def judged(rules: Rules, *addresses: str, host: str = "files.test", port: int = 80) -> list[str]:
    """The admitted ones, or the reason."""
    asked = [
        Address(socket.AF_INET, (ip, port)) if "." in ip else Address(socket.AF_INET6, (ip, port, 0, 0))
        for ip in addresses
    ]
    try:
        return [str(each.sockaddr[0]) for each in rules(host, port, asked)]
    except Blocked as blocked:
        assert (blocked.host, blocked.port) == (host, port)
        return [blocked.reason]


def test_without_a_word_of_the_admin_the_internet_is_open_and_all_else_is_not() -> None:
    assert judged(rules(), OUTER) == [OUTER]
    assert judged(rules(), INNER) == ["private"]
    assert judged(rules(), OWN) == ["an address of this host"]
    assert judged(rules(), METADATA) == ["cloud metadata"]
    assert judged(rules(), OUTER, port=22) == ["port"]
    assert judged(rules()) == ["no address"]


@pytest.mark.parametrize("inner", [INNER, METADATA, OWN, "::1"])
def test_a_name_with_addresses_of_both_kinds_is_refused(inner: str) -> None:
    assert judged(rules(), OUTER, inner) == judged(rules(), inner)
    assert judged(rules(), inner, OUTER) == judged(rules(), inner)


@pytest.mark.parametrize(
    ("allow", "host", "port", "passes"),
    [
        ("10.0.0.0/8", "files.test", 80, True),
        ("10.0.0.0/8", "files.test", 22, True),
        ("10.1.2.3", "files.test", 8443, True),
        ("10.1.2.3:8000", "files.test", 8000, True),
        ("10.1.2.3:8000", "files.test", 80, False),
        ("10.1.2.4", "files.test", 80, False),
        ("files.test", "files.test", 80, True),
        ("Files.Test.", "FILES.test", 80, True),
        ("files.test", "files.test", 22, False),
        ("files.test:22", "files.test", 22, True),
        ("files.test:22", "files.test", 80, False),
        ("files.test", "evil.files.test", 80, False),
        ("files.test", "files.test.evil", 80, False),
    ],
)
def test_the_admin_may_allow_networks_ports_and_names(allow: str, host: str, port: int, passes: bool) -> None:
    found = judged(rules(allow=allow), INNER, host=host, port=port)
    assert (found == [INNER]) is passes, found


def test_an_address_of_this_host_may_be_allowed_and_the_keys_of_machines_never() -> None:
    assert judged(rules(allow=f"{OWN}:80"), OWN) == [OWN]
    for allow in ("169.254.0.0/16", METADATA, f"{METADATA}:80", "files.test", "0.0.0.0/0"):
        assert judged(rules(allow=allow), METADATA) == ["cloud metadata"]
    assert judged(rules(allow="fd00::/8"), "fd00:ec2::254") == ["cloud metadata"]
    assert judged(rules(allow="::/0"), f"::ffff:{METADATA}") == ["cloud metadata"]


def test_of_an_allowed_name_only_what_is_allowed_is_dialled() -> None:
    assert judged(rules(allow="127.0.0.0/8"), "::1", "127.0.0.1", host="localhost") == ["127.0.0.1"]


def test_what_is_denied_stays_so() -> None:
    assert judged(rules(allow=INNER, deny="10.0.0.0/8"), INNER) == ["denied"]
    assert judged(rules(deny="files.test"), OUTER) == ["denied"]
    assert judged(rules(deny="files.test:443"), OUTER) == [OUTER]
    assert judged(rules(deny=f"{OUTER}/32"), OUTER, "1.1.1.1") == ["denied"]


def test_an_address_of_an_interface_is_known() -> None:
    assert belongs_to_this_host(ipaddress.ip_address("127.0.0.1"))
    assert not belongs_to_this_host(ipaddress.ip_address(OUTER))
    assert not belongs_to_this_host(ipaddress.ip_address("2606:4700:4700::1111"))
