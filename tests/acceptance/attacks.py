"""What strangers try in order to reach inside: the rows of the attack table, by class.

The ids in comments are advisories of programs of the same kind, each of which was open to such a row.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

from tests.servers.forbidden import GOOD
from tests.servers.origin import Page

INNER, OUTER = "127.0.0.1", "93.184.216.34"
"""OUTER is never dialled: its port is forbidden, or a name has it together with an inner address."""


class Kind(Enum):
    """The classes of the attack table."""

    ADDRESS = "loopback, private, own and metadata addresses"
    WRAPPED = "addresses of IPv4 inside IPv6"
    SPELLING = "odd spellings of an address"
    NAME = "names that lead inside"
    REDIRECT = "redirects"
    SCHEME = "schemes and ports"
    PARSER = "userinfo, control characters and what parsers read differently"


class Attack(NamedTuple):
    """One row."""

    kind: Kind
    link: str


# Cloudreve CVE-2026-54562, pyLoad CVE-2026-33992: a link to an inner address was simply fetched
ADDRESSES = """
127.0.0.1 127.0.0.2 127.255.255.254 0.0.0.0 10.0.0.1 10.255.255.254 172.16.0.1 172.31.255.254 192.168.0.1
192.168.255.254 100.64.0.1 100.127.255.255 169.254.1.1 169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192
192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
192.88.99.1 192.31.196.1 192.52.193.1 192.175.48.1 [::1] [::] [fc00::1] [fd00::1] [fd00:ec2::254] [fe80::1] [fec0::1]
[ff02::1] [ff0e::1] [2001:db8::1] [2001:20::1] [2620:4f:8000::1] [3fff::1] [100::1] [4000::1] [5f00::1]
"""

# Cloudreve CVE-2026-79913: the mend of the one above took addresses of IPv4 inside IPv6 for others; the third mend of
# pyLoad after CVE-2026-33992 and CVE-2026-35459 asked `is_global`, which is true for most of these
WRAPPED = """
[::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1] [::ffff:169.254.169.254] [::ffff:100.100.100.200]
[::FFFF:192.168.0.1] [0:0:0:0:0:ffff:7f00:0001] [::127.0.0.1] [::7f00:1] [64:ff9b::7f00:1] [64:ff9b::127.0.0.1]
[64:ff9b::a9fe:a9fe] [64:ff9b:1::1] [64:ff9b:1::7f00:1] [::ffff:0:7f00:1] [2002:7f00:1::] [2002:a9fe:a9fe::]
[2002:a00:1::1] [2001:0:7f00:1::1] [2001::80ff:fffe] [2001:0:0:0:0:0:80ff:fffe]
"""

SPELLINGS = """
127.1 127.0.1 0 2130706433 017700000001 0x7f000001 0x7f.0.0.1 0177.0.0.1 0x7f.1 10.1 127.000.000.001 127.0.0.1.
0xa9fea9fe 2852039166 0X7F000001 00000177.0.0.1 [0:0:0:0:0:0:0:1] [0000::0001] [::1%25lo] [fe80::1%25lo]
①②⑦.⓪.⓪.① １２７.０.０.１ 127。0。0。1 127．0．0．1 127｡0｡0｡1 ⑩.⓪.⓪.① localhost localhost. LOCALHOST ip6-localhost
ⓛocalhost ｌｏｃａｌｈｏｓｔ
"""

SCHEMES = """
https://127.0.0.1:{port}/ https://[::1]:{port}/ HTTP://127.0.0.1:{port}/ hTTps://127.0.0.1:{port}/
ftp://127.0.0.1:{port}/x sftp://127.0.0.1:{port}/x ftps://127.0.0.1:{port}/x file:///etc/passwd
file://127.0.0.1/etc/passwd gopher://127.0.0.1:{port}/_x dict://127.0.0.1:{port}/x ldap://127.0.0.1:{port}/
magnet:?xt=urn:btih:0123456789012345678901234567890123456789&ws=http://127.0.0.1:{port}/ data:text/plain,x
javascript:alert(1) unix:{control} http://unix:{control}:/ file://{control} http+unix://{control}/
http://{good}:0/ http://{good}:65536/ http://{good}:99999999999/ http://127.0.0.1:22/ http://127.0.0.1:25/
http://127.0.0.1:3306/ http://127.0.0.1:6379/ http://127.0.0.1:11211/ http://127.0.0.1:6800/jsonrpc
http://127.0.0.1:8118/ http://[::1]:6800/jsonrpc http://[::1]:8118/ http://0.0.0.0:6800/jsonrpc
http://{outer}:22/ http://{outer}:25/ https://{outer}:3306/
"""
"""Among them doors of our own: aria2's and the proxy's. `{control}` is the path of the daemon's socket."""

