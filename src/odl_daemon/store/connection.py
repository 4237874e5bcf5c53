"""Runs units of work on the database; the only file that knows the `databases` package."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

import aiomysql
import pymysql.err
from databases import Database as Pool

from odl_daemon.ports import StoreAway
from odl_daemon.store.dialect import Dialect, Passing, for_aiomysql, words_for_mysql, words_for_sqlite

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = Mapping[str, Any]
Values = Mapping[str, Any]

ANSWER_LIMIT = 60.0
"""Seconds that a unit of work may take on a server before its connection is given up as frozen."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two tries while the database is away."""

TRIES_AT_ONCE = 20
"""How often a unit that met a deadlock is done again before that counts as the database being away."""


_REFUSED = frozenset({1044, 1045, 1049, 1698})
"""Wrong password, unknown database, no right to it: only the operator can mend that."""


class Transaction:
    """What a unit of work does its work with. SQL has :name parameters; rows are mappings."""

    def __init__(self, raw: Any, dialect: Dialect) -> None:
        self._raw = raw
        self.dialect = dialect

    def by_name(self) -> None:
        """Lets SQLite return rows as mappings."""
        self._raw.row_factory = sqlite3.Row

    def drop(self) -> None:
        """Closes a connection that broke, so that the pool does not hand it out again."""
        if self.dialect.mysql:
            self._raw.close()

    async def fetch(self, sql: str, values: Values | None = None) -> list[Row]:
        """All rows of a query."""
        if not self.dialect.mysql:
            return cast(list[Row], await self._raw.execute_fetchall(sql, values or {}))
        async with self._raw.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(for_aiomysql(sql), values or {})
            return cast(list[Row], await cursor.fetchall())

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """One statement without a result."""
        if not self.dialect.mysql:
            await self._raw.execute_fetchall(sql, values or {})
            return
        async with self._raw.cursor() as cursor:
            await cursor.execute(for_aiomysql(sql), values or {})

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        """One statement for each row; an INSERT goes out as one."""
        if not rows:
            return
        if not self.dialect.mysql:
            cursor = await self._raw.executemany(sql, rows)
            await cursor.close()
            return
        async with self._raw.cursor() as cursor:
            await cursor.executemany(for_aiomysql(sql), rows)

    async def insert(self, sql: str, values: Values) -> int:
        """One INSERT; returns the id that the database gave."""
        if not self.dialect.mysql:
            cursor = await self._raw.execute(sql, values)
            row_id = cast(int, cursor.lastrowid)
            await cursor.close()
            return row_id
        async with self._raw.cursor() as cursor:
            await cursor.execute(for_aiomysql(sql), values)
            return cast(int, cursor.lastrowid)


Unit = Callable[[Transaction], Awaitable[T]]
"""A unit of work: done whole or not at all, and safe to be done again."""


