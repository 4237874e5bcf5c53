"""What every request must pass: names, sites and pace."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from aiohttp import hdrs, web

from odl_daemon.intake.http.trouble import cross_site, too_fast, wrong_host

LONGEST_PATH: Final = 4096
"""Characters of a path with its query: more than any search needs, and less than aiohttp takes."""

PACE: Final = 200.0
BURST: Final = 2000.0
"""Requests a second from one user or address, in the long run and at once."""

REMEMBERED: Final = 10_000

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Names:
    """By which names the daemon is known. A page of another site that has its own name lead here (DNS rebinding) shows
    that name; an address, or localhost, can be no such name."""

    def __init__(self, public_url: str) -> None:
        self._public = _parts(public_url)

    def check_host(self, request: web.Request) -> None:
        """Raises Trouble if the request is meant for somebody else."""
        host = _host_of(request)
        if not host or (host not in ("localhost", self._public.hostname) and not _is_address(host)):
            raise wrong_host()

    def check_site(self, request: web.Request) -> None:
        """Raises Trouble if a request that changes something, by the cookie of a browser, may be another site's doing:
        such a site can neither set a header of its own nor hide where it is."""
        if request.method in SAFE_METHODS:
            return
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if not self._is_ours(request) or site != "same-origin" or request.headers.get("X-Odl") != "1":
            raise cross_site()

    def _is_ours(self, request: web.Request) -> bool:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return True
        return self._is_public(origin) or _parts(origin).netloc.lower() == request.headers.get(hdrs.HOST, "").lower()

    def _is_public(self, origin: str) -> bool:
        parts, public = _parts(origin), self._public
        return bool(public.netloc) and (parts.scheme, parts.netloc.lower()) == (public.scheme, public.netloc.lower())

    def way_of_cookies(self, request: web.Request) -> tuple[str, bool]:
        """For which paths a browser's key is, and whether it is for TLS alone. Behind a web server both follow from the
        public URL, also where that server passes on another name."""
        if _host_of(request) == self._public.hostname or self._is_public(request.headers.get(hdrs.ORIGIN, "")):
            return self._public.path.rstrip("/") or "/", self._public.scheme == "https"
        return "/", False


def _host_of(request: web.Request) -> str:
    return _parts(f"//{request.headers.get(hdrs.HOST, '')}").hostname or ""


def _parts(url: str) -> SplitResult:
    """Of an address that a stranger may have made up: nothing of one that cannot be read."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


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
    # the proxy's own word is the last one, in a line of its own or behind what the client said
    told = ",".join(request.headers.getall("X-Forwarded-For", []))
    last = told.rpartition(",")[2].strip()
    return last if _is_address(last) else address
