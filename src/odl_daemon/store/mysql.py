"""MariaDB and MySQL: what their sessions say, and what their errors mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiomysql import Connection
from pymysql import err

from odl_daemon.store.session import Fault, SqlRow, SqlValue, T, Values, number_of, numbers, text_of

OPTIONS: Final[Mapping[str, object]] = {
    "charset": "utf8mb4",
    "connect_timeout": 10,
    # deterministic, whatever the server's default is; zero dates of others stay readable
    "sql_mode": "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
    "min_size": 0,
}
"""Keywords for each connection."""

ROWS_AT_ONCE = 50
"""Rows that one UPDATE changes: its CASE is searched from the front for each of them."""

_PARAMETER = re.compile(r":([a-z_][a-z0-9_]*)|%")


class MysqlSession:
    """One connection. A unit that writes is one transaction, READ COMMITTED where the binary log allows it."""

    now = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
    locking = " FOR UPDATE"
    # only what names the index's first columns in its order is read by loose steps
    waiting_owners = "SELECT owner FROM (SELECT DISTINCT phase, owner FROM odl_task WHERE phase = 'waiting') queue"
    next_dues = "SELECT MIN(due) FROM odl_task WHERE phase = 'waiting' AND due > :at GROUP BY phase, owner"

    def __init__(self, raw: Connection) -> None:
        self._raw = raw
        self._compiled: dict[str, str] = {}
        """Statements as the driver wants them; they are constants of ours, so there are few."""
        self._stride = 1
        self.skipping = self.locking

    @classmethod
    async def open(cls, raw: Connection, *, writes: bool, skip_locked: bool) -> MysqlSession:
        session = cls(raw)
        try:
            await session._ready(writes=writes, skip_locked=skip_locked)
        except BaseException:
            raw.close()
            raise
        return session

    async def carry(self, work: Callable[[MysqlSession], Awaitable[T]]) -> T:
        return await work(self)

    async def _ready(self, *, writes: bool, skip_locked: bool) -> None:
        await self.run("SET time_zone = '+00:00', sql_notes = 0, innodb_lock_wait_timeout = 10")
        found = await self.rows("SELECT VERSION(), @@auto_increment_increment, @@log_bin, @@binlog_format")
        version, stride, log_bin, binlog_format = found[0]
        self._stride = number_of(stride)
        if skip_locked and _skips_locked(text_of(version)):
            self.skipping = " FOR UPDATE SKIP LOCKED"
        if not (number_of(log_bin) and binlog_format == "STATEMENT"):
            await self.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if writes:
            await self._raw.autocommit(False)

    async def rows(self, text: str, values: Values | None = None, ids: Iterable[int] = ()) -> list[SqlRow]:
        text = self._statement(text)
        if ":ids" in text:
            text = text.replace(":ids", numbers(ids))
        async with self._raw.cursor() as cursor:
            await cursor.execute(text, values or {})
            return list(await cursor.fetchall()) if cursor.description else []

    async def run(self, text: str, values: Values | None = None, ids: Iterable[int] = ()) -> None:
        await self.rows(text, values, ids)

    async def insert(self, table: str, rows: Sequence[Values]) -> list[int]:
        # InnoDB counts the rows of one INSERT ... VALUES without a gap, in steps of auto_increment_increment
        names, places = ", ".join(rows[0]), ", ".join(["%s"] * len(rows[0]))
        text = f"INSERT INTO {table} ({names}) VALUES " + ", ".join([f"({places})"] * len(rows))
        async with self._raw.cursor() as cursor:
            await cursor.execute(text, [value for row in rows for value in row.values()])
            first = int(cursor.lastrowid)
        return [first + number * self._stride for number in range(len(rows))]

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        if not rows:
            return
        names, places = ", ".join(rows[0]), ", ".join(["%s"] * len(rows[0]))
        async with self._raw.cursor() as cursor:
            await cursor.executemany(
                f"REPLACE INTO {table} ({names}) VALUES ({places})", [list(row.values()) for row in rows]
            )

    async def update(self, table: str, rows: Sequence[Values], where: str = "") -> None:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            await self._update(table, rows[start : start + ROWS_AT_ONCE], where)

    async def _update(self, table: str, rows: Sequence[Values], where: str) -> None:
        values: list[SqlValue] = []
        changes = [self._change(column, rows, values) for column in rows[0] if column != "odr_id"]
        ids = numbers(number_of(row["odr_id"]) for row in rows)
        also = f" AND {where}" if where else ""
        text = f"UPDATE {table} SET {', '.join(changes)} WHERE odr_id IN ({ids}){also}"
        async with self._raw.cursor() as cursor:
            await cursor.execute(text, values)

    @staticmethod
    def _change(column: str, rows: Sequence[Values], values: list[SqlValue]) -> str:
        """One column's new value: the same for all rows, or by the row's id."""
        first = rows[0][column]
        if all(row[column] == first for row in rows):
            values.append(first)
            return f"{column} = %s"
        cases = []
        for row in rows:
            cases.append(f"WHEN {number_of(row['odr_id'])} THEN %s")
            values.append(row[column])
        return f"{column} = CASE odr_id {' '.join(cases)} END"

    def unless_there(self, column: str) -> str:
        return f" ON DUPLICATE KEY UPDATE {column} = {column}"

    def exactly(self, column: str) -> str:
        return f"CONVERT({column} USING utf8mb4) COLLATE utf8mb4_bin"

    async def has_index(self, table: str, column: str) -> bool:
        text = (
            "SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE()"
            " AND LOWER(table_name) = LOWER(:name) AND column_name = :column AND seq_in_index = 1 LIMIT 1"
        )
        return bool(await self.rows(text, {"name": table, "column": column}))

    async def described(self, table: str, column: str) -> tuple[str, str]:
        text = (
            "SELECT VERSION(), (SELECT character_set_name FROM information_schema.columns WHERE table_schema ="
            " DATABASE() AND LOWER(table_name) = LOWER(:name) AND column_name = :column LIMIT 1)"
        )
        ((version, charset),) = await self.rows(text, {"name": table, "column": column})
        program = "MariaDB" if "mariadb" in text_of(version).lower() else "MySQL"
        return f"{program} {text_of(version).partition('-')[0]}", text_of(charset)

    async def lock_schema(self) -> None:
        # the name holds for the whole server, so the database is part of it; at most 64 characters
        await self.run("SELECT GET_LOCK(CONCAT('odl_', SHA1(DATABASE())), 600)")

    async def unlock_schema(self) -> None:
        await self.run("SELECT RELEASE_LOCK(CONCAT('odl_', SHA1(DATABASE())))")

    async def begin(self) -> None:
        """Autocommit is off: the first statement begins it."""

    async def commit(self) -> None:
        await self._raw.commit()

    async def roll_back(self) -> None:
        await self._raw.rollback()

    def close(self) -> None:
        self._raw.close()

    def fault(self, error: BaseException) -> Fault:
        return fault(error)

    def missing_table(self, error: BaseException) -> bool:
        return isinstance(error, err.MySQLError) and error.args[:1] == (1146,)

    def refused(self, error: BaseException) -> bool:
        return fault(error) is Fault.DENIED or (isinstance(error, err.MySQLError) and error.args[:1] == (1061,))

    def _statement(self, text: str) -> str:
        compiled = self._compiled.get(text)
        if compiled is None:
            compiled = self._compiled[text] = _PARAMETER.sub(_placeholder, text)
        return compiled


def _placeholder(found: re.Match[str]) -> str:
    if found[0] == "%":
        return "%%"
    return ":ids" if found[1] == "ids" else f"%({found[1]})s"


def _skips_locked(version: str) -> bool:
    """MariaDB has SKIP LOCKED since 10.6, MySQL since 8.0."""
    numbers_found = [int(part) for part in re.findall(r"\d+", version.removeprefix("5.5.5-"))[:2]]
    return numbers_found >= ([10, 6] if "mariadb" in version.lower() else [8, 0])


def fault(error: BaseException) -> Fault:
    """What an error means, by its number (https://mariadb.com/kb/en/mariadb-error-code-reference/)."""
    if isinstance(error, err.MySQLError):
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if code in _MOMENTARY:
            return Fault.MOMENTARY
        if code in _DENIED:
            return Fault.DENIED
        if code in _DATA or isinstance(error, err.DataError | err.IntegrityError):
            return Fault.DATA
        if code in _AWAY or isinstance(error, err.InterfaceError) or 2000 <= code < 3000:
            return Fault.AWAY
        return Fault.OTHER
    if isinstance(error, UnicodeError | OverflowError):
        return Fault.DATA
    if isinstance(error, OSError | EOFError | asyncio.IncompleteReadError | TimeoutError):
        return Fault.AWAY
    # what the driver raises when its stream broke under it
    if isinstance(error, RuntimeError | AssertionError) and "aiomysql" in _where(error):
        return Fault.AWAY
    return Fault.OTHER


_MOMENTARY: Final = frozenset({1205, 1213, 1020})
"""Lock wait timeout, deadlock, record changed since last read."""

_AWAY: Final = frozenset(
    {
        *(3, 1021, 1114, 1030, 1026, 1180),  # no room, or the disk fails
        *(1037, 1038, 1041),  # out of memory
        *(1040, 1053, 1077, 1079, 1129, 1203, 1226),  # too many connections, shutting down, blocked host, limits
        *(1152, 1158, 1159, 1160, 1161, 1184, 1927, 1317, 4031),  # connection aborted, killed, idle for too long
        *(1290, 1792, 1836, 1047, 1205),  # read-only for a while (failover), node not ready
    }
)

_DENIED: Final = frozenset({1044, 1045, 1049, 1142, 1143, 1227, 1251, 1275, 1698, 2059, 2061})
"""Wrong password, no such database, no right, no such authentication."""

_DATA: Final = frozenset({1071, 1118, 1264, 1265, 1267, 1292, 1300, 1366, 1406, 1709, 3988})
"""Values out of range, too long, or in characters that the column's charset does not have; keys that are too long."""


def _where(error: BaseException) -> str:
    """The file in which an error was raised."""
    trace: Any = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_code.co_filename)
