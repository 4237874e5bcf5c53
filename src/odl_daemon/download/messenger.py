"""Posts messages to addresses of the operator's, over the connections that strangers' links have, too."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult

from odl_daemon.download.conf import AGENT
from odl_daemon.download.exchange import Dial, exchange, usable

LIMIT: Final = 20.0
"""Seconds until the other side must have answered."""

WHO: Final = "web hooks"


class HttpMessenger:
    """ports.Messenger. Redirects are not followed: what is signed for one is not for another."""

    def __init__(self, *, dial: Dial, limit: float = LIMIT, tls: ssl.SSLContext | None = None) -> None:
        self._dial = dial
        self._limit = limit
        self._tls = tls or ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> str:
        try:
            async with asyncio.timeout(self._limit):
                parts = usable(url)
                request = _head(parts, headers, len(body)) + body
                status, _ = await exchange(self._dial, self._tls, parts, WHO, request)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            return str(error) or type(error).__name__
        return "" if 200 <= status < 300 else f"it answered {status}"


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        f"User-Agent: {AGENT}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
