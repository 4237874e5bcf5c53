"""A user's own tasks, by their GIDs and in aria2's lists; those of others are not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from odl_daemon.engine.desk import Desk
from odl_daemon.intake.jsonrpc import gids
from odl_daemon.intake.jsonrpc.protocol import FAILED, Fault
from odl_daemon.intake.jsonrpc.put_away import PutAway
from odl_daemon.model.task import Phase, Task
from odl_daemon.ports import Filter

T = TypeVar("T")

MOST_LISTED: Final = 1000
"""Tasks in a list, the newest: as many results as aria2 keeps (max-download-result)."""

ACTIVE: Final = frozenset({Phase.QUEUED, Phase.FETCHING, Phase.COMMITTING})
WAITING: Final = frozenset({Phase.WAITING, Phase.PAUSED})
STOPPED: Final = frozenset({Phase.DONE, Phase.FAILED, Phase.EXPIRED, Phase.CANCELLED})

_EVERY: Final = ACTIVE | WAITING | STOPPED
"""All but rows with a status that is none of ours: they are left alone."""


class OwnTasks:
    """Finds and lists; an ended task that its user has put away is not found any longer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._put_away = PutAway()

    async def find(self, owner: str, text: str) -> Task:
        """The task with this GID, or with the only one that begins so. Raises Fault."""
        gid = gids.read(text)
        found = [task for task in await self._named(owner, gid) if not self._put_away.hides(task)]
        if not found:
            raise gids.not_found(gid)
        if len(found) > 1:
            raise Fault(FAILED, f"GID {gid} is not unique")
        return found[0]

    async def active(self, owner: str) -> list[Task]:
        """The oldest first."""
        return await self._list(owner, ACTIVE)

    async def waiting(self, owner: str) -> list[Task]:
        """As they stand in line."""
        return sorted(await self._list(owner, WAITING), key=_place_in_line)

    async def stopped(self, owner: str) -> list[Task]:
        """In the order in which they ended."""
        tasks = [task for task in await self._list(owner, STOPPED) if not self._put_away.hides(task)]
        return sorted(tasks, key=lambda task: task.changed)

    async def counts(self, owner: str) -> Counts:
        phases = (await self._desk.counts(owner)).get(owner, {})
        ended = _sum(phases, STOPPED)
        listed = len(await self.stopped(owner)) if self._put_away.of(owner) else min(ended, MOST_LISTED)
        return Counts(_sum(phases, ACTIVE), _sum(phases, WAITING), listed, ended)

    def put_away(self, task: Task) -> None:
        """Shows an ended task no longer."""
        self._put_away.one(task)

    async def put_all_away(self, owner: str) -> None:
        """Shows nothing that has ended so far any longer."""
        self._put_away.all(owner, await self.stopped(owner))

    async def _named(self, owner: str, gid: str) -> list[Task]:
        if len(gid) < gids.DIGITS:
            tasks = await self._desk.tasks(Filter(owner=owner, phases=_EVERY), MOST_LISTED)
            return [task for task in tasks if gids.gid_of(task.id).startswith(gid)]
        task_id = gids.id_of(gid)
        if task_id is None:
            return []
        return await self._desk.tasks(Filter(owner=owner, phases=_EVERY, ids=(task_id,)), 1)

    async def _list(self, owner: str, phases: frozenset[Phase]) -> list[Task]:
        newest = await self._desk.tasks(Filter(owner=owner, phases=phases), MOST_LISTED)
        return newest[::-1]


class Counts(NamedTuple):
    """How many tasks a user has in each list."""

    active: int
    waiting: int
    stopped: int
    """That are listed."""
    ended: int
    """That there are."""


def part(tasks: Sequence[T], offset: int, amount: int) -> Sequence[T]:
    """So many from there on; a negative offset counts from the end, and goes on towards the beginning."""
    if offset >= 0:
        return tasks[offset : offset + amount]
    return tasks[::-1][-offset - 1 :][:amount] if -offset <= len(tasks) else []


def _place_in_line(task: Task) -> tuple[int, int, int]:
    """Interrupted work comes first, then what is fresh, then what is tried again later."""
    return (task.due > 0) - (task.due < 0), task.due, task.id


def _sum(phases: Mapping[Phase, int], some: Iterable[Phase]) -> int:
    return sum(phases.get(phase, 0) for phase in some)
