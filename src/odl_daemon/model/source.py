"""What was asked for, parsed: a link becomes a Source, or a sentence that says why it cannot be used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from odl_daemon.model.task import Kind

LONGEST = 4096
"""Characters of a link, as it was given and in its canonical form."""


class Unusable(ValueError):
    """A link that cannot be used; the message is a sentence for its user."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checked link."""

    url: str
    """Canonical, ASCII only: what is fetched is what was judged and shown. Parsing it again gives the same Source."""
    kind: Kind
    host: str
    """Lower case, in the form that goes on the wire (punycode for other scripts)."""
    shown: str
    """For logs and tables: without login, query and fragment."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A line of a list that cannot be used."""

    line: int
    """Counts from 1."""
    text: str
    sentence: str


def parse(text: str) -> Source:
    """A link, checked and made canonical. Raises Unusable.

    Stricter than browsers on purpose, because other programs read the same text after us and some read it
    differently: no white space or control characters inside, no backslash, one `@` at most (RFC 3986 allows no
    more), no password without a name (aria2 reads no link in that), and an IPv4 address only as four plain numbers.
    """
    link = text.strip()
    _refuse_nonsense(link)
    try:
        parts = urlsplit(link)
    except ValueError as error:
        raise Unusable(f"{_quoted(link)} is no link that can be read: its address is wrong") from error
    scheme = _scheme(parts.scheme, link)
    login, _, place = parts.netloc.rpartition("@")
    if "@" in login:
        raise Unusable(f"{_quoted(link)} has more than one '@' before its path: write it as %40")
    if login.startswith(":"):
        raise Unusable(f"{_quoted(link)} has a password and no name before it")
    host, port = _host_and_port(place, link)
    source = _source(scheme, f"{quote(login, safe=_IN_A_LOGIN)}@" if login else "", host, port, parts)
    if len(source.url) > LONGEST:
        raise Unusable(f"{_quoted(link)} is too long when it is written with %XX: at most {LONGEST:,} characters")
    return source


def parse_list(lines: Iterable[str]) -> tuple[list[Source], list[Mistake]]:
    """Every line of a list; blank lines and `#` comments are passed over."""
    sources: list[Source] = []
    mistakes: list[Mistake] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            sources.append(parse(text))
        except Unusable as unusable:
            mistakes.append(Mistake(number, text, str(unusable)))
    return sources, mistakes


def shown(url: str) -> str:
    """A link for a log or a table, whatever it is: without login, query and fragment, control characters out."""
    try:
        return parse(url).shown
    except Unusable:
        return _without_secrets(url)[:200]


# --- the parts of a link


def _refuse_nonsense(link: str) -> None:
    if not link:
        raise Unusable("an empty link")
    if len(link) > LONGEST:
        raise Unusable(f"a link of {len(link):,} characters: at most {LONGEST:,} are taken")
    if _NEVER.search(link):
        raise Unusable(
            f"{_quoted(link)} has white space, a backslash or control characters in it: write them as %20 and so on"
        )


def _scheme(scheme: str, link: str) -> str:
    if scheme in ("http", "https"):
        return scheme
    if not scheme or ("://" not in link and scheme not in _KNOWN):
        raise Unusable(f"{_quoted(link)} is no link: it must begin with http:// or https://")
    raise Unusable(f"{scheme[:20]}: links are not taken here, only http and https")


def _host_and_port(place: str, link: str) -> tuple[str, str]:
    """Canonical host, and ":port" or nothing. Raises Unusable."""
    found = _PLACE.fullmatch(place)
    if found is None:
        raise Unusable(f"{_quoted(link)} names a server or a port that cannot exist")
    if not found["host"]:
        raise Unusable(f"{_quoted(link)} names no server")
    if found["port"] is not None and not 0 < int(found["port"] or 0) <= 65535:
        raise Unusable(f"{_quoted(link)} has no usable port: 1 to 65535")
    try:
        host = _canonical_host(found["host"])
    except ValueError as error:
        raise Unusable(f"{_quoted(link)} names a server that cannot exist") from error
    return host, f":{int(found['port'])}" if found["port"] else ""