class Connections:
    """Lanes to one database: one that writes, some that read.

    A lane is a task that owns a connection for as long as it lasts and does one unit after the other. So a
    caller that is cancelled leaves its unit alone: nothing hangs half-done in a transaction, no connection leaks.
    """

    def __init__(self, url: str, *, patient: bool, readers: int = 1, skip_locked: bool = True) -> None:
        """`patient` waits for a database that is away, for ever; otherwise StoreAway is raised at once."""
        self.mysql = not url.startswith("sqlite:")
        self.dialect = words_for_sqlite()
        self._skip_locked = skip_locked
        self._patient = patient
        self._place = _without_password(url)
        self._pool = _pool(url, 1 + readers)
        self._writes: asyncio.Queue[_Order] = asyncio.Queue()
        self._reads: asyncio.Queue[_Order] = asyncio.Queue()
        self._readers = readers
        self._stack = AsyncExitStack()
        self._away_since: float | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._pool.connect()
            stack.push_async_callback(self._pool.disconnect)
            lanes = await stack.enter_async_context(asyncio.TaskGroup())
            tasks = [lanes.create_task(self._lane(self._writes, writes=True), name="lane that writes")]
            tasks += [
                lanes.create_task(self._lane(self._reads, writes=False), name=f"lane {number} that reads")
                for number in range(self._readers)
            ]
            stack.callback(_cancel, tasks)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(None, None, None)  # what went wrong outside is not the lanes' error

    @property
    def away(self) -> bool:
        """The database does not answer at the moment."""
        return self._away_since is not None

    async def write(self, unit: Unit[T]) -> T:
        """Does a unit in a transaction, after all that were ordered before."""
        return await self.order_write(unit)

    def order_write(self, unit: Unit[T]) -> asyncio.Future[T]:
        """The same without waiting: the future of its answer."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.put_nowait(_Order(unit, answer))
        return answer

    async def read(self, unit: Unit[T]) -> T:
        """Does a unit that only reads."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._reads.put_nowait(_Order(unit, answer))
        return await answer

    def know_the_shared_charset(self, charset: str) -> None:
        """Tells which character set the shared table has, if it cannot hold everything."""
        self.dialect = replace(self.dialect, narrow=charset)

    # --- a lane

    async def _lane(self, orders: asyncio.Queue[_Order], *, writes: bool) -> None:
        waiting: _Order | None = None
        pause = FIRST_PAUSE
        while True:
            waiting = waiting or await orders.get()
            try:
                async with self._pool.connection() as connection:
                    transaction = Transaction(connection.raw_connection, self.dialect)
                    await self._prepare(transaction)
                    while True:
                        await self._do(waiting, transaction, writes=writes)
                        waiting, pause = None, FIRST_PAUSE
                        waiting = await orders.get()
            except Exception as error:  # noqa: BLE001  whatever it is, it belongs to the unit or passes by itself
                if self.dialect.passing(error) is Passing.NO or not self._patient:
                    self._refuse(waiting, error)
                    waiting = None
                    continue
                self._say_away(error)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _do(self, order: _Order, transaction: Transaction, *, writes: bool) -> None:
        """One unit, again and again while it meets deadlocks; raises if the connection is not to be used again."""
        transaction.dialect = self.dialect
        for _ in range(TRIES_AT_ONCE):
            try:
                async with asyncio.timeout(ANSWER_LIMIT if self.mysql else None):
                    result = await (_whole(order.unit, transaction) if writes else order.unit(transaction))
            except Exception as error:  # sorted by the dialect
                if self.dialect.passing(error) is Passing.AGAIN:
                    continue
                if self.dialect.passing(error) is Passing.NO:
                    self._refuse(order, error)
                    return
                transaction.drop()
                raise
            self._say_back()
            order.fulfil(result)
            return
        transaction.drop()
        raise TimeoutError("one deadlock after the other")

    async def _prepare(self, transaction: Transaction) -> None:
        """What every new connection needs."""
        if not self.mysql:
            transaction.by_name()
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 20000", "temp_store = MEMORY"):
                await transaction.execute(f"PRAGMA {pragma}")
            return
        transaction.dialect = Dialect(mysql=True)
        await transaction.execute("SET SESSION time_zone = '+00:00'")
        await transaction.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if not self.dialect.mysql:
            version = (await transaction.fetch("SELECT VERSION() AS version"))[0]["version"]
            self.dialect = words_for_mysql(str(version), skip_locked=self._skip_locked)

    def _refuse(self, order: _Order | None, error: Exception) -> None:
        if order is None:
            return
        if isinstance(error, pymysql.err.OperationalError) and error.args[0] in _REFUSED:
            refused = StoreAway(f"the database at {self._place} refuses us: {_words(error)}")
            refused.__cause__ = error
            error = refused
        elif self.dialect.passing(error) is not Passing.NO:
            away = StoreAway(f"the database at {self._place} does not answer: {_words(error)}")
            away.__cause__ = error
            error = away
        order.fail(error)

    def _say_away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = asyncio.get_running_loop().time()
            log.warning("the database at %s is away (%s): waiting for it", self._place, _words(error))

    def _say_back(self) -> None:
        if self._away_since is not None:
            away = asyncio.get_running_loop().time() - self._away_since
            self._away_since = None
            log.info("the database is back after %.1f s", away)


class _Order:
    """A unit, and who waits for it."""

    __slots__ = ("_answer", "unit")

    def __init__(self, unit: Unit[Any], answer: asyncio.Future[Any]) -> None:
        self.unit = unit
        self._answer = answer

    def fulfil(self, result: object) -> None:
        if not self._answer.done():
            self._answer.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)


async def _whole(unit: Unit[T], transaction: Transaction) -> T:
    """The unit between BEGIN and COMMIT; whatever breaks it, the connection is clean afterwards or closed."""
    await transaction.execute(transaction.dialect.begin)
    try:
        result = await unit(transaction)
        await transaction.execute("COMMIT")
    except BaseException:
        with suppress(Exception):  # the first error tells more; a connection that cannot roll back is dropped
            await transaction.execute("ROLLBACK")
        raise
    return result


def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def _pool(url: str, size: int) -> Pool:
    if url.startswith("sqlite:"):
        return Pool(f"sqlite:///{quote(_path(url))}")
    warnings.filterwarnings("ignore", category=aiomysql.Warning)  # notes of the server, for example on VALUES()
    return Pool(
        url,
        min_size=0,
        max_size=size,
        charset="utf8mb4",
        connect_timeout=10,
        pool_recycle=-1,
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _path(url)
    return f"{parts.hostname}:{parts.port or 3306}/{unquote(parts.path.lstrip('/'))}"


def _path(url: str) -> str:
    """The absolute path behind sqlite:, however many slashes are before it."""
    return "/" + url.removeprefix("sqlite:").lstrip("/")


def _words(error: BaseException) -> str:
    return " ".join(str(part) for part in error.args) or type(error).__name__
