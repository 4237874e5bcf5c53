"""What a unit of work does its work with: SQL with :name parameters in, rows as mappings out."""

from __future__ import annotations

import sqlite3
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

import aiomysql

from odl_daemon.store.dialect import Dialect, for_aiomysql

T = TypeVar("T")
Row = Mapping[str, Any]
Values = Mapping[str, Any]


class Transaction(Protocol):
    """One connection, seen by a unit of work."""

    dialect: Dialect

    async def fetch(self, sql: str, values: Values | None = None) -> list[Row]:
        """All rows of a query."""

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """One statement without a result."""

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        """One statement for each row; on a server an INSERT goes out as one."""

    async def insert(self, sql: str, values: Values) -> int:
        """One INSERT; returns the id that the database gave."""


class SqliteTransaction:
    """Runs in SQLite's own thread and never waits: `driven` takes a whole unit through it in one go.

    One thread call for a unit instead of one for a statement: the calls, not the statements, are what costs
    (measured: 8 calls for a group of steps, 0.1 to 0.2 ms each on a busy loop).
    """

    def __init__(self, raw: sqlite3.Connection, dialect: Dialect) -> None:
        self._raw = raw
        self._raw.row_factory = sqlite3.Row
        self._raw.text_factory = lambda text: text.decode("utf-8", "replace")  # anybody may write to the table
        self.dialect = dialect

    async def fetch(self, sql: str, values: Values | None = None) -> list[Row]:
        return cast(list[Row], self._raw.execute(sql, values or {}).fetchall())

    async def execute(self, sql: str, values: Values | None = None) -> None:
        self._raw.execute(sql, values or {}).close()

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        self._raw.executemany(sql, rows).close()

    async def insert(self, sql: str, values: Values) -> int:
        return cast(int, self._raw.execute(sql, values).lastrowid)


class MysqlTransaction:
    """Over the connection of the driver."""

    def __init__(self, raw: Any, dialect: Dialect) -> None:
        self._raw = raw
        self.dialect = dialect

    async def fetch(self, sql: str, values: Values | None = None) -> list[Row]:
        async with self._raw.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(for_aiomysql(sql), values or {})
            return cast(list[Row], await cursor.fetchall())

    async def execute(self, sql: str, values: Values | None = None) -> None:
        async with self._raw.cursor() as cursor:
            await cursor.execute(for_aiomysql(sql), values or {})

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        if rows:
            async with self._raw.cursor() as cursor:
                await cursor.executemany(for_aiomysql(sql), rows)

    async def insert(self, sql: str, values: Values) -> int:
        async with self._raw.cursor() as cursor:
            await cursor.execute(for_aiomysql(sql), values)
            return cast(int, cursor.lastrowid)


def driven(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, without an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    work.close()
    raise RuntimeError("a unit of work on SQLite may wait for nothing but its own statements")