def _canonical_host(host: str) -> str:
    """Raises ValueError."""
    if host.startswith("["):
        return f"[{_address6(host[1:-1])}]"
    name = host.lower() if host.isascii() else ".".join(_wire_label(label) for label in _DOTS.split(host))
    if not _HOST.fullmatch(name):
        raise ValueError(name)
    if _NUMBER.fullmatch(name.rstrip(".").rpartition(".")[2]):
        return str(IPv4Address(name))  # 0x7f.1 is an address for some programs, and a name for others: refused
    return name


def _address6(text: str) -> IPv6Address:
    if "%" in text:
        raise AddressValueError(text)
    return IPv6Address(text)


def _wire_label(label: str) -> str:
    """One part of a host's name as it goes on the wire (punycode). Raises ValueError.

    The standard library has the names of 2003 (RFC 3490), which make "ss" of a sharp s and one sigma of two:
    another server than a browser goes to. These letters are kept, as UTS 46 does today. Joiners, the other
    difference, are refused; so is whatever the library knows no form of.
    """
    from encodings.idna import ToASCII, nameprep  # slow to import, and most hosts are ASCII

    if any(joiner in label for joiner in "\u200c\u200d"):
        raise ValueError(label)
    label = label.replace("\u1e9e", "\u00df")
    if not any(letter in label for letter in "\u00df\u03c2"):
        return ToASCII(label).decode("ascii").lower() if label else ""
    kept = "".join(part if part in "\u00df\u03c2" else nameprep(part) for part in _DEVIANT.split(label))
    if "." in kept:
        raise ValueError(label)
    return "xn--" + unicodedata.normalize("NFC", kept).encode("punycode").decode("ascii")


def _source(scheme: str, login: str, host: str, port: str, parts: SplitResult) -> Source:
    path, query = _escaped(parts.path or "/"), _escaped(parts.query)
    return Source(
        url=urlunsplit((scheme, f"{login}{host}{port}", path, query, "")),
        kind=Kind.URL,
        host=host,
        shown=urlunsplit((scheme, f"{host}{port}", path, "", "")),
    )


def _escaped(text: str) -> str:
    """What is not ASCII, or not allowed in a link, as %XX; what is escaped already stays."""
    return quote(text, safe="%/:=&?~#+!$,;'@()*[]-._")


_IN_A_LOGIN = "%:!$&'()*+,;=-._~"
"""What may stand in a login as it is (RFC 3986, 3.2.1). A bracket there would be the host's for some parsers."""


# --- a link in a sentence


def _quoted(link: str) -> str:
    shown = _without_secrets(link)
    return repr(shown if len(shown) <= 80 else f"{shown[:77]}...")


def _without_secrets(link: str) -> str:
    """A text that may be no link: what may be a login or a query is left out, the more the less it is readable."""
    found = _SCHEME.match(link)
    scheme = found[0] if found else ""
    before, _, after = link[len(scheme) :].rpartition("@")
    if _QUERY.search(before):  # the '@' ends a login, or lies in a query: nobody can tell
        return f"{scheme}..."
    return _NOT_PRINTABLE.sub("?", scheme + _QUERY.split(after)[0])


_NEVER = re.compile("[\\s\\\\\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLACE = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,9}))?")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
"""What separates the parts of a host's name (RFC 3490, 3.1)."""
_DEVIANT = re.compile("([\u00df\u03c2])")
_HOST = re.compile(r"(?=.{1,253}\.?\Z)(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SCHEME = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]{0,19}:(?://)?")
_QUERY = re.compile(r"[?#]")
_NOT_PRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_KNOWN = frozenset(
    {"ftp", "sftp", "ftps", "file", "magnet", "javascript", "data", "mailto", "gopher", "ed2k", "thunder"}
)
