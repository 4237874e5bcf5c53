"""SQLite: what its sessions say, and what its errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import aiosqlite

from odl_daemon.store.session import Fault, SqlRow, T, Values, numbers, text_of

OPTIONS: Final[Mapping[str, object]] = {"timeout": 5.0}
"""Keywords for each connection: seconds that SQLite itself waits for another writer."""

_OWNERS: Final = """WITH RECURSIVE step(owner) AS (
    SELECT MIN(owner) FROM odl_task WHERE phase = 'waiting'
    UNION ALL
    SELECT (SELECT MIN(t.owner) FROM odl_task t WHERE t.phase = 'waiting' AND t.owner > step.owner)
    FROM step WHERE step.owner IS NOT NULL
) SELECT owner FROM step WHERE owner IS NOT NULL"""


class SqliteSession:
    """One connection, which lives in a thread of its own. Durable on commit (synchronous=FULL), readers never wait
    (WAL).

    A unit of work is one call of that thread, where its statements wait for nothing: the way there and back, not the
    statement, is what costs (measured: 0.1 to 0.2 ms a call while files arrive, eight statements a unit).
    """

    now = "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000)"
    locking = ""
    skipping = ""
    waiting_owners = _OWNERS
    next_dues = f"""SELECT (SELECT MIN(t.due) FROM odl_task t WHERE t.phase = 'waiting' AND t.owner = queue.owner
        AND t.due > :at) FROM ({_OWNERS}) queue"""

    def __init__(self, thread: aiosqlite.Connection) -> None:
        self._thread = thread
        self._raw: sqlite3.Connection = thread._conn
        """Refuses to be used outside its thread (sqlite3's check_same_thread)."""

    @classmethod
    async def open(cls, raw: aiosqlite.Connection, *, writes: bool) -> SqliteSession:
        raw.text_factory = _forgiving
        session = cls(raw)

        async def ready(_: SqliteSession) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL") if writes else ("query_only=ON",):
                await session.run(f"PRAGMA {pragma}")

        await session.carry(ready)
        return session

    async def carry(self, work: Callable[[SqliteSession], Awaitable[T]]) -> T:
        # aiosqlite has no public way to run more than one statement in its thread
        result: T = await self._thread._execute(driven, work(self))  # type: ignore[no-untyped-call]
        return result

    async def rows(self, text: str, values: Values | None = None, ids: Iterable[int] = ()) -> list[SqlRow]:
        if ":ids" in text:
            text = text.replace(":ids", numbers(ids))
        return self._raw.execute(text, values or {}).fetchall()

    async def run(self, text: str, values: Values | None = None, ids: Iterable[int] = ()) -> None:
        await self.rows(text, values, ids)

    async def insert(self, table: str, rows: Sequence[Values]) -> list[int]:
        ids: list[int] = []
        for row in rows:
            text = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({_named(row)}) RETURNING odr_id"
            ids += [int(found[0] or 0) for found in await self.rows(text, row)]
        return ids

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        if not rows:
            return
        columns = rows[0]
        kept = ", ".join(f"{column}=excluded.{column}" for column in columns if column != "odr_id")
        await self._many(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({_named(columns)})"
            f" ON CONFLICT(odr_id) DO UPDATE SET {kept}",
            rows,
        )

    async def update(self, table: str, rows: Sequence[Values], where: str = "") -> None:
        if not rows:
            return
        changed = ", ".join(f"{column}=:{column}" for column in rows[0] if column != "odr_id")
        also = f" AND {where}" if where else ""
        await self._many(f"UPDATE {table} SET {changed} WHERE odr_id=:odr_id{also}", rows)

    def unless_there(self, column: str) -> str:
        return " ON CONFLICT DO NOTHING"

    def exactly(self, column: str) -> str:
        return column

    async def has_index(self, table: str, column: str) -> bool:
        for _, index, *_ in await self.rows(f"PRAGMA index_list({table})"):
            columns = await self.rows(f"PRAGMA index_info({index!s})")
            if columns and columns[0][2] == column:
                return True
        return False

    async def described(self, table: str, column: str) -> tuple[str, str]:
        ((version,),) = await self.rows("SELECT sqlite_version()")
        ((charset,),) = await self.rows("PRAGMA encoding")
        return f"SQLite {text_of(version)}", text_of(charset)

    async def lock_schema(self) -> None:
        """BEGIN IMMEDIATE did it already."""

    async def unlock_schema(self) -> None:
        """The end of the transaction does it."""

    async def begin(self) -> None:
        await self.run("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        if self._raw.in_transaction:
            await self.run("COMMIT")

    async def roll_back(self) -> None:
        if self._raw.in_transaction:
            await self.run("ROLLBACK")

    def close(self) -> None:
        """The release of the connection closes it, after whatever its thread is doing."""

    def fault(self, error: BaseException) -> Fault:
        return fault(error)

    def missing_table(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.OperationalError) and "no such table" in str(error)

    def refused(self, error: BaseException) -> bool:
        return fault(error) is Fault.DENIED

    async def _many(self, text: str, rows: Sequence[Values]) -> None:
        self._raw.executemany(text, rows)


def driven(work: Awaitable[T]) -> T:
    """The result of a unit of work that waits for nothing, without an event loop."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a unit of work on SQLite may wait for nothing but its own statements")


def try_file(path: str) -> None:
    """Raises OSError if this cannot be the file of a database.

    SQLite's own words would say less, and aiosqlite leaves a thread behind whose first connection fails. The file is
    not opened: closing it would drop the locks that other connections of this process have on it
    (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    file = Path(path)
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {file.parent}")
    if not os.access(file if file.exists() else file.parent, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, f"{path} cannot be written")


def fault(error: BaseException) -> Fault:
    """What an error means, by SQLite's primary result code (https://sqlite.org/rescode.html)."""
    if isinstance(error, OSError):
        return Fault.AWAY if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else Fault.DENIED
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FAULTS:
            return _FAULTS[code]
        if isinstance(error, sqlite3.DataError | sqlite3.IntegrityError | sqlite3.InterfaceError):
            return Fault.DATA
    if isinstance(error, UnicodeError | OverflowError):
        return Fault.DATA
    return Fault.OTHER


_FAULTS: Final[Mapping[int, Fault]] = {
    sqlite3.SQLITE_BUSY: Fault.MOMENTARY,
    sqlite3.SQLITE_LOCKED: Fault.MOMENTARY,
    sqlite3.SQLITE_PROTOCOL: Fault.MOMENTARY,
    sqlite3.SQLITE_NOMEM: Fault.AWAY,
    sqlite3.SQLITE_FULL: Fault.AWAY,
    sqlite3.SQLITE_IOERR: Fault.AWAY,
    sqlite3.SQLITE_READONLY: Fault.DENIED,
    sqlite3.SQLITE_CANTOPEN: Fault.DENIED,
    sqlite3.SQLITE_PERM: Fault.DENIED,
    sqlite3.SQLITE_NOTADB: Fault.DENIED,
    sqlite3.SQLITE_CORRUPT: Fault.DENIED,
    sqlite3.SQLITE_TOOBIG: Fault.DATA,
    sqlite3.SQLITE_MISMATCH: Fault.DATA,
}


def _forgiving(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _named(columns: Iterable[str]) -> str:
    return ", ".join(f":{column}" for column in columns)
