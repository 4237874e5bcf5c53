"""How a commit goes: its progress for whoever looks, and what it teaches of the library's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from odl_daemon.engine.run import Run
from odl_daemon.model.task import Progress, Task

TELLING: Final = 1 << 20
"""Bytes; the commit of a smaller file says nothing of the pace."""

NEWEST: Final = 0.3
"""Weight of the newest commit in the pace."""


class Pace:
    """How fast the library takes bytes, as this daemon's commits have shown."""

    def __init__(self, usual: float) -> None:
        """`usual`: bytes per second until a commit has shown it."""
        self.rate = usual
        self._learnt = False

    def learn(self, size: int, seconds: float) -> None:
        if size < TELLING:
            return
        seen = size / max(seconds, 0.001)
        self.rate = self.rate + NEWEST * (seen - self.rate) if self._learnt else seen
        self._learnt = True


class Saving:
    """One commit; the block is left well when the files are in the library."""

    def __init__(self, run: Run, pace: Pace, tell: Callable[[Task, Progress], None]) -> None:
        self._run = run
        self._pace = pace
        self._tell = tell
        self._size = run.task.fetched.size if run.task.fetched else 0
        self._began = _now()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._pace.learn(self._size, _now() - self._began)

    def again(self) -> None:
        """Its bytes begin to go in, or do so anew."""
        self._report(0)

    def saved(self, count: int) -> None:
        """ports.Saved."""
        self._report(min(self._run.progress.saved + count, self._size))

    def _report(self, saved: int) -> None:
        speed = round(saved / max(_now() - self._began, 0.001))
        self._run.progress = replace(self._run.progress, saved=saved, speed=speed, saving=speed or self._pace.rate)
        self._tell(self._run.task, self._run.progress)


def _now() -> float:
    return asyncio.get_running_loop().time()
