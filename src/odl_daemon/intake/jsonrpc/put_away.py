"""Ended tasks that a user has cleared from his aria2 clients' lists; the tasks themselves are history, and stay."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from odl_daemon.model.task import Task

MOST_OWNERS: Final = 1000
MOST_TASKS: Final = 1000
"""That are cleared one by one, of each owner. What is beyond comes back into the list, as all does when the daemon
starts anew."""


class PutAway:
    """Remembers what is not shown any longer. A task that ends once more is shown once more."""

    def __init__(self) -> None:
        self._owners: dict[str, _Cleared] = {}

    def hides(self, task: Task) -> bool:
        cleared = self._owners.get(task.owner)
        return task.final and cleared is not None and cleared.has(task)

    def of(self, owner: str) -> bool:
        """Whether anything of this owner may be hidden."""
        return owner in self._owners

    def one(self, task: Task) -> None:
        """Hides one task."""
        self._of(task.owner).add(task)

    def all(self, owner: str, tasks: Iterable[Task]) -> None:
        """Hides these tasks, and with them whatever ended before the last of them."""
        last = max((task.changed for task in tasks), default=None)
        if last is not None:
            self._of(owner).until = last

    def _of(self, owner: str) -> _Cleared:
        cleared = self._owners.pop(owner, None) or _Cleared()
        self._owners[owner] = cleared  # the last one now
        if len(self._owners) > MOST_OWNERS:
            del self._owners[next(iter(self._owners))]
        return cleared


class _Cleared:
    """What one owner has cleared."""

    def __init__(self) -> None:
        self.until: datetime | None = None
        self._single: dict[int, datetime] = {}
        """When these tasks ended."""

    def has(self, task: Task) -> bool:
        return (self.until is not None and task.changed <= self.until) or self._single.get(task.id) == task.changed

    def add(self, task: Task) -> None:
        self._single[task.id] = task.changed
        if len(self._single) > MOST_TASKS:
            del self._single[next(iter(self._single))]
