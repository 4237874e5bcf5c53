"""The users of a Seafile server, by its web site: who is signed in there, and whose a token is."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import aiohttp

from odl_daemon.model.keys import Principal
from odl_daemon.ports import AccountsAway

FRESH: Final = 60.0
"""Seconds for which an answer is remembered: so long somebody who signed out there is still signed in here."""

REMEMBERED: Final = 5000

LIMIT: Final = 10.0
"""Seconds until the web site must have answered."""

AT_ONCE: Final = 8
"""Questions at a time: whoever shows made-up tokens here shall not keep the web site busy."""

LONGEST_ANSWER: Final = 1 << 20
LONGEST_CREDENTIAL: Final = 4096

SESSION_COOKIES: Final = ("sessionid", "seahub_session")


class SeahubAccounts:
    """ports.Accounts by `GET /api2/account/info/`, which answers a token and a session alike, from version 8.0 to 13.0.

    Of what was shown only a digest is remembered.
    """

    def __init__(self, url: str, *, limit: float = LIMIT) -> None:
        """`url`: of the web site, as users see it or as it is reached from here."""
        self._url = url.rstrip("/") + "/api2/account/info/"
        self._limit = limit
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._known: dict[str, tuple[float, Principal | None]] = {}

    async def by_token(self, token: str) -> Principal | None:
        return await self._ask({"Authorization": f"Token {token}"})

    async def by_cookies(self, cookies: Mapping[str, str]) -> Principal | None:
        ours = {name: cookies[name] for name in SESSION_COOKIES if name in cookies}
        if not ours:
            return None
        return await self._ask({"Cookie": "; ".join(f"{name}={value}" for name, value in ours.items())})

    async def _ask(self, shown: Mapping[str, str]) -> Principal | None:
        text = "\0".join(shown.values())
        if len(text) > LONGEST_CREDENTIAL or not text.isascii() or not text.isprintable():
            return None
        digest, now = hashlib.sha256(text.encode()).hexdigest(), asyncio.get_running_loop().time()
        asked, principal = self._known.get(digest, (None, None))
        if asked is None or now - asked > FRESH:
            principal = await self._look(shown)
            if len(self._known) >= REMEMBERED:
                self._known = {each: known for each, known in self._known.items() if now - known[0] <= FRESH}
            if len(self._known) < REMEMBERED:
                self._known[digest] = (now, principal)
        return principal

    async def _look(self, shown: Mapping[str, str]) -> Principal | None:
        try:
            async with (
                asyncio.timeout(self._limit),
                self._turns,
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(self._url, headers=dict(shown), allow_redirects=False) as answer,
            ):
                return _principal(answer.status, await _body(answer))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AccountsAway("the Seafile web site does not answer: try again in a moment") from error


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """As much of it as an answer may have: of a longer one nothing can be read."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > LONGEST_ANSWER:
            break
    return bytes(body)


def _principal(status: int, body: bytes) -> Principal | None:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return None
    try:
        found = json.loads(body) if status == HTTPStatus.OK else None
    except (ValueError, RecursionError):
        found = None
    email = found.get("email") if isinstance(found, dict) else None
    if not isinstance(email, str) or not email:
        raise AccountsAway(f"the Seafile web site answered with {status} when it was asked who somebody is")
    return Principal(email, admin=isinstance(found, dict) and found.get("is_staff") is True)
