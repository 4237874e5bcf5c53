"""The store on SQLite, MariaDB and MySQL: every operation of the port, and in which kind of transaction it runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Self

from odl_daemon.model.task import Phase, Status, Task, Wish
from odl_daemon.ports import Beat, Filter, Held, Request, Row
from odl_daemon.store import doors, queue, schema
from odl_daemon.store.connection import Connections
from odl_daemon.store.journal import Journal, settle_some


class SqlStore:
    """ports.Store over a database URL: `sqlite:///absolute/path` or `mysql://user:password@host:port/db`."""

    def __init__(
        self, *, url: str, lease: float = 20.0, patient: bool = True, readers: int = 1, skip_locked: bool = True
    ) -> None:
        """`lease` in seconds. `patient` waits for a database that is away; otherwise a call raises StoreAway.
        `skip_locked=False` claims as on a server that lacks it."""
        self._connections = Connections(url, patient=patient, readers=readers, skip_locked=skip_locked)
        self._lease = int(lease * 1_000_000)
        self._journal = Journal(self._connections, self._lease)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._connections)
            await schema.ensure(self._connections)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def away(self) -> bool:
        """The database does not answer at the moment."""
        return self._connections.away

    # --- for the doors

    async def add(self, requests: Sequence[Request], at: datetime) -> list[Task]:
        ticket = uuid.uuid4().hex
        return await self._connections.write(lambda tx: doors.add(tx, requests, at, ticket))

    async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        return await self._connections.read(lambda tx: doors.tasks(tx, which, limit, before))

    async def count(self, which: Filter) -> int:
        return await self._connections.read(lambda tx: doors.count(tx, which))

    async def ahead_of(self, task: Task, now: datetime) -> int:
        return await self._connections.read(lambda tx: doors.ahead_of(tx, task, now))

    async def wish(self, ids: Sequence[int], wish: Wish, phases: frozenset[Phase]) -> list[int]:
        return await self._connections.write(lambda tx: doors.wish(tx, ids, wish, phases))

    async def wish_all(self, which: Filter, wish: Wish) -> int:
        return await self._connections.write(lambda tx: doors.wish_all(tx, which, wish))

    async def strangers(self, above: int, statuses: frozenset[Status], limit: int) -> list[Row]:
        return await self._connections.read(lambda tx: doors.strangers(tx, above, statuses, limit))

    async def adopt(self, tasks: Sequence[Task]) -> int:
        return await self._connections.write(lambda tx: doors.adopt(tx, tasks))

    async def forget_deleted(self, limit: int) -> list[int]:
        return await self._connections.write(lambda tx: doors.forget_deleted(tx, limit))

    # --- for the dispatcher

    async def claim(self, holder: str, limit: int, running: Mapping[str, int], at: datetime) -> list[Task]:
        return await self._connections.write(lambda tx: queue.claim(tx, holder, limit, running, at, self._lease))

    async def pulse(self, holder: str, beats: Sequence[Beat]) -> list[Held]:
        return await self._connections.write(lambda tx: queue.pulse(tx, holder, beats, self._lease))

    async def restore(self, holder: str, at: datetime) -> int:
        return await self._connections.write(lambda tx: queue.restore(tx, holder, at))

    async def reap(self, at: datetime) -> int:
        return await self._connections.write(lambda tx: queue.reap(tx, at))

    async def wished(self, limit: int) -> list[Task]:
        return await self._connections.read(lambda tx: queue.wished(tx, limit))

    async def next_due(self, at: datetime) -> datetime | None:
        return await self._connections.read(lambda tx: queue.next_due(tx, at))

    async def settle(self, tasks: Sequence[Task]) -> list[int]:
        return await self._connections.write(lambda tx: settle_some(tx, tasks))

    # --- for the worker

    async def save(self, task: Task) -> None:
        await self._journal.save(task)
