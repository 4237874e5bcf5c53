"""Tells who asks: by a key of ours, by an API token of the Seafile server, or by the session there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import hdrs, web

from odl_daemon.engine.keyring import PREFIX, Keyring
from odl_daemon.intake.http.trouble import away, not_signed_in
from odl_daemon.model.keys import KeyKind, Principal
from odl_daemon.ports import Accounts, AccountsAway

COOKIE: Final = "odl_session"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody known."""

    principal: Principal
    by_cookie: bool
    """His browser shows who he is with every request, also with one that another site makes it send."""


class Doorman:
    """Knows everybody who has a key."""

    def __init__(self, keyring: Keyring, accounts: Accounts | None = None, admins: Collection[str] = ()) -> None:
        """`admins` are users who see and steer everybody's tasks, besides those whose key says so."""
        self.keyring = keyring
        self._accounts = accounts
        self._admins = frozenset(admins)

    async def visitor(self, request: web.Request) -> Visitor:
        """Who sends this request. Raises Trouble if nobody known does."""
        token = _token(request)
        try:
            principal = await (self._by_cookies(request) if token is None else self.recognise(token))
        except AccountsAway as trouble:
            raise away(str(trouble)) from trouble
        return Visitor(principal, by_cookie=token is None) if principal else _nobody()

    async def recognise(self, token: str) -> Principal | None:
        """Whose token this is: ours, or of the Seafile server. Raises AccountsAway if that cannot be told now."""
        if token.startswith(PREFIX) or self._accounts is None or not token:
            principal = await self.keyring.recognise(token, KeyKind.TOKEN)
        else:
            principal = await self._accounts.by_token(token)
        return self.with_role(principal) if principal else None

    async def _by_cookies(self, request: web.Request) -> Principal | None:
        principal = await self.keyring.recognise(request.cookies.get(COOKIE, ""), KeyKind.SESSION)
        if principal is None and self._accounts is not None:
            principal = await self._accounts.by_cookies(request.cookies)
        return self.with_role(principal) if principal else None

    def with_role(self, principal: Principal) -> Principal:
        """With what the settings say of him."""
        return replace(principal, admin=True) if principal.owner in self._admins else principal


def _nobody() -> Visitor:
    raise not_signed_in()


def _token(request: web.Request) -> str | None:
    """Out of `Bearer <token>`, or `Token <token>` as the Seafile server's clients say it; None if none is shown. A web
    server before us may have asked for a password of its own: that is nobody's here."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else None
