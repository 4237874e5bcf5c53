"""Lanes to the database: each a long-lived owner of one connection that works off units of work.

A caller that is cancelled leaves its unit behind: the unit is finished all the same, so no transaction is ever
left half done and no connection is ever lost. Cancelling inside `databases` itself would lose both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Generic

from databases import Database

from odl_daemon.ports import StoreAway
from odl_daemon.store.address import Address
from odl_daemon.store.outage import Outage
from odl_daemon.store.session import Fault, Session, T, Work

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
"""Seconds between two tries while the database is away."""

UNIT_LIMIT = 60.0
"""Seconds after which a server that says nothing counts as away."""

CLOSING_LIMIT = 10.0
"""Seconds that units which are still in line get when the store closes."""


class Unit(Generic[T]):
    """A piece of work, and who waits for it. It may be done more than once: a commit whose reply was lost may
    have happened or not."""

    def __init__(
        self, work: Work[T], *, writes: bool, limit: float | None, begin: Callable[[], None] | None = None
    ) -> None:
        self.work = work
        self.begin = begin
        self.writes = writes
        self.limit = limit
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def unwanted(self) -> bool:
        return self.answer.cancelled() and not self.writes

    def succeed(self, result: T) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Lanes:
    """The way into the database. One lane writes steps, one writes everything else, one sweeps through whole tables,
    the others read what somebody waits for; SQLite, which has one writer at a time, has one lane of each sort."""

    def __init__(self, *, address: Address, lanes: int, patient: bool, skip_locked: bool) -> None:
        self._address = address
        self._patient = patient
        self._skip_locked = skip_locked
        self._outage = Outage(address.shown)
        self._closing = asyncio.Event()
        self._steps: asyncio.Queue[Unit[Any] | None] = asyncio.Queue()
        self._writes = self._steps if address.dialect == "sqlite" or lanes < 3 else asyncio.Queue()
        self._reads = self._steps if lanes < 2 else asyncio.Queue()
        self._sweeps = self._reads if lanes < 4 else asyncio.Queue()
        readers = 0 if lanes < 2 else 1 if address.dialect == "sqlite" else max(lanes - 3, 1)
        writing = dict.fromkeys([self._steps, self._writes])
        sweepers = [] if self._sweeps is self._reads else [(self._sweeps, False)]
        self._owned = [(queue, True) for queue in writing] + [(self._reads, False)] * readers + sweepers
        """The queue of each lane, and whether it writes."""

    @property
    def away(self) -> bool:
        return self._outage.away

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The lanes work inside this block; leaving it finishes what is in line."""
        trouble: BaseException | None = None
        async with self._database() as database:
            async with asyncio.TaskGroup() as group:
                working = self._start(database, group)
                try:
                    yield
                except BaseException as error:  # noqa: BLE001  # the lanes end in order, then it goes on its way
                    trouble = error
                await self._finish(working)
            if trouble is not None:
                raise trouble

    def _start(self, database: Database, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        working = []
        for number, (queue, writes) in enumerate(self._owned):
            lane = self._lane(database, queue, writes=writes)
            name = f"store lane {number}, {'writing' if writes else 'reading'}"
            working.append(group.create_task(lane.work(), name=name))
        return working

    async def _finish(self, working: list[asyncio.Task[None]]) -> None:
        """Lets the lanes come to the end of their queues; one that takes too long is cut off."""
        self._closing.set()
        for queue, _ in self._owned:
            queue.put_nowait(None)
        _, late = await asyncio.wait(working, timeout=CLOSING_LIMIT)
        for task in late:
            task.cancel()

    def step(self, work: Work[T], begin: Callable[[], None]) -> asyncio.Future[T]:
        """Puts a unit of the group commit in line; `begin` is called once, when its turn has come."""
        return self._put(self._steps, Unit(work, writes=True, limit=UNIT_LIMIT, begin=begin))

    def write(self, work: Work[T], *, limit: float | None = UNIT_LIMIT) -> asyncio.Future[T]:
        """Puts a unit in line that is one transaction."""
        return self._put(self._writes, Unit(work, writes=True, limit=limit))

    def read(self, work: Work[T]) -> asyncio.Future[T]:
        """Puts a unit in line that changes nothing."""
        return self._put(self._reads, Unit(work, writes=False, limit=UNIT_LIMIT))

    def sweep(self, work: Work[T]) -> asyncio.Future[T]:
        """The same for what looks at many rows and is in no hurry: nobody else's look waits behind it."""
        return self._put(self._sweeps, Unit(work, writes=False, limit=UNIT_LIMIT))

    def _put(self, queue: asyncio.Queue[Unit[Any] | None], unit: Unit[T]) -> asyncio.Future[T]:
        if self._closing.is_set():
            unit.fail(StoreAway("the store is closed"))
        else:
            queue.put_nowait(unit)
        return unit.answer

    def _lane(self, database: Database, queue: asyncio.Queue[Unit[Any] | None], *, writes: bool) -> Lane:
        return Lane(
            database=database,
            address=self._address,
            queue=queue,
            outage=self._outage,
            closing=self._closing,
            writes=writes,
            patient=self._patient,
            skip_locked=self._skip_locked,
        )

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        database = Database(self._address.url, **_options(self._address, len(self._owned)))
        async with database:
            yield database


class Lane:
    """One connection and its owner. A unit whose database is away is tried again until it is done, or until
    nobody is patient."""

    def __init__(
        self,
        *,
        database: Database,
        address: Address,
        queue: asyncio.Queue[Unit[Any] | None],
        outage: Outage,
        closing: asyncio.Event,
        writes: bool,
        patient: bool,
        skip_locked: bool,
    ) -> None:
        self._database = database
        self._address = address
        self._dialect = address.dialect
        self._queue = queue
        self._outage = outage
        self._closing = closing
        self._writes = writes
        self._patient = patient
        self._skip_locked = skip_locked
        self._session: Session | None = None
        self._connection = AsyncExitStack()
        self._greeted = False
        """The database took us in once: from now on it is only away."""
        self._rng = Random()

    async def work(self) -> None:
        """Until None comes out of the queue."""
        try:
            while (unit := await self._queue.get()) is not None:
                if not unit.unwanted:
                    await self._see_through(unit)
        finally:
            await self._hang_up()

    async def _see_through(self, unit: Unit[Any]) -> None:
        """Tries a unit until it is done or has failed for good."""
        wait, tries = FIRST_WAIT, 0
        if unit.begin is not None:
            unit.begin()
        while True:
            tries += 1
            try:
                result = await self._attempt(unit)
            except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to the one who waits for the unit
                failed = await self._judge(error, tries)
                if failed is not None:
                    unit.fail(failed)
                    return
                await self._pause(wait * self._rng.uniform(0.5, 1.5))
                wait = min(wait * 2, LONGEST_WAIT)
            else:
                self._outage.over()
                unit.succeed(result)
                return

    async def _judge(self, error: Exception, tries: int) -> BaseException | None:
        """None if the unit is worth another try, else what its caller shall hear."""
        fault = _fault(self._dialect, error)
        if fault is Fault.DENIED and self._greeted and self._session is None:
            fault = Fault.AWAY  # it knew us before: a restart, a failover, a change of password
        match fault:
            case Fault.MOMENTARY:
                log.debug("a unit of work met another one, once more (%s)", error)
                if self._patient or tries < 5:
                    return None
            case Fault.AWAY:
                await self._hang_up()
                if self._patient and not self._closing.is_set():
                    self._outage.began(error)
                    return None
            case Fault.DENIED if self._session is None:
                pass
            case _:
                return error
        away = StoreAway(f"{self._outage.sentence(error)}; check that it runs, and the setting [database] url")
        away.__cause__ = error
        return away

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _attempt(self, unit: Unit[T]) -> T:
        limit = unit.limit if self._dialect == "mysql" else None  # SQLite's thread cannot be left alone
        try:
            async with asyncio.timeout(limit):
                session = self._session or await self._call()
                return await self._transact(session, unit)
        except BaseException as error:
            if not isinstance(error, Exception):
                await self._hang_up()
            raise

    async def _transact(self, session: Session, unit: Unit[T]) -> T:
        if not self._writes:
            return await session.carry(unit.work)
        return await session.carry(partial(_in_transaction, unit=unit))

    async def _call(self) -> Session:
        """Takes a connection and readies it for units of work."""
        if self._dialect == "sqlite":
            from odl_daemon.store.sqlite import try_file

            try_file(self._address.place)
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._database.connection())
            session = await self._open(connection.raw_connection)
            self._connection = stack.pop_all()
        self._session, self._greeted = session, True
        return session

    async def _open(self, raw: Any) -> Session:  # the drivers' connections have no common type
        if self._dialect == "sqlite":
            from odl_daemon.store.sqlite import SqliteSession

            return await SqliteSession.open(raw, writes=self._writes)
        from odl_daemon.store.mysql import MysqlSession

        return await MysqlSession.open(raw, writes=self._writes, skip_locked=self._skip_locked)

    async def _hang_up(self) -> None:
        """Gives the connection back; a broken one is cut first, so that nobody gets it again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        connection, self._connection = self._connection, AsyncExitStack()
        await connection.aclose()


async def _in_transaction(session: Session, unit: Unit[T]) -> T:
    if unit.writes:
        await session.begin()
    try:
        result = await unit.work(session)
        await session.commit()
    except Exception as error:
        if session.fault(error) is not Fault.AWAY:
            await session.roll_back()
        raise
    return result


def _options(address: Address, connections: int) -> dict[str, Any]:
    if address.dialect == "sqlite":
        from odl_daemon.store.sqlite import OPTIONS

        return dict(OPTIONS)
    from odl_daemon.store.mysql import OPTIONS as SERVER_OPTIONS

    socket = {"unix_socket": address.unix_socket} if address.unix_socket else {}
    return {**SERVER_OPTIONS, "max_size": connections, **socket}


def _fault(dialect: str, error: BaseException) -> Fault:
    if dialect == "sqlite":
        from odl_daemon.store.sqlite import fault

        return fault(error)
    from odl_daemon.store.mysql import fault as server_fault

    return server_fault(error)
