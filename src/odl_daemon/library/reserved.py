"""Places in the library that are chosen but not yet written, so that no two tasks of this process choose one."""

from __future__ import annotations

MOST = 1000
"""Places that are remembered; beyond, the oldest is forgotten. That costs its task another plan, no more: a commit
never replaces anything."""


class Reserved:
    """One place for each task, at most. Not for several threads at once: the caller holds a lock."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._place_of: dict[int, str] = {}
        self._owner_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._place_of)

    def by_others(self, task_id: int, place: str) -> bool:
        """Whether another task is about to write there."""
        return self._owner_of.get(place, task_id) != task_id

    def take(self, task_id: int, place: str) -> None:
        """Reserves a place that is not reserved by others, and lets go of the task's earlier one."""
        self.release(task_id)
        self._place_of[task_id] = place
        self._owner_of[place] = task_id
        if len(self._place_of) > self._most:
            self.release(next(iter(self._place_of)))

    def release(self, task_id: int) -> None:
        """The task has written, or chooses anew."""
        place = self._place_of.pop(task_id, None)
        if place is not None:
            del self._owner_of[place]
