"""One request over a judged connection, and the head of its answer."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

HEADERS_LIMIT: Final = 64 * 1024

Dial = Callable[[str, int, str], Awaitable[socket.socket]]
"""Connects to (host, port, on whose behalf), or raises."""


async def exchange(
    dial: Dial, tls: ssl.SSLContext, parts: SplitResult, who: str, request: bytes
) -> tuple[int, Mapping[str, str]]:
    """Sends the request, and returns status and headers, by their names in small letters; whatever body comes is not
    read. Raises OSError, EOFError, ValueError or asyncio.LimitOverrunError."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    link = await dial(host, parts.port or (443 if secure else 80), who)
    link.setblocking(False)
    try:
        reader, writer = await asyncio.open_connection(
            sock=link,
            ssl=tls if secure else None,
            server_hostname=host if secure else None,
            limit=HEADERS_LIMIT,
        )
    except BaseException:
        link.close()
        raise
    try:
        writer.write(request)
        await writer.drain()
        while True:
            status, headers = _parse(await reader.readuntil(b"\r\n\r\n"))
            if status >= 200:  # before that come hints, not the answer
                return status, headers
    finally:
        writer.transport.abort()


def usable(url: str) -> SplitResult:
    """The parts of a link that can be asked. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or _UNSENDABLE.search(url):
        raise ValueError("not a link that can be asked")
    return parts


def _parse(head: bytes) -> tuple[int, Mapping[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/1\.[01] (\d{3})\b", first)
    if found is None:
        raise ValueError("not an answer in HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return int(found[1]), headers


_UNSENDABLE = re.compile(r"[\x00-\x20\x7f\\]")
