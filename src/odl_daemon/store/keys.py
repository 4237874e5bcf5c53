"""The keys of users and their browsers: digests only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from odl_daemon.model.keys import Key, KeyKind, Principal
from odl_daemon.store.connection import Lanes
from odl_daemon.store.rows import micros, moment
from odl_daemon.store.session import Session, SqlRow, number_of, text_of


class Keys:
    """What is kept of keys."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def add(self, key: Key) -> None:
        """Keeps a new key; keys that have run out go."""

        async def write(sql: Session) -> None:
            await sql.run("DELETE FROM odl_key WHERE expires > 0 AND expires <= :now", {"now": micros(key.created)})
            await sql.run(
                f"INSERT INTO odl_key ({_COLUMNS})"
                " VALUES (:digest, :kind, :owner, :admin, :name, :created, :expires)" + sql.unless_there("digest"),
                {
                    "digest": key.digest,
                    "kind": key.kind.value,
                    "owner": key.principal.owner,
                    "admin": int(key.principal.admin),
                    "name": key.name,
                    "created": micros(key.created),
                    "expires": micros(key.expires) if key.expires else 0,
                },
            )

        await self._lanes.write(write)

    async def find(self, digest: str) -> Key | None:
        """The key of this digest, even if it has run out."""

        async def look(sql: Session) -> list[SqlRow]:
            return await sql.rows(f"SELECT {_COLUMNS} FROM odl_key WHERE digest = :digest", {"digest": digest})

        found = await self._lanes.read(look)
        return _key(found[0]) if found else None

    async def all(self) -> list[Key]:
        """All keys, the oldest first."""

        async def look(sql: Session) -> list[SqlRow]:
            return await sql.rows(f"SELECT {_COLUMNS} FROM odl_key ORDER BY created, digest")

        return [_key(row) for row in await self._lanes.read(look)]

    async def drop(self, digests: Sequence[str]) -> list[str]:
        """Forgets these keys; returns the digests of those that there were."""

        async def write(sql: Session) -> list[str]:
            dropped: list[str] = []
            for digest in digests:
                values = {"digest": digest}
                if await sql.rows("SELECT 1 FROM odl_key WHERE digest = :digest" + sql.locking, values):
                    await sql.run("DELETE FROM odl_key WHERE digest = :digest", values)
                    dropped.append(digest)
            return dropped

        return await self._lanes.write(write)


_COLUMNS: Final = "digest, kind, owner, admin, name, created, expires"


def _key(row: SqlRow) -> Key:
    digest, kind, owner, admin, name, created, expires = row
    until = number_of(expires)
    return Key(
        digest=text_of(digest),
        kind=KeyKind(text_of(kind)),
        principal=Principal(text_of(owner), bool(number_of(admin))),
        name=text_of(name),
        created=moment(number_of(created)),
        expires=moment(until) if until else None,
    )
