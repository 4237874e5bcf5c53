"""Makes keys, knows them again, and takes them back."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from odl_daemon.model.keys import Key, KeyKind, Principal
from odl_daemon.ports import KeyStore

PREFIX: Final = "odl_"
"""By which people, and programs that look for leaked secrets, know a key of ours."""

BYTES: Final = 32

SESSION: Final = timedelta(days=30)
ONCE: Final = timedelta(hours=12)
"""How long a browser stays signed in, and a link for signing in is good."""

FRESH: Final = 5.0
"""Seconds for which an answer of the table is remembered: so long a revoked key may live, and a door that looks again
no more seldom keeps the word of `odl token revoke`, ten seconds."""

REMEMBERED: Final = 1000

LONGEST: Final = 100
"""Characters of a key: more than any has."""


class Keyring:
    """The keys that we gave out ourselves. A key is told once, when it is made: only its digest is kept."""

    def __init__(self, store: KeyStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[datetime, Key | None]] = {}

    async def make(
        self, principal: Principal, kind: KeyKind = KeyKind.TOKEN, *, name: str = "", lasts: timedelta | None = None
    ) -> tuple[str, Key]:
        """A new key, and what is kept of it."""
        secret, now = PREFIX + secrets.token_urlsafe(BYTES), self._clock()
        lasts = ONCE if kind is KeyKind.ONCE else lasts
        key = Key(_digest(secret), kind, principal, name, now, now + lasts if lasts else None)
        await self._store.add(key)
        return secret, key

    async def recognise(self, secret: str, *kinds: KeyKind) -> Principal | None:
        """Whose key this is, if it is one of these kinds and has not run out."""
        key = await self._find(secret)
        return key.principal if key is not None and self._is_good(key, kinds) else None

    async def sign_in(self, secret: str) -> tuple[str, Principal] | None:
        """A new session for whoever shows a token or, once, a key for signing in; None if it is neither."""
        key = await self._store.find(_digest(secret)) if _may_be_ours(secret) else None
        if key is None or not self._is_good(key, (KeyKind.TOKEN, KeyKind.ONCE)):
            return None
        if key.kind is KeyKind.ONCE and not await self._drop([key.digest]):
            return None  # somebody else has just used it
        session, _ = await self.make(key.principal, KeyKind.SESSION, name="browser", lasts=self._lasts(key))
        return session, key.principal

    def _is_good(self, key: Key, kinds: Collection[KeyKind]) -> bool:
        return key.kind in kinds and (key.expires is None or key.expires > self._clock())

    def _lasts(self, key: Key) -> timedelta:
        """How long a session by this key is good: no longer than a token itself."""
        if key.kind is KeyKind.ONCE or key.expires is None:
            return SESSION
        return min(SESSION, key.expires - self._clock())

    async def sign_out(self, secret: str) -> None:
        """This session is over."""
        await self._drop([_digest(secret)])

    async def all(self) -> list[Key]:
        """All keys but those of browsers that are signed in, the oldest first."""
        keys, _ = _by_kind(await self._store.all())
        return keys

    async def revoke(self, ids: Sequence[str], owner: str = "") -> list[str]:
        """Takes keys back, those with these ids and all of this owner, and all sessions of their users: one of them may
        have come by such a key. Returns the ids of those that there were."""
        every = await self._store.all()
        keys, sessions = _by_kind(every)
        gone = [key for key in keys if key.id in ids or key.principal.owner == owner]
        owners = {owner, *(key.principal.owner for key in gone)}
        signed_in = [key for key in sessions if key.principal.owner in owners]
        dropped = await self._drop([key.digest for key in (*gone, *signed_in)])
        return [key.id for key in gone if key.digest in dropped]

    async def _find(self, secret: str) -> Key | None:
        if not _may_be_ours(secret):
            return None
        digest, now = _digest(secret), self._clock()
        asked, key = self._known.get(digest, (None, None))
        if asked is None or not timedelta(0) <= now - asked < timedelta(seconds=FRESH):
            key = await self._store.find(digest)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[digest] = (now, key)
        return key

    async def _drop(self, digests: Sequence[str]) -> list[str]:
        for digest in digests:
            self._known.pop(digest, None)
        return await self._store.drop(digests)


def _by_kind(every: Sequence[Key]) -> tuple[list[Key], list[Key]]:
    """What was given out, and the sessions that came of it."""
    sessions = [key for key in every if key.kind is KeyKind.SESSION]
    return [key for key in every if key.kind is not KeyKind.SESSION], sessions


def _may_be_ours(secret: str) -> bool:
    return secret.startswith(PREFIX) and len(secret) <= LONGEST and secret.isascii()


def _digest(secret: str) -> str:
    """A key has 256 bits of chance: one round of SHA-256 keeps it, and the time of a look by digest tells nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()
