"""One daemon of the simulation: the real engine on ports in memory, put together as the app does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from odl_daemon.engine.adoption import Adoption
from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.desk import Desk
from odl_daemon.engine.disk import Disk as Room
from odl_daemon.engine.dispatcher import Dispatcher
from odl_daemon.engine.endings import Limits
from odl_daemon.engine.janitor import Janitor
from odl_daemon.engine.news import News
from odl_daemon.engine.rival import Rival
from odl_daemon.engine.worker import Worker
from odl_daemon.intake.table import TableDoor
from odl_daemon.model.patience import Patience
from tests.intake.paper_desk import KEYLESS
from tests.simulation.memory_downloader import MemoryDownloader, Times
from tests.simulation.memory_library import MemoryLibrary, Shelves
from tests.simulation.memory_scratch import Disk, MemoryScratch
from tests.simulation.memory_store import MemoryStore
from tests.simulation.memory_table import Table
from tests.simulation.process import Process, Weather
from tests.simulation.sources import Source
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Settings:
    """What all daemons of a schedule share."""

    slots: int = 2
    time_limit: float = 20.0
    max_size: int = 0
    retries: int = 2
    first_wait: float = 1.0
    poll: float = 3.0
    lease: float = 8.0
    keep_failed: float = 0.0
    remote_library: bool = False
    fuzz: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """The real engine's classes, or broken ones that a test puts in their place."""

    worker: type[Worker] = Worker
    dispatcher: type[Dispatcher] = Dispatcher
    janitor: type[Janitor] = Janitor
    store: type[MemoryStore] = MemoryStore
    table: type[Table] = Table


@dataclass(slots=True)
class Surroundings:
    """What outlives every daemon."""

    world: World
    settings: Settings
    parts: Parts
    table: Table
    shelves: Shelves
    sources: dict[str, Source]
    weather: Weather = field(default_factory=Weather)
    times: Times = field(default_factory=Times)


class Daemon:
    """A process from its start to its end."""

    def __init__(self, around: Surroundings, host: str, disk: Disk, *, enabled: bool = True) -> None:
        settings, parts, world = around.settings, around.parts, around.world
        rng = Random(world.rng.random())
        self.host = host
        self.process = Process(world, host, Random(rng.random()) if settings.fuzz else None)
        self.store = parts.store(around.table, self.process, around.weather)
        self.downloader = MemoryDownloader(self.process, disk, around.sources, settings.slots, around.times)
        self.library = MemoryLibrary(around.shelves, self.process, disk, around.sources, remote=settings.remote_library)
        scratch, news, self.bell = MemoryScratch(disk, self.process), News(), Bell()
        allowance = Allowance(store=self.store, clock=world.clock)
        room = Room(scratch)
        worker = parts.worker(
            store=self.store,
            downloader=self.downloader,
            scratch=scratch,
            library=self.library,
            news=news,
            holder=host,
            limits=_limits(settings),
            allowance=allowance,
            disk=room,
            host_trouble=lambda trouble, seconds: self.dispatcher.host_trouble(trouble, seconds),
            clock=world.clock,
            rng=rng,
        )
        janitor = parts.janitor(
            store=self.store, scratch=scratch, holder=host, keep_failed=settings.keep_failed, clock=world.clock
        )
        self.dispatcher = parts.dispatcher(
            store=self.store,
            worker=worker,
            janitor=janitor,
            news=news,
            bell=self.bell,
            allowance=allowance,
            disk=room,
            holder=host,
            slots=settings.slots,
            enabled=enabled,
            poll=settings.poll,
            clock=world.clock,
            rng=rng,
        )
        self.desk = Desk(
            store=self.store,
            news=news,
            bell=self.bell,
            clock=world.clock,
            allowance=allowance,
            keyring=KEYLESS,
            obstacle=self.dispatcher.obstacle,
        )
        self.adoption = Adoption(
            store=self.store, scratch=scratch, bell=self.bell, news=news, allowance=allowance, clock=world.clock
        )
        rival = Rival(self.store, world.clock)
        self._door = TableDoor(adoption=self.adoption, rival=rival, poll=settings.poll, rng=rng)
        self._stop_asked = asyncio.Event()
        self.life = self.process.loop.create_task(self._live(), name=f"{host}: daemon")
        self.life.add_done_callback(self._ended)

    @property
    def over(self) -> bool:
        return self.process.dead or self.life.done()

    def ask(self, question: Callable[[Desk], Coroutine[Any, Any, object]]) -> None:
        """Somebody asks its desk for something, and does not wait for the answer."""
        self.process.loop.create_task(question(self.desk), name=f"{self.host}: a door")

    def stop(self) -> None:
        """The operator asks it to stop in order."""
        self._stop_asked.set()

    def bury(self) -> None:
        """Takes a stopped daemon out of the world."""
        if not self.process.dead:
            self.process.die()

    def _ended(self, life: asyncio.Task[None]) -> None:
        error = None if life.cancelled() else life.exception()
        if error is not None and not self.process.dead:
            self.process.world.break_law(f"{self.host} ended with {_first(error)!r}")

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as group:
            await self.adoption.take_over()
            working = group.create_task(self.dispatcher.run(), name=f"{self.host}: dispatcher")
            door = group.create_task(self._door.serve(), name=f"{self.host}: table door")
            await self._stop_asked.wait()
            door.cancel()
            self.dispatcher.stop()
            await asyncio.wait({working})


def _limits(settings: Settings) -> Limits:
    patience = Patience(settings.retries, settings.first_wait)
    return Limits(settings.time_limit, settings.max_size, settings.keep_failed, patience)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
