"""The store on SQLite, MariaDB or MySQL: one room whose walls are the files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Self

from odl_daemon.model.shares import NO_LIMITS, Shares, Used
from odl_daemon.model.task import Phase, Status, Task, Wish
from odl_daemon.ports import Beat, Filter, Held, Request, Row, StoreAway, Taken
from odl_daemon.store.about import About, about, latency
from odl_daemon.store.adding import Adding
from odl_daemon.store.address import BadAddress, parse
from odl_daemon.store.claims import Claims
from odl_daemon.store.connection import Lanes
from odl_daemon.store.journal import Journal
from odl_daemon.store.keys import Keys
from odl_daemon.store.leases import Leases
from odl_daemon.store.listing import Listing
from odl_daemon.store.locks import Locks
from odl_daemon.store.outbox import SqlOutbox
from odl_daemon.store.schema import prepare
from odl_daemon.store.strangers import Strangers
from odl_daemon.store.usage import Usage
from odl_daemon.store.wishes import Wishes


class SqlStore:
    """`ports.Store` over a database; an async context manager that makes and migrates the tables when it opens.

    `url` is `sqlite:///absolute/path` or `mysql://user:password@host:port/db[?unix_socket=/path]`. `lease` is
    the time in seconds for which a claim or a pulse holds a task. A patient store waits for a database that is
    away, for as long as it takes; another one raises StoreAway after one try, with a sentence for the operator.
    `lanes` is the number of connections to a server; `skip_locked=False` does without SKIP LOCKED.
    """

    def __init__(
        self, *, url: str, lease: float = 20.0, patient: bool = True, lanes: int = 5, skip_locked: bool = True
    ) -> None:
        try:
            self._address = parse(url)
        except BadAddress as error:
            raise StoreAway(f"{error} ([database] url)") from error
        self._patient = patient
        self._lanes = Lanes(address=self._address, lanes=lanes, patient=patient, skip_locked=skip_locked)
        self._adding = Adding(self._lanes)
        self._listing = Listing(self._lanes)
        self._wishes = Wishes(self._lanes)
        self._strangers = Strangers(self._lanes)
        self._claims = Claims(self._lanes, lease)
        self._leases = Leases(self._lanes, lease)
        self._journal = Journal(self._lanes)
        self._locks = Locks(self._lanes)
        self._usage = Usage(self._lanes)
        self.outbox = SqlOutbox(self._lanes)
        """ports.Outbox."""
        self.keys = Keys(self._lanes)
        """ports.KeyStore."""
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._lanes.open())
            await prepare(self._lanes, self._address.dialect, index=self._patient)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._open.__aexit__(kind, error, trace)

    @property
    def away(self) -> bool:
        """The database does not serve us at this moment."""
        return self._lanes.away

    async def about(self) -> About:
        """What the database is."""
        return await about(self._lanes)

    async def latency(self) -> float:
        """Seconds that the database takes to answer."""
        return await latency(self._lanes)

    # --- for the doors

    async def add(self, requests: Sequence[Request], at: datetime) -> list[Task]:
        return await self._adding.add(requests, at)

    async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        return await self._listing.tasks(which, limit, before)

    async def count(self, which: Filter) -> int:
        return await self._listing.count(which)

    async def count_phases(self, owner: str = "") -> dict[str, dict[Phase, int]]:
        return await self._listing.count_phases(owner)

    async def ahead_of(self, tasks: Sequence[Task], now: datetime) -> list[int]:
        return await self._listing.ahead_of(tasks, now)

    async def used(self, owners: Sequence[str], at: datetime) -> dict[str, Used]:
        return await self._usage.used(owners, at)

    async def charge(self, taken: Mapping[str, Taken], at: datetime) -> None:
        await self._usage.charge(taken, at)

    async def wish(self, ids: Sequence[int], wish: Wish, phases: frozenset[Phase]) -> list[int]:
        return await self._wishes.wish(ids, wish, phases)

    async def wish_all(self, which: Filter, wish: Wish) -> int:
        return await self._wishes.wish_all(which, wish)

    async def strangers(self, above: int, statuses: frozenset[Status], limit: int) -> list[Row]:
        return await self._strangers.strangers(above, statuses, limit)

    async def adopt(self, tasks: Sequence[Task]) -> list[int]:
        return await self._strangers.adopt(tasks)

    async def forget_deleted(self, limit: int) -> list[int]:
        return await self._strangers.forget_deleted(limit)

    # --- for the dispatcher

    async def claim(
        self,
        holder: str,
        limit: int,
        running: Mapping[str, int],
        at: datetime,
        *,
        shares: Shares = NO_LIMITS,
        fresh: bool = True,
    ) -> list[Task]:
        return await self._claims.claim(holder, limit, running, at, shares=shares, fresh=fresh)

    async def pulse(self, holder: str, beats: Sequence[Beat]) -> list[Held]:
        return await self._leases.pulse(holder, beats)

    async def restore(self, holder: str, at: datetime) -> int:
        return await self._leases.restore(holder, at)

    async def reap(self, at: datetime) -> int:
        return await self._leases.reap(at)

    async def wished(self, limit: int) -> list[Task]:
        return await self._wishes.wished(limit)

    async def next_due(self, at: datetime) -> datetime | None:
        return await self._claims.next_due(at)

    async def settle(self, tasks: Sequence[Task]) -> list[int]:
        return await self._journal.settle(tasks)

    # --- for the worker

    async def save(self, task: Task) -> None:
        await self._journal.save(task)

    async def lock(self, name: str, task: Task) -> bool:
        return await self._locks.lock(name, task.id, task.epoch)

    async def unlock(self, name: str, task: Task) -> None:
        await self._locks.unlock(name, task.id, task.epoch)

    async def reserve(self, task: Task, payer: str, size: int) -> int:
        return await self._locks.reserve(task.id, payer, size)