PARSERS = (
    *("http://a@127.0.0.1:{port}/", "http://a:b@127.0.0.1:{port}/", "http://a:b@c@127.0.0.1:{port}/"),
    *("http://{good}@127.0.0.1:{port}/", "http://127.0.0.1:{port}@127.0.0.1:{port}/x"),
    *("http://127.0.0.1:{port}#@example.invalid/", "http://127.0.0.1:{port}/?@example.invalid"),
    *("http://127.0.0.1:{port}?@example.invalid/", "http://127.0.0.1:{port};@example.invalid/"),
    *("http://127.0.0.1:{port}\\@example.invalid/", "http://example.invalid\\@127.0.0.1:{port}/"),
    *("http://{good}%40127.0.0.1:{port}/", "http://{good}%2f@127.0.0.1:{port}/", "http://%31%32%37.0.0.1:{port}/"),
    *("http://127.0.0.1%00.example.invalid:{port}/", "http://127.0.0.1%0d%0a:{port}/", "http://127.0.0.1%2e:{port}/"),
    *("http://127.0.0.1\t:{port}/", "http://127.0.0.1\n:{port}/", "http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x"),
    *("ht\ttp://127.0.0.1:{port}/", "http:/\t/127.0.0.1:{port}/", "\x01http://127.0.0.1:{port}/"),
    *("http://127.0.0.1:{port}/\u2028", "http://127.0.0.1\u200b:{port}/", "http://127.0.0.1\xad:{port}/"),
    *("http:127.0.0.1:{port}/", "http:/127.0.0.1:{port}/", "http:///127.0.0.1:{port}/", "//127.0.0.1:{port}/"),
    *("http:\\\\127.0.0.1:{port}\\", "http://127.0.0.1:{port}:80/", "http://127.0.0.1:80:{port}/"),
    *("http://127.0.0.1:+{port}/", "http://127.0.0.1:-1/", "http://127.0.0.1:８０/", "http://127.0.0.1:/"),
    *("http://[127.0.0.1]:{port}/", "http://[::1]:{port}]/", "http://[::1]x:{port}/", "http://[::1]@[::1]:{port}/"),
    *("http://[:{port}/", "http://[]:{port}/", "http://:{port}/", "http://@:{port}/", "http://.:{port}/"),
    *("http://127.0.0.1,{good}:{port}/", "http://{good},127.0.0.1:{port}/", "  http://127.0.0.1:{port}/  "),
)
"""`{good}` is the address that stands for the internet."""

