"""What was asked for, parsed: a link becomes a Source, or a sentence that says why it cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from odl_daemon.model.task import Kind

LONGEST = 4096
"""Characters of a link."""


class Unusable(ValueError):
    """A link that cannot be used; the message is a sentence for its user."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checked link."""

    url: str
    """Canonical, ASCII only: what is fetched is what was judged and shown."""
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

    Stricter than browsers on purpose, because another program reads the same text after us: no white space or
    control characters inside, no backslash, one `@` at most (RFC 3986 allows no more).
    """
    link = text.strip()
    _refuse_nonsense(link)
    try:
        parts = urlsplit(link)
        port = parts.port
    except ValueError as error:
        raise Unusable(f"{_quoted(link)} is no link that can be read: its address or port is wrong") from error
    scheme = _scheme(parts.scheme.lower(), link)
    login, _, place = parts.netloc.rpartition("@")
    if "@" in login:
        raise Unusable(f"{_quoted(link)} has more than one '@' before its path: write it as %40")
    host = _host(place, parts.hostname, link)
    if port == 0 or place.endswith(":"):
        raise Unusable(f"{_quoted(link)} has no usable port")
    at = host if port is None else f"{host}:{port}"
    path, query = _escaped(parts.path or "/"), _escaped(parts.query)
    return Source(
        url=urlunsplit((scheme, (f"{_escaped(login)}@" if login else "") + at, path, query, "")),
        kind=Kind.URL,
        host=host,
        shown=urlunsplit((scheme, at, path, "", "")),
    )


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
        return _NOT_PRINTABLE.sub("?", url.partition("?")[0])[:200].rpartition("@")[2]


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
    raise Unusable(f"{scheme}: links are not taken here, only http and https")


def _host(place: str, host: str | None, link: str) -> str:
    if not host:
        raise Unusable(f"{_quoted(link)} names no server")
    if ":" in host:  # an IPv6 address
        if "%" in host or not place.startswith("["):
            raise Unusable(f"{_quoted(link)} has an address that cannot be used")
        return f"[{host}]"
    try:
        ascii_host = host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except UnicodeError as error:
        raise Unusable(f"{_quoted(link)} names a server that cannot exist") from error
    if not _HOST.fullmatch(ascii_host):
        raise Unusable(f"{_quoted(link)} names a server that cannot exist")
    return ascii_host


def _escaped(text: str) -> str:
    """What is not ASCII, or not allowed in a link, as %XX; what is escaped already stays."""
    return quote(text, safe="%/:=&?~#+!$,;'@()*[]-._")


def _quoted(link: str) -> str:
    shown = _NOT_PRINTABLE.sub("?", _LOGIN.sub("//", link.partition("?")[0]))
    return repr(shown if len(shown) <= 80 else f"{shown[:77]}...")


_NEVER = re.compile("[\\s\\\\\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOGIN = re.compile(r"//[^/]*@")
_NOT_PRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HOST = re.compile(r"(?=.{1,253}\.?\Z)(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_KNOWN = frozenset(
    {"ftp", "sftp", "ftps", "file", "magnet", "javascript", "data", "mailto", "gopher", "ed2k", "thunder"}
)
