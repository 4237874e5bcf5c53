"""Asks a source for its headers, through the same judged connections that aria2 has."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin

from odl_daemon.download.conf import AGENT
from odl_daemon.download.exchange import Dial, exchange, usable
from odl_daemon.guard.dial import Undialled

REDIRECTS: Final = 5
AFTER_LIMIT: Final = 3600.0

DIGITS: Final = 40
"""Of a length: one that nobody can hold is still to be told from none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source says of a file."""

    status: int
    validator: str = ""
    """Names this version of the file: ETag, Last-Modified and length; "" if it gives neither of the first two,
    for a length alone says nothing."""
    length: int | None = None
    after: float | None = None
    """Seconds that it asks to wait, at most an hour."""
    modified: float | None = None
    """When it was changed last, in Unix seconds, if it tells."""
    headable: bool = True
    """It answers HEAD as it answers GET."""
    url: str = ""
    """Where the redirects led to."""
    disposition: str = ""
    """Its Content-Disposition, as it came."""
    ranges: bool = False
    """It says that a part of the file can be asked for."""


class NoAnswer(Exception):
    """The source could not be asked."""

    def __init__(self, why: str, *, connected: bool = True) -> None:
        super().__init__(why)
        self.connected = connected
        """It was reached, and did not answer in a way that can be used."""


class Prober:
    """Asks with HEAD; where that is not understood or refused, with a GET for one byte that is closed unread."""

    def __init__(self, *, dial: Dial, limit: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        self._dial = dial
        self._limit = limit
        self._tls = tls or ssl.create_default_context()

    async def ask(self, url: str, who: str) -> Answer:
        """Follows up to five redirects. Raises NoAnswer, also when it takes longer than the limit."""
        try:
            async with asyncio.timeout(self._limit):
                answer = await self._follow("HEAD", url, who)
                if answer.status in _HEAD_MISJUDGED:
                    answer = replace(await self._follow("GET", url, who), headable=False)
                return answer
        except Undialled as error:
            raise NoAnswer(str(error), connected=False) from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:  # timeout and TLS: OSError
            raise NoAnswer(str(error) or type(error).__name__) from error

    async def _follow(self, method: str, url: str, who: str) -> Answer:
        for _ in range(REDIRECTS + 1):
            parts = usable(url)
            status, headers = await exchange(self._dial, self._tls, parts, who, _request(method, parts))
            target = headers.get("location", "")
            if status not in _REDIRECTS or not target:
                return replace(_read(status, headers), url=url)
            url = urljoin(url, target)
        raise ValueError("too many redirects")


def _request(method: str, parts: SplitResult) -> bytes:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
    )
    host = parts.netloc.rpartition("@")[2].encode("idna").decode("ascii")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"User-Agent: {AGENT}", "Accept: */*", "Connection: close"]
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        lines.append(f"Authorization: Basic {base64.b64encode(login).decode()}")
    if method == "GET":
        lines.append("Range: bytes=0-0")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _read(status: int, headers: Mapping[str, str]) -> Answer:
    length = _length(status, headers)
    version = (headers.get("etag", ""), headers.get("last-modified", ""))
    validator = "|".join((*version, "" if length is None else str(length))) if any(version) and status < 300 else ""
    return Answer(
        status=status,
        validator=validator,
        length=length,
        after=seconds_to_wait(headers.get("retry-after", "")),
        modified=_moment(headers.get("last-modified", "")),
        disposition=headers.get("content-disposition", ""),
        ranges=status == 206 or headers.get("accept-ranges", "").lower() == "bytes",
    )


def _moment(text: str) -> float | None:
    with suppress(ValueError, OverflowError):
        when = parsedate_to_datetime(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return None


def _length(status: int, headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    if status == 206:
        text = headers.get("content-range", "").rpartition("/")[2]
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None


def seconds_to_wait(text: str) -> float | None:
    """Reads a Retry-After header (RFC 9110, 10.2.3), seconds or a date; at most an hour, None if it says nothing."""
    if text.isascii() and text.isdecimal():
        return min(float(text), AFTER_LIMIT)
    with suppress(ValueError, OverflowError):
        when = parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), AFTER_LIMIT)
    return None


_HEAD_MISJUDGED: Final = frozenset({400, 403, 404, 405, 501})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_QUERY: Final = "/%:@!$&'()*+,;=~?"