# pyLoad CVE-2026-35459: the first link was judged, and where it led was not
LOCATIONS = (
    *("http://127.0.0.1:{port}/", "http://[::1]:{port}/", "https://127.0.0.1:{port}/", "//127.0.0.1:{port}/"),
    *("http://10.0.0.1:{port}/", "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/"),
    *("http://[::ffff:127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/"),
    *("http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://0177.0.0.1:{port}/", "http://127.1:{port}/"),
    *("http://0:{port}/", "http://127.0.0.1.:{port}/", "http://localhost:{port}/", "HTTP://LOCALHOST:{port}/"),
    *("http://a:b@127.0.0.1:{port}/", "http://a:b@c@127.0.0.1:{port}/", "http://{good}@127.0.0.1:{port}/"),
    *("http://127.0.0.1:{port}\\@{good}/", "http://{good}\\@127.0.0.1:{port}/", "http:\\\\127.0.0.1:{port}/"),
    *("http://127.0.0.1:{port}#@{good}/", " http://127.0.0.1:{port}/", "\thttp://127.0.0.1:{port}/"),
    *("http://127.0.0.1\t:{port}/", "http://%31%32%37.0.0.1:{port}/", "http://①②⑦.⓪.⓪.①:{port}/"),
    *("ftp://127.0.0.1:{port}/x", "sftp://127.0.0.1:{port}/x", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x"),
    *("magnet:?xt=urn:btih:0123456789012345678901234567890123456789", "http://unix:{control}:/", "unix:{control}"),
    *("http://127.0.0.1:6800/jsonrpc", "http://127.0.0.1:8118/", "http://127.0.0.1:0/", "http://{outer}:22/"),
)
"""Where a server that may be reached sends whoever comes."""

STATUSES: Final = (301, 302, 303, 307, 308)


def own_addresses() -> list[str]:
    """Of this host, besides loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [str(probe.getsockname()[0])]


def by_address(port: int, control: str) -> Iterator[Attack]:
    """Rows that need no server of the attacker's. `port` is where a forbidden listener waits, `control` the path of the
    daemon's own socket."""
    for kind, hosts in ((Kind.ADDRESS, ADDRESSES), (Kind.WRAPPED, WRAPPED), (Kind.SPELLING, SPELLINGS)):
        for host in hosts.split():
            yield Attack(kind, f"http://{host}:{port}/x")
    for host in own_addresses():
        yield Attack(Kind.ADDRESS, f"http://{host}:{port}/x")
    for kind, links in ((Kind.SCHEME, SCHEMES.split()), (Kind.PARSER, PARSERS)):
        for link in links:
            yield Attack(kind, link.format(port=port, control=control, good=GOOD, outer=OUTER))


def by_redirect(port: int, control: str) -> Mapping[str, Page]:
    """Pages of an attacker's server, by path."""
    pages: dict[str, Page] = {}
    for number, location in enumerate(LOCATIONS):
        target = location.format(port=port, control=control, good=GOOD, outer=OUTER)
        pages[f"/r{number}"] = Page(status=STATUSES[number % len(STATUSES)], headers={"Location": target})
    pages["/hop"] = Page(status=302, headers={"Location": "/r0"})
    pages["/loop"] = Page(status=302, headers={"Location": "/loop"})
    return pages


# Synapse#9812: a list of forbidden addresses that a proxy, which resolves by itself, passed over
NAMES: Final[Mapping[str, list[list[str]]]] = {
    "inner.test": [[INNER]],
    "localhost": [[INNER, "::1"]],
    "ten.test": [["10.0.0.1"]],
    "unspecified.test": [["0.0.0.0"]],
    "six.test": [["::1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nat64.test": [["64:ff9b::7f00:1"]],
    "six-to-four.test": [["2002:7f00:1::1"]],
    "teredo.test": [["2001:0:7f00:1::1"]],
    "meta.test": [["169.254.169.254"]],
    "meta6.test": [["fd00:ec2::254"]],
    "mixed.test": [[OUTER, INNER]],
    "mixed6.test": [[OUTER, "::1"]],
    "mixed-good.test": [[GOOD, "10.0.0.1", "::1"]],
    "127.0.0.1.wild.test": [[INNER]],
    "rebinds.test": [[GOOD], [INNER]],
    "rebinds-back.test": [[INNER], [GOOD]],
    "empty.test": [[]],
}
"""For each name what it resolves to, one answer after the other."""

ALIASES: Final[Mapping[str, str]] = {
    "alias.test": "inner.test",
    "alias6.test": "six.test",
    "alias-meta.test": "meta.test",
}


def by_name(port: int) -> Iterator[Attack]:
    """Rows for whoever asks a name server that knows NAMES and ALIASES."""
    for host in (*NAMES, *ALIASES, "INNER.test", "inner.test."):
        yield Attack(Kind.NAME, f"http://{host}:{port}/x")
