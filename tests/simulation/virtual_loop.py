"""An event loop without a clock and without I/O of its own: a world outside says what time it is, and when to step."""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any


class Deadlock(Exception):
    """Nothing is left to happen, and somebody still waits."""


class VirtualLoop(asyncio.BaseEventLoop):
    """One process's loop. It never waits: `step` runs what is ready at this moment and returns.

    `fuzz` shuffles what is ready at the same moment, because nobody may rely on that order.
    """

    _ready: deque[events.Handle]
    _scheduled: list[events.TimerHandle]

    def __init__(self, now: Callable[[], float], fuzz: Random | None = None) -> None:
        super().__init__()
        self._outside = now
        self._fuzz = fuzz
        self._ahead = 0.0
        self._selector = _Nothing()
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._outside() + self._ahead

    @property
    def next_time(self) -> float | None:
        """When the next callback wants to run; None if none ever will by itself."""
        if self._ready:
            return self.time()
        return max(self._scheduled[0].when(), self.time()) if self._scheduled else None

    def step(self) -> None:
        """Runs everything that is ready, once."""
        if self._fuzz is not None and len(self._ready) > 1:
            ready = list(self._ready)
            self._fuzz.shuffle(ready)
            self._ready.clear()
            self._ready.extend(ready)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
        events._set_running_loop(self)
        try:
            self._run_once()
        finally:
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def bury(self) -> None:
        """Ends every task of a dead process; time runs for it alone. Raises Deadlock if some do not end."""
        for _ in range(1000):
            tasks = asyncio.all_tasks(self)
            if not tasks:
                self.close()
                return
            for task in sorted(tasks, key=asyncio.Task.get_name):
                task.cancel()
            self.step()
            if not self._ready and self._scheduled:
                self._ahead += max(self._scheduled[0].when() - self.time(), 0.0)
        raise Deadlock(f"these do not end: {', '.join(self.names())}")

    def names(self) -> list[str]:
        """The tasks that have not ended."""
        return sorted(task.get_name() for task in asyncio.all_tasks(self))

    # --- what BaseEventLoop asks of its heirs

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # typeshed leaves it out

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        super()._asyncgen_firstiter_hook(agen)  # type: ignore[misc]  # typeshed leaves it out

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]  # typeshed leaves it out

    def _process_events(self, event_list: object) -> None:
        return

    def _write_to_self(self) -> None:
        return


class _Nothing:
    """A selector that watches nothing."""

    def select(self, timeout: float | None) -> list[object]:
        return []
