"""A desk without a queue behind it: it writes down what it is asked, and answers from a list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, cast

from odl_daemon.engine.desk import Answer, Desk, Limit, NoTask, Refusal
from odl_daemon.engine.keyring import Keyring
from odl_daemon.model.lifecycle import GRANTED_BY, SHOWN_AS, advance, grants
from odl_daemon.model.task import Phase, Task, Wish
from odl_daemon.model.waiting import Wait
from odl_daemon.ports import Filter, Request

NOON = datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=UTC)

KEYLESS = Keyring(cast(Any, None), lambda: NOON)
"""For desks that nobody asks for a key."""


class PaperDesk:
    """As much of engine.desk.Desk as a door may use."""

    def __init__(self) -> None:
        self.book: dict[int, Task] = {}
        self.breaks: Exception | None = None
        self.obliging = False
        """Whether a wish comes true in the moment that it is granted."""
        self.waiting: Wait | None = None
        """What everything that waits waits for."""
        self.of_users: list[Limit] = []
        self.refuses = ""
        """Why nothing more is taken, or ""."""
        self._ids = count(1)

    @property
    def as_desk(self) -> Desk:
        return cast(Desk, self)

    def write(self, url: str = "http://example.org/a.bin", **changes: object) -> Task:
        """A task as the queue would have it."""
        task = Task(next(self._ids), "local", "default", "/", url, NOON, NOON)
        self.book[task.id] = replace(task, **changes)  # type: ignore[arg-type]  # single fields by name
        return self.book[task.id]

    def change(self, task_id: int, **changes: object) -> None:
        self.book[task_id] = replace(self.book[task_id], **changes)  # type: ignore[arg-type]  # as above

    async def submit(self, requests: Sequence[Request]) -> list[Task | Refusal]:
        self._break()
        return [
            Refusal(self.refuses)
            if self.refuses
            else self.write(each.url, owner=each.owner, library=each.library, path=each.path, name=each.name)
            for each in requests
        ]

    async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        self._break()
        newest = sorted(self.book.values(), key=lambda task: -task.id)
        return [task for task in newest if _asked(task, which) and (before is None or task.id < before)][:limit]

    async def wish(self, ids: Sequence[int], wish: Wish) -> list[Answer]:
        self._break()
        return [self._answer(each, wish) for each in ids]

    async def retry_failed(self, owner: str = "") -> int:
        self._break()
        ended = (Phase.FAILED, Phase.EXPIRED)
        return sum(task.phase in ended and owner in ("", task.owner) for task in self.book.values())

    async def waits(self, tasks: Sequence[Task]) -> dict[int, Wait]:
        return {task.id: self.waiting for task in tasks if self.waiting and task.phase is Phase.WAITING}

    async def limits(self, owner: str = "") -> list[Limit]:
        return [limit for limit in self.of_users if owner in ("", limit.owner)]

    async def moved(self, since: int, seconds: float) -> int:
        await asyncio.sleep(0.01)  # as if something moved all the time
        return since + 1

    async def why(self, task_id: int) -> str:
        self._break()
        if task_id not in self.book:
            raise NoTask(f"no task {task_id}")
        return "all transfer slots are busy"

    def _answer(self, task_id: int, wish: Wish) -> Answer:
        task = self.book.get(task_id)
        if task is None:
            return Answer(task_id, False, f"no task {task_id}")
        if not grants(task.phase, wish):
            return Answer(task_id, False, f"task {task_id} is {task.phase}")
        self.change(task_id, wish=wish)
        if self.obliging:
            self.book[task_id] = advance(self.book[task_id], GRANTED_BY[wish], at=NOON)
        return Answer(task_id, True, f"will {wish}")

    def _break(self) -> None:
        if self.breaks is not None:
            raise self.breaks


def _asked(task: Task, which: Filter) -> bool:
    return (
        which.owner in ("", task.owner)
        and (not which.phases or task.phase in which.phases)
        and (not which.statuses or SHOWN_AS[task.phase] in which.statuses)
        and (not which.ids or task.id in which.ids)
    )
