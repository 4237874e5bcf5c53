"""What happens when: one virtual clock over everything, and the story of what happened."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.simulation.virtual_loop import Deadlock, VirtualLoop

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

BEGIN = 1000.0
"""The clock's first moment, in seconds; stories count from here."""


class Broken(AssertionError):
    """A law was broken."""


class World:
    """Seconds pass only when nothing is left to do in the present one."""

    def __init__(self, rng: Random, *, telling: bool = False) -> None:
        self.rng = rng
        self.now = BEGIN
        self.telling = telling
        self.story: list[str] = []
        self.broken = ""
        self.loops: list[VirtualLoop] = []
        """Those that run: neither frozen nor dead."""
        self._actions: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def clock(self) -> datetime:
        return NOON + timedelta(seconds=self.now)

    def time(self) -> float:
        return self.now

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._actions, (self.now + seconds, next(self._numbers), action))

    def tell(self, who: str, what: str) -> None:
        if self.telling:
            self.story.append(f"{self.now - BEGIN:9.3f}  {who:<10} {what}")

    def break_law(self, sentence: str) -> None:
        """Somebody saw a law broken; the first one ends the run."""
        self.tell("LAW", sentence)
        if not self.broken:
            self.broken = f"after {self.now - BEGIN:.3f} s: {sentence}"

    def run(self, until: float, over: Callable[[], bool] | None = None) -> None:
        """Lets time pass up to `until`, or until `over`. Raises Broken, Deadlock."""
        actions, steps = self._actions, 0
        while True:
            when, loop = self._next()
            if when is None and (waiting := self._names()):
                raise Deadlock(f"nothing is left to happen; waiting: {', '.join(waiting)}")
            if when is None or when > until:
                self.now = until
                return
            self.now = max(self.now, when)
            if loop is None:
                heapq.heappop(actions)[2]()
            else:
                loop.step()
            steps += 1
            if self.broken:
                raise Broken(self.broken)
            if over is not None and steps % 16 == 0 and over():
                return

    def _next(self) -> tuple[float | None, VirtualLoop | None]:
        when, chosen = (self._actions[0][0] if self._actions else None), None
        for loop in self.loops:
            time = loop.next_time
            if time is not None and (when is None or time < when or (time == when and self.rng.random() < 0.5)):
                when, chosen = time, loop
        return when, chosen

    def _names(self) -> list[str]:
        return [name for loop in self.loops for name in loop.names()]
