"""One daemon's process: it runs, is frozen, or is dead; and its lines to the world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import World

T = TypeVar("T")


class Process:
    """From a start to its end; a restart is another process."""

    def __init__(self, world: World, name: str, fuzz: Random | None) -> None:
        self.world = world
        self.name = name
        self.loop = VirtualLoop(world.time, fuzz)
        self.dead = False
        self.frozen = False
        self.last_frozen = -1.0
        """When it was frozen last, or thawed."""
        self._at_thaw: list[Callable[[], None]] = []
        self._at_death: list[Callable[[], None]] = []
        world.loops.append(self.loop)

    def freeze(self) -> None:
        self.frozen = True
        self.last_frozen = self.world.now
        self.world.loops.remove(self.loop)

    def thaw(self) -> None:
        self.frozen = False
        self.last_frozen = self.world.now
        self.world.loops.append(self.loop)
        waiting, self._at_thaw = self._at_thaw, []
        for action in waiting:
            self.world.after(self.world.rng.uniform(0, 0.5), action)

    def die(self) -> None:
        """Everything of it stops at once, and nothing that it does while it falls has an effect."""
        self.dead = True
        if not self.frozen:
            self.world.loops.remove(self.loop)
        for action in self._at_death:
            action()
        self.loop.bury()

    def when_thawed(self, action: Callable[[], None]) -> None:
        self._at_thaw.append(action)

    def at_death(self, action: Callable[[], None]) -> None:
        self._at_death.append(action)


@dataclass(slots=True)
class Weather:
    """What is wrong with the world for a while."""

    away_until: float = 0.0
    """The database answers nobody before this time."""
    lost_replies: float = 0.0
    """How often the database does something and the reply is lost, so that it is asked again."""
    slow: float = 0.02
    """Seconds that a way to the database takes, at most."""


class Line:
    """A process's way to something that answers calls. What was asked happens, whoever still waits."""

    def __init__(self, process: Process, *, local: bool, weather: Weather | None = None, slow: float = 0.02) -> None:
        self._process = process
        self._world = process.world
        self._local = local
        self._weather = weather
        self._slow = slow

    async def call(self, what: Callable[[], T], seconds: float = -1.0) -> T:
        if self._process.dead:
            raise asyncio.CancelledError
        answer: asyncio.Future[T] = self._process.loop.create_future()
        way = seconds if seconds >= 0 else self._way()
        self._world.after(way, lambda: self._arrive(what, answer))
        return await answer

    def _way(self) -> float:
        slow = self._weather.slow if self._weather else self._slow
        return self._world.rng.random() * slow

    def _arrive(self, what: Callable[[], T], answer: asyncio.Future[T]) -> None:
        process, weather, rng = self._process, self._weather, self._world.rng
        if process.dead and (self._local or rng.random() < 0.5):
            return
        if process.frozen and self._local:
            process.when_thawed(lambda: self._arrive(what, answer))
            return
        if weather and self._world.now < weather.away_until:
            if not process.dead:
                self._world.after(
                    weather.away_until - self._world.now + self._way(), lambda: self._arrive(what, answer)
                )
            return
        try:
            result = what()
        except Exception as error:
            self._reply(answer, None, error)
            return
        if weather and rng.random() < weather.lost_replies:
            self._world.after(rng.uniform(0.1, 3.0), lambda: self._arrive(what, answer))
        else:
            self._reply(answer, result, None)

    def _reply(self, answer: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
        if self._world.rng.random() < 0.5:
            self._world.after(self._way(), lambda: self._land(answer, result, error))
        else:
            self._land(answer, result, error)

    def _land(self, answer: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
        if self._process.dead or answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # None only where T allows it
