"""How SQLite and MariaDB/MySQL differ: the words of SQL, and which errors pass by themselves."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import pymysql.err


class Passing(Enum):
    """What an error of the database means for the unit of work that met it."""

    AGAIN = "the same again at once: a deadlock, a lock that was waited for too long"
    AWAY = "the connection is lost or the server is not there: wait, connect anew, do it again"
    NO = "it would end the same way"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words that one kind of database wants."""

    mysql: bool
    skip_locked: bool = False
    """Whether FOR UPDATE SKIP LOCKED is understood."""
    narrow: str = field(default="")
    """The character set of the shared table, if it is not able to hold everything."""

    @property
    def now(self) -> str:
        """An expression: the database's clock, in microseconds since 1970."""
        if self.mysql:
            return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
        return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000000.0) AS INTEGER)"

    @property
    def begin(self) -> str:
        return "START TRANSACTION" if self.mysql else "BEGIN IMMEDIATE"

    @property
    def stamp(self) -> str:
        """An expression: the shared row's timestamp as text; the drivers return three types for it."""
        return "CAST(r.timestamp AS CHAR)" if self.mysql else "CAST(r.timestamp AS TEXT)"

    @property
    def lock(self) -> str:
        """Locks what a SELECT in a transaction reads; SQLite's writer has locked everything already."""
        return " FOR UPDATE" if self.mysql else ""

    @property
    def lock_what_is_free(self) -> str:
        if not self.mysql:
            return ""
        return " FOR UPDATE SKIP LOCKED" if self.skip_locked else " FOR UPDATE"

    def exactly(self, column: str, parameter: str) -> str:
        """A comparison letter for letter; the shared table's collation takes Ann and ann for one."""
        if self.mysql:
            return f"CAST({column} AS BINARY) = CAST(:{parameter} AS BINARY)"
        return f"{column} = :{parameter}"

    def upsert(self, table: str, key: str, columns: tuple[str, ...], special: dict[str, str] | None = None) -> str:
        """INSERT that overwrites an older row; `special` gives the new value of single columns, with {new} for
        the inserted row."""
        special = special or {}
        names = ", ".join(columns)
        values = ", ".join(f":{column}" for column in columns)
        new = "VALUES({})" if self.mysql else "excluded.{}"
        sets = ", ".join(
            f"{column} = " + (special[column].format(new=new) if column in special else new.format(column))
            for column in columns
            if column != key
        )
        clash = "ON DUPLICATE KEY UPDATE" if self.mysql else f"ON CONFLICT ({key}) DO UPDATE SET"
        return f"INSERT INTO {table} ({names}) VALUES ({values}) {clash} {sets}"

    def text(self, value: str) -> str:
        """A text as the shared table can hold it: what its character set lacks becomes a question mark."""
        if not self.narrow:
            return value
        if self.narrow in ("utf8", "utf8mb3"):
            return _ASTRAL.sub("?", value)
        try:
            return value.encode(self.narrow, "replace").decode(self.narrow)
        except LookupError:
            return value.encode("ascii", "replace").decode()

    def passing(self, error: BaseException) -> Passing:
        """Whether, and how, a unit of work that met this error is done again."""
        if isinstance(error, sqlite3.OperationalError):
            return Passing.AWAY if _SQLITE_PASSES.search(str(error)) else Passing.NO
        if isinstance(error, pymysql.err.MySQLError):
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            if code in (1205, 1213, 1020):
                return Passing.AGAIN
            lost = isinstance(error, pymysql.err.InterfaceError) or code in _MYSQL_AWAY
            return Passing.AWAY if lost else Passing.NO
        return Passing.AWAY if isinstance(error, OSError | EOFError | TimeoutError) else Passing.NO


def words_for_sqlite() -> Dialect:
    return Dialect(mysql=False)


def words_for_mysql(version: str, narrow: str = "", *, skip_locked: bool = True) -> Dialect:
    """By the server's VERSION(): MariaDB has SKIP LOCKED from 10.6 on, MySQL from 8.0 on."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version.removeprefix("5.5.5-"))[:2])
    least = (10, 6) if "mariadb" in version.lower() else (8, 0)
    return Dialect(mysql=True, skip_locked=skip_locked and numbers >= least, narrow=narrow)


@lru_cache(maxsize=512)
def for_aiomysql(sql: str) -> str:
    """Our :name parameters as the driver wants them."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


_PARAMETER = re.compile(r"(?<![:\w']):(\w+)")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_SQLITE_PASSES = re.compile(r"locked|busy|full|unable to open|disk I/O", re.IGNORECASE)
_MYSQL_AWAY = frozenset(
    {
        *(1040, 1042, 1043, 1053, 1077, 1079, 1080, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1290, 1317),
        *(1021, 1114, 1836, 1927, 2002, 2003, 2006, 2012, 2013, 2014, 2055, 3032, 3024, 4031),
    }
)
"""Too many connections, handshake, shutdown, read-only while failing over, disk full, killed, lost: these pass."""
