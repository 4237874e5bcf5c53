"""However an inner address is wrapped or spelled, it is refused with a sentence or never dialled."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from odl_daemon.guard import dial as dial_module
from odl_daemon.guard.addresses import _IPV4, _METADATA, special
from odl_daemon.guard.dial import Dialler, Undialled
from odl_daemon.guard.resolver import Resolver
from odl_daemon.guard.rules import Address, Rules
from odl_daemon.model.source import Unusable, parse

Writes = Callable[[IPv4Address], str]
"""One way to write an address of IPv4 as the host of a link."""

_WRAPPED: dict[str, Callable[[int], int]] = {
    "mapped": lambda number: (0xFFFF << 32) + number,
    "compatible": lambda number: number,
    "translated": lambda number: (0xFFFF << 48) + number,
    "NAT64": lambda number: (0x64FF9B << 96) + number,
    "NAT64 of a network": lambda number: (0x64FF9B0001 << 80) + number,
    "6to4": lambda number: (0x2002 << 112) + (number << 80),
    "6to4 with a host": lambda number: (0x2002 << 112) + (number << 80) + 1,
    "Teredo client": lambda number: (0x20010000 << 96) + (~number & 0xFFFFFFFF),
    "Teredo server": lambda number: (0x20010000 << 96) + (number << 64),
}
"""By prefix: RFC 4291 2.5.5, RFC 2765 2.1, RFC 6052 2.1, RFC 8215, RFC 3056, RFC 4380."""

_SPELLED: dict[str, Writes] = {
    "dotted": str,
    "dotted, with a dot at its end": lambda address: f"{address}.",
    "decimal": lambda address: str(int(address)),
    "octal": lambda address: f"0{int(address):o}",
    "hex": lambda address: f"{int(address):#x}",
    "HEX": lambda address: f"{int(address):#X}",
    "parts in octal": lambda address: ".".join(f"0{part:o}" for part in address.packed),
    "parts in hex": lambda address: ".".join(f"{part:#x}" for part in address.packed),
    "parts with zeros": lambda address: ".".join(f"{part:03}" for part in address.packed),
    "two parts": lambda address: f"{address.packed[0]}.{int(address) & 0xFFFFFF}",
    "three parts": lambda address: f"{address.packed[0]}.{address.packed[1]}.{int(address) & 0xFFFF}",
    "full width": lambda address: str(address).translate(str.maketrans("0123456789.", "０１２３４５６７８９．")),
    "in circles": lambda address: str(address).translate(str.maketrans("0123456789.", "⓪①②③④⑤⑥⑦⑧⑨。")),
    "escaped": lambda address: "".join(f"%{ord(letter):02x}" for letter in str(address)),
    "in brackets": lambda address: f"[{address}]",
}


def _in_brackets(wrap: Callable[[int], int], form: Callable[[IPv6Address], str]) -> Writes:
    return lambda address: f"[{form(IPv6Address(wrap(int(address))))}]"


def _last_part_dotted(address: IPv6Address) -> str:
    return f"{address.exploded[:30]}{IPv4Address(int(address) & 0xFFFFFFFF)}"


_WAYS: dict[str, Writes] = {
    **_SPELLED,
    **{name: _in_brackets(wrap, str) for name, wrap in _WRAPPED.items()},
    **{f"{name}, in full": _in_brackets(wrap, lambda each: each.exploded.upper()) for name, wrap in _WRAPPED.items()},
    **{f"{name}, dotted": _in_brackets(wrap, _last_part_dotted) for name, wrap in _WRAPPED.items()},
    **{f"{name}, with a zone": _in_brackets(wrap, lambda each: f"{each}%25lo") for name, wrap in _WRAPPED.items()},
}

_forbidden = some.one_of(
    *(some.ip_addresses(network=network) for network in _IPV4),
    some.sampled_from([each for each in _METADATA if isinstance(each, IPv4Address)]),
)


@pytest.fixture(scope="module")
def resolver() -> Iterator[Resolver]:
    with Resolver() as resolver:
        yield resolver


def _is_not_ours(_: object) -> bool:
    """So that nothing but the table of addresses keeps anybody off."""
    return False


async def _connected(address: Address) -> None:
    """What is dialled may be another address: for the resolver 010 is 8."""
    assert not special(ipaddress.ip_address(address.sockaddr[0])), f"dialled {address}"
    raise OSError("nobody is connected")


@pytest.mark.parametrize("wrap", _WRAPPED.values(), ids=_WRAPPED)
@settings(deadline=None)
@given(address=_forbidden)
def test_wrapped_it_stays_forbidden(wrap: Callable[[int], int], address: IPv4Address) -> None:
    assert special(address)
    assert special(IPv6Address(wrap(int(address))))


@pytest.mark.parametrize("write", _WAYS.values(), ids=_WAYS)
@settings(deadline=None)
@given(address=_forbidden)
def test_a_link_to_it_is_refused_or_names_an_address_that_is(write: Writes, address: IPv4Address) -> None:
    try:
        link = parse(f"http://{write(address)}/x")
    except Unusable:
        return
    assert special(ipaddress.ip_address(link.host.strip("[]")))


@pytest.mark.parametrize("write", _WAYS.values(), ids=_WAYS)
def test_a_redirect_to_it_is_not_dialled(write: Writes, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """aria2 hands on the host of a redirect as it is written, and the host's own resolver knows many spellings."""
    monkeypatch.setattr(dial_module, "_connected", _connected)

    @settings(deadline=None, max_examples=10)
    @given(address=_forbidden)
    def law(address: IPv4Address) -> None:
        dialler = Dialler(resolver=resolver, judge=Rules(is_own=_is_not_ours), resolve_limit=0.5, told_after=0)
        with pytest.raises(Undialled):
            asyncio.run(dialler.dial(write(address).strip("[]"), 80, "somebody"))

    law()
