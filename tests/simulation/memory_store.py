"""The store in memory: the table at the other end of a line that can be slow, cut, or lose a reply."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from odl_daemon.model.shares import NO_LIMITS, Shares, Used
from odl_daemon.model.task import Phase, Status, Task, Wish
from odl_daemon.ports import Beat, Filter, Held, LeaseLost, Request, Row, Taken
from tests.simulation.memory_table import Table
from tests.simulation.process import Line, Process, Weather


class MemoryStore:
    """ports.Store of one process. Steps arrive in the order in which they were saved, as over one connection;
    other calls may overtake each other."""

    def __init__(self, table: Table, process: Process, weather: Weather) -> None:
        self._table = table
        self._process = process
        self._line = Line(process, local=False, weather=weather)
        self._steps: deque[tuple[Task, asyncio.Future[None]]] = deque()
        self._sending = False

    async def add(self, requests: Sequence[Request], at: datetime) -> list[Task]:
        ticket: list[list[Task]] = []  # a replay finds what the first try wrote

        def once() -> list[Task]:
            if not ticket:
                ticket.append(self._table.add(requests, at))
            return ticket[0]

        return await self._line.call(once)

    async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        return await self._line.call(lambda: self._table.tasks(which, limit, before))

    async def count(self, which: Filter) -> int:
        return await self._line.call(lambda: self._table.count(which))

    async def count_phases(self, owner: str = "") -> dict[str, dict[Phase, int]]:
        raise AssertionError("nobody of the simulation asks for counts")

    async def ahead_of(self, tasks: Sequence[Task], now: datetime) -> list[int]:
        return await self._line.call(lambda: [self._table.ahead_of(task, now) for task in tasks])

    async def used(self, owners: Sequence[str], at: datetime) -> dict[str, Used]:
        return await self._line.call(lambda: self._table.used(owners))

    async def charge(self, taken: Mapping[str, Taken], at: datetime) -> None:
        await self._line.call(lambda: self._table.charge(taken))

    async def wish(self, ids: Sequence[int], wish: Wish, phases: frozenset[Phase]) -> list[int]:
        return await self._line.call(lambda: self._table.wish(ids, wish, phases))

    async def wish_all(self, which: Filter, wish: Wish) -> int:
        return await self._line.call(lambda: self._table.wish_all(which, wish))

    async def strangers(self, above: int, statuses: frozenset[Status], limit: int) -> list[Row]:
        return await self._line.call(lambda: self._table.strangers(above, statuses, limit))

    async def adopt(self, tasks: Sequence[Task]) -> list[int]:
        return await self._line.call(lambda: self._table.adopt(tasks))

    async def forget_deleted(self, limit: int) -> list[int]:
        return await self._line.call(lambda: self._table.forget_deleted(limit))

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
        return await self._line.call(lambda: self._table.claim(holder, limit, running, at, shares=shares, fresh=fresh))

    async def pulse(self, holder: str, beats: Sequence[Beat]) -> list[Held]:
        return await self._line.call(lambda: self._table.pulse(holder, beats))

    async def restore(self, holder: str, at: datetime) -> int:
        return await self._line.call(lambda: self._table.restore(holder, at))

    async def reap(self, at: datetime) -> int:
        return await self._line.call(lambda: self._table.reap(at))

    async def wished(self, limit: int) -> list[Task]:
        return await self._line.call(lambda: self._table.wished(limit))

    async def next_due(self, at: datetime) -> datetime | None:
        return await self._line.call(lambda: self._table.next_due(at))

    async def settle(self, tasks: Sequence[Task]) -> list[int]:
        return await self._line.call(lambda: self._table.settle(tasks))

    async def lock(self, name: str, task: Task) -> bool:
        return await self._line.call(lambda: self._table.lock(name, task))

    async def unlock(self, name: str, task: Task) -> None:
        await self._line.call(lambda: self._table.unlock(name, task))

    async def reserve(self, task: Task, payer: str, size: int) -> int:
        raise AssertionError("the libraries of the simulation have no quota")

    async def save(self, task: Task) -> None:
        if self._process.dead:
            raise asyncio.CancelledError
        written: asyncio.Future[None] = self._process.loop.create_future()
        self._steps.append((task, written))
        if not self._sending:
            self._sending = True
            self._process.loop.create_task(self._send(), name=f"{self._process.name}: steps on their way")
        await written

    async def _send(self) -> None:
        try:
            while self._steps:
                steps = [self._steps.popleft() for _ in range(len(self._steps))]
                lost = await self._line.call(lambda steps=steps: self._save([task for task, _ in steps]))  # type: ignore[misc]
                for (task, written), is_lost in zip(steps, lost, strict=True):
                    if written.done():
                        continue
                    if is_lost:
                        written.set_exception(LeaseLost(f"task {task.id} is not ours any longer"))
                    else:
                        written.set_result(None)
        finally:
            self._sending = False

    def _save(self, tasks: Sequence[Task]) -> list[bool]:
        """Of two states of one task that go together the later one is written."""
        lost = {task.id: self._is_lost(task) for task in {task.id: task for task in tasks}.values()}
        return [lost[task.id] for task in tasks]

    def _is_lost(self, task: Task) -> bool:
        try:
            self._table.save(task)
        except LeaseLost:
            return True
        return False
