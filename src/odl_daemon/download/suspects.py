"""Remembers who was there when aria2 crashed, and says who has to go on alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from odl_daemon.download.transfer import Part, Transfer

BLAMED: Final = 2
"""After so many crashes that it is to blame for, a task goes on alone."""

PRESENT: Final = 20
"""After so many crashes, blamed or not: what was there each time is the cause, or needs to be kept from it."""

REMEMBERED: Final = 4096
"""Tasks; who was not heard of for the longest time is forgotten first."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one task."""

    blamed: int = 0
    present: int = 0
    most: int = 0
    """Bytes that were here when an aria2 died, at most."""

    @property
    def suspect(self) -> bool:
        return bool(self.blamed)

    @property
    def alone(self) -> bool:
        """It must not run with others again."""
        return self.blamed >= BLAMED or self.present >= PRESENT


class Suspects:
    """The records of tasks; a task's next attempt, and its retry by its user, find it again."""

    def __init__(self) -> None:
        self._records: OrderedDict[int, Record] = OrderedDict()

    def record(self, task_id: int) -> Record:
        return self._records.get(task_id, Record())

    def note(self, task_id: int, transfer: Transfer) -> Record:
        """Takes down the death of the aria2 that had this transfer."""
        before = self.record(task_id)
        record = replace(
            before,
            blamed=before.blamed + (transfer.part is Part.BLAMED),
            present=before.present + (transfer.part in (Part.BLAMED, Part.PRESENT)),
            most=max(before.most, transfer.done),
        )
        self._records[task_id] = record
        self._records.move_to_end(task_id)
        if len(self._records) > REMEMBERED:
            self._records.popitem(last=False)
        return record

    def clear(self, task_id: int) -> None:
        """The task's file is here: it was innocent, or nothing of it matters any longer."""
        self._records.pop(task_id, None)
