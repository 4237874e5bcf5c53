"""Runs units of work on the database; the only file that knows the `databases` package."""

from __future__ import annotations

import asyncio
import logging
import random
import warnings
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

import aiomysql
import aiosqlite
import pymysql.err
from databases import Database as Pool

from odl_daemon.ports import StoreAway
from odl_daemon.store.dialect import Dialect, Passing, words_for_mysql, words_for_sqlite
from odl_daemon.store.transaction import MysqlTransaction, SqliteTransaction, Transaction, driven

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_LIMIT = 60.0
"""Seconds that a unit of work may take on a server before its connection is given up as frozen."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two tries while the database is away."""

TRIES_AT_ONCE = 20
"""How often a unit that met a deadlock is done again before that counts as the database being away."""


_REFUSED = frozenset({1044, 1045, 1049, 1698})
"""Wrong password, unknown database, no right to it: only the operator can mend that."""


Unit = Callable[[Transaction], Coroutine[Any, Any, T]]
"""A unit of work: done whole or not at all, and safe to be done again. It waits for its own statements only."""


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
        self._met = False

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
                    link = await self._link(connection.raw_connection)
                    self._met = True
                    while True:
                        await self._do(waiting, link, writes=writes)
                        waiting, pause = None, FIRST_PAUSE
                        waiting = await orders.get()
            except Exception as error:  # noqa: BLE001  whatever it is, it belongs to the unit or passes by itself
                if not self._worth_waiting(error):
                    self._refuse(waiting, error)
                    waiting = None
                    continue
                self._say_away(error)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(pause * 2, LONGEST_PAUSE)

    def _worth_waiting(self, error: Exception) -> bool:
        """A patient lane waits for what passes by itself, and also for a server that refuses us after it had let
        us in: a password that is being changed must not end anybody's download."""
        passes = self.dialect.passing(error) is not Passing.NO or (self._met and _is_refusal(error))
        return self._patient and passes

    async def _do(self, order: _Order, link: _Link, *, writes: bool) -> None:
        """One unit, again and again while it meets deadlocks; raises if the connection is not to be used again."""
        link.transaction.dialect = self.dialect
        for _ in range(TRIES_AT_ONCE):
            try:
                result = await link.do(_whole(order.unit, link.transaction) if writes else order.unit(link.transaction))
            except Exception as error:
                if self.dialect.passing(error) is Passing.AGAIN:
                    continue
                if self.dialect.passing(error) is Passing.NO:
                    self._refuse(order, error)
                    return
                link.drop()
                raise
            self._say_back()
            order.fulfil(result)
            return
        link.drop()
        raise TimeoutError("one deadlock after the other")

    async def _link(self, raw: Any) -> _Link:
        """A new connection, prepared for its units."""
        if not self.mysql:
            in_thread = _InThread(raw, self.dialect)
            await in_thread.do(_pragmas(in_thread.transaction))
            return in_thread
        server = _Server(raw)
        version = await server.do(_session(server.transaction))
        if not self.dialect.mysql:
            self.dialect = words_for_mysql(version, skip_locked=self._skip_locked)
        return server

    def _refuse(self, order: _Order | None, error: Exception) -> None:
        if order is None:
            return
        if _is_refusal(error):
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


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, pymysql.err.OperationalError) and error.args[0] in _REFUSED


class _Link(Protocol):
    """A connection, and how a unit is done on it."""

    transaction: Transaction

    async def do(self, work: Coroutine[Any, Any, T]) -> T: ...

    def drop(self) -> None:
        """The connection broke: nobody may use it again."""


class _InThread:
    """SQLite: a unit is one call into the connection's thread."""

    def __init__(self, raw: aiosqlite.Connection, dialect: Dialect) -> None:
        self._thread = raw
        self.transaction: Transaction = SqliteTransaction(raw._conn, dialect)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        # The one way to have a whole function done in aiosqlite's thread; its version is pinned for that.
        return cast(T, await self._thread._execute(driven, work))  # type: ignore[no-untyped-call]

    def drop(self) -> None:
        return  # a file has no connection that could be half broken


class _Server:
    """MariaDB or MySQL: a unit that takes too long means a frozen server."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.transaction: Transaction = MysqlTransaction(raw, Dialect(mysql=True))

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(ANSWER_LIMIT):
            return await work

    def drop(self) -> None:
        self._raw.close()


async def _pragmas(tx: Transaction) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 20000", "temp_store = MEMORY"):
        await tx.execute(f"PRAGMA {pragma}")


async def _session(tx: Transaction) -> str:
    """Prepares a session, and returns the server's version."""
    await tx.execute("SET SESSION time_zone = '+00:00'")
    await tx.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    return str((await tx.fetch("SELECT VERSION() AS version"))[0]["version"])


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
