"""Kills parts of a working daemon at random moments, and lets them come back: the seed decides who and when."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.chaos.victims import strike
from tests.servers.daemon import Daemon
from tests.servers.files import make_file
from tests.servers.nginx import Nginx

SIZES = (0, 1, 1000, 16 << 10, 100 << 10, 1 << 20, 3 << 20)
SLOW_SIZES = (300_000, 1_000_000, 2_000_000)
PROGRAMS = {"aria2c": "aria2c", "keeper": "python3", "sandbox": "bwrap"}
LONGEST_CALM = 2.0
"""Seconds between two strikes, at most."""


class Storm:
    """`add` work, `rage`, and wait until it `clears`."""

    def __init__(self, *, seed: int, daemon: Daemon, nginx: Nginx, table: Table) -> None:
        self.kills: Counter[str] = Counter()
        self.sums: dict[str, str] = {}
        """By URL."""
        self._rng = Random(seed)
        self._daemon = daemon
        self._nginx = nginx
        self._table = table

    async def add(self, count: int) -> None:
        """Adds so many tasks: empty files, small ones, large ones, and every third so slow that it is hit halfway."""
        fresh: list[str] = []
        for _ in range(count):
            number = len(self.sums)
            slow = self._rng.random() < 0.33
            size = self._rng.choice(SLOW_SIZES if slow else SIZES)
            name = f"{number}.bin"
            url = self._nginx.slow_url(name) if slow else self._nginx.url(name)
            self.sums[url] = await asyncio.to_thread(make_file, self._nginx.root / name, size, number)
            fresh.append(url)
        answer = await self._daemon.odl("add", "-", stdin="\n".join(fresh))
        assert answer.code == 0, answer

    async def rage(self, strikes: int) -> None:
        """So many times: a moment of calm, then one or several at once are killed and come back."""
        for _ in range(strikes):
            await asyncio.sleep(self._rng.uniform(0.0, LONGEST_CALM))  # the moment is the seed's, no event's
            await self._strike()

    async def clears(self, within: float) -> None:
        """Returns when every task has ended."""
        look = "SELECT odr_id, status FROM OfflineDownloadRecord WHERE status IN (1, 2, 3)"
        left: list[object] = []

        async def over() -> bool:
            left[:] = await self._table.run(look)
            return not left

        try:
            await until(over, within=within, what="the end of every task")
        except AssertionError as error:
            raise AssertionError(f"{error}; still there: {left}; the daemon said:\n{self._daemon.log()}") from error

    async def _strike(self) -> None:
        server = self._table.server
        whom = ["daemon", *PROGRAMS, *(["database"] if server else [])]
        victims = self._rng.sample(whom, self._rng.choice((1, 1, 1, 2, 3)))
        for victim in victims:
            if victim in PROGRAMS and strike(self._daemon.pid, PROGRAMS[victim]):
                self.kills[victim] += 1
        if "database" in victims and server is not None:
            await server.kill()
            self.kills["database"] += 1
        if "daemon" in victims:
            await self._kill_the_daemon()
        if "database" in victims and server is not None:
            await server.start()
        if "daemon" in victims:
            await self._start_the_daemon()

    async def _kill_the_daemon(self) -> None:
        await self._daemon.kill()
        self.kills["daemon"] += 1

    async def _start_the_daemon(self) -> None:
        """Starts it, now and then with one more kill before it is ready."""
        if self._rng.random() < 0.3:
            try:
                async with asyncio.timeout(self._rng.uniform(0.0, 0.6)):
                    await self._daemon.start()
                    return
            except TimeoutError:
                await self._kill_the_daemon()
        await self._daemon.start()
