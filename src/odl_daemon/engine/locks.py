"""Locks that tasks of all daemons share: within this daemon they stand in line, beyond it they look again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from odl_daemon.model.task import Task
from odl_daemon.ports import Store

FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 1.0
"""Seconds between two looks at a lock that another daemon has."""


class Locks:
    """At most one task of this daemon asks the store for a lock at a time. "" is the name of no lock."""

    def __init__(self, store: Store, rng: Random) -> None:
        self._store = store
        self._rng = rng
        self._lines: dict[str, asyncio.Lock] = {}
        self._interested: dict[str, int] = {}

    @asynccontextmanager
    async def held(self, name: str, task: Task) -> AsyncIterator[None]:
        """The lock is this task's inside the block."""
        await self.acquire(name, task)
        try:
            yield
        finally:
            await self.release(name, task)

    async def acquire(self, name: str, task: Task) -> None:
        """Returns when the lock is this task's; cancelled, it is not."""
        if not name:
            return
        self._interested[name] = self._interested.get(name, 0) + 1
        line = self._lines.setdefault(name, asyncio.Lock())
        try:
            await line.acquire()
        except BaseException:
            self._lose_interest(name)
            raise
        try:
            await self._ask(name, task)
        except BaseException:
            line.release()
            self._lose_interest(name)
            raise

    async def release(self, name: str, task: Task) -> None:
        if not name:
            return
        try:
            await self._store.unlock(name, task)
        finally:
            self._lines[name].release()
            self._lose_interest(name)

    async def _ask(self, name: str, task: Task) -> None:
        wait = FIRST_WAIT
        while not await self._store.lock(name, task):
            await asyncio.sleep(wait * self._rng.uniform(0.5, 1.5))  # another daemon rings no bell of ours
            wait = min(wait * 2, LONGEST_WAIT)

    def _lose_interest(self, name: str) -> None:
        self._interested[name] -= 1
        if not self._interested[name]:
            del self._interested[name], self._lines[name]
