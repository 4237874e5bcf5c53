"""What every request must pass, and what every answer carries: names, sites, pace and headers."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from odl_daemon.intake.http.doorman import Visitor
from odl_daemon.intake.http.trouble import cross_site, too_fast, wrong_host

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "odl-daemon",
}

LONGEST_PATH: Final = 8192
"""Characters of a path with its query."""

PACE: Final = 200.0
BURST: Final = 2000.0
"""Requests a second from one user or address, in the long run and at once."""

REMEMBERED: Final = 10_000

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Names:
    """By which names the daemon is known. A page of another site that has its own name lead here (DNS rebinding) shows
    that name; an address, or localhost, can be no such name."""

    def __init__(self, public_url: str) -> None:
        self._public = (urlsplit(public_url).hostname or "").lower()

    def check(self, request: web.Request) -> None:
        """Raises Trouble if the request is meant for somebody else."""
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        if host.lower() not in ("localhost", self._public) and not _is_address(host):
            raise wrong_host()


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


def check_site(request: web.Request, visitor: Visitor | None) -> None:
    """Raises Trouble if a request that changes something, by the cookie of a browser, may be another site's doing:
    such a site can neither set a header of its own nor hide where it is."""
    if request.method in SAFE_METHODS or (visitor is not None and not visitor.by_cookie):
        return
    origin = request.headers.get("Origin", "")
    from_elsewhere = origin not in ("",) and urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower()
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if from_elsewhere or site != "same-origin" or request.headers.get("X-Odl") != "1":
        raise cross_site()


class Pace:
    """A bucket of requests for each user and each address."""

    def __init__(self, pace: float = PACE, burst: float = BURST) -> None:
        self._pace = pace
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def check(self, whose: str) -> None:
        """Counts a request. Raises Trouble if they come too fast."""
        now = asyncio.get_running_loop().time()
        left, then = self._buckets.get(whose, (self._burst, now))
        left = min(left + (now - then) * self._pace, self._burst) - 1
        if left < 0:
            raise too_fast(1)
        if whose not in self._buckets and len(self._buckets) >= REMEMBERED:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[whose] = (left, now)


def client_address(request: web.Request, trusted: Collection[str]) -> str:
    """From where a request comes: what a listed proxy says of it, or who is connected."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    address = str(peer[0]) if isinstance(peer, tuple) else "unix"
    if address not in trusted:
        return address
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return told if _is_address(told) else address
