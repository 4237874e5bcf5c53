"""The two tables in memory: what the real store keeps in a database, each operation at one moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from odl_daemon.model.lifecycle import CUT_OFF, READ_AS, SHOWN_AS, Event, advance
from odl_daemon.model.patience import micros
from odl_daemon.model.policy import Turn, fair_turns
from odl_daemon.model.shares import NO_LIMITS, Shares, Used
from odl_daemon.model.task import Phase, Status, Task, Wish
from odl_daemon.ports import Beat, Filter, Held, LeaseLost, Request, Row, Taken

GRACE = 2.0
"""Seconds that a lease is over before somebody else takes the task."""

Watch = Callable[[Task | None, Task | None, str], None]
"""Told of every write of a side row: what stood there, what stands there now, and what was asked."""


@dataclass(slots=True)
class Shared:
    """A row of the table that others read and write, too."""

    id: int
    library: str
    path: str
    url: str
    owner: str
    stamp: str
    status: int = 1
    comment: str = ""
    size: int = 0

    @property
    def mark(self) -> str:
        return f"{self.url}\0{self.owner}\0{self.stamp}"


@dataclass(slots=True)
class Side:
    """Our own row beside it."""

    task: Task
    lease_until: float = 0.0


class Table:
    """The truth. `now` is the database's clock."""

    def __init__(
        self, now: Callable[[], float], *, lease: float, watch: Watch = lambda before, after, by: None
    ) -> None:
        self._now = now
        self._lease = lease
        self.watch = watch
        self.shared: dict[int, Shared] = {}
        self.sides: dict[int, Side] = {}
        self.locks: dict[str, tuple[int, int]] = {}
        """Whose claim has a lock: id and epoch."""
        self.taken: dict[str, Taken] = {}
        """What each user has handed over and fetched; the simulation is shorter than a day."""
        self.last_id = 0

    # --- what others do to the shared table

    def insert(self, owner: str, url: str, *, path: str = "/", status: int = 1, stamp: str = "0000-00-00") -> int:
        self.last_id += 1
        self.shared[self.last_id] = Shared(self.last_id, "default", path, url, owner, stamp, status)
        return self.last_id

    def delete(self, task_id: int) -> None:
        self.shared.pop(task_id, None)

    def rewrite(self, task_id: int, url: str) -> None:
        """Somebody puts another request into the row."""
        row = self.shared[task_id]
        row.url, row.status, row.comment = url, 1, ""

    # --- locks

    def lock(self, name: str, task: Task) -> bool:
        owner = self.locks.get(name)
        if owner not in (None, (task.id, task.epoch)) and self._is_alive(owner):
            return False
        self.locks[name] = (task.id, task.epoch)
        return True

    def unlock(self, name: str, task: Task) -> None:
        if self.locks.get(name) == (task.id, task.epoch):
            del self.locks[name]

    def _is_alive(self, claim: tuple[int, int]) -> bool:
        task_id, epoch = claim
        side = self.sides.get(task_id)
        if side is None or side.task.epoch != epoch:
            return False
        return bool(side.task.holder) and side.lease_until > self._now()

    # --- for the doors

    def add(self, requests: Sequence[Request], at: datetime) -> list[Task]:
        return [self._add(request, at) for request in requests]

    def _add(self, request: Request, at: datetime) -> Task:
        stamp = at.astimezone(UTC).isoformat()
        task_id = self.insert(request.owner, request.url, path=request.path, stamp=stamp)
        row = self.shared[task_id]
        row.library = request.library
        task = Task(
            task_id, request.owner, request.library, request.path, request.url, created=at, changed=at,
            kind=request.kind, target=request.path, name=request.name, epoch=1, mark=row.mark,
        )  # fmt: skip
        if request.paused:
            task = advance(task, Event.PAUSED, at=at, comment=str(Event.PAUSED))
        self._write(task, "add")
        return task

    def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        ids = sorted(which.ids or self.shared, reverse=True)
        found = (self.task_of(task_id) for task_id in ids if task_id in self.shared and _is_before(task_id, before))
        return [task for task in found if self._chosen(task, which)][:limit]

    def count(self, which: Filter) -> int:
        return len(self.tasks(which, len(self.shared)))

    def _chosen(self, task: Task, which: Filter) -> bool:
        return (
            (not which.owner or task.owner == which.owner)
            and (not which.phases or task.phase in which.phases)
            and (not which.statuses or self.shared[task.id].status in which.statuses)
        )

    def ahead_of(self, task: Task, now: datetime) -> int:
        waiting = [side.task for side in self.sides.values() if side.task.phase is Phase.WAITING]
        mine = [one for one in waiting if one.owner == task.owner and one.due <= micros(now)]
        return sum(1 for one in mine if (one.due, one.id) < (task.due, task.id))

    def wish(self, ids: Sequence[int], wish: Wish, phases: Collection[Phase]) -> list[int]:
        able = [i for i in ids if i in self.sides and i in self.shared and self.sides[i].task.phase in phases]
        for task_id in able:
            task = self.sides[task_id].task
            epoch = task.epoch if task.holder else task.epoch + 1  # whoever settles an older wish must see this one
            self._put(replace(task, wish=wish, epoch=epoch), "wish")
        return able

    def wish_all(self, which: Filter, wish: Wish) -> int:
        ids = [
            side.task.id
            for side in self.sides.values()
            if (not which.phases or side.task.phase in which.phases) and which.owner in ("", side.task.owner)
        ]
        return len(self.wish(ids, wish, frozenset(Phase)))

    def strangers(self, above: int, statuses: Collection[Status], limit: int) -> list[Row]:
        found = []
        for task_id in sorted(self.shared):
            row = self.shared[task_id]
            if task_id > above and row.status in statuses and self._has_no_living_task(row):
                found.append(self._stranger(row))
        return found[:limit]

    def _has_no_living_task(self, row: Shared) -> bool:
        """A paused row that shows WAITING was written anew by somebody else."""
        side = self.sides.get(row.id)
        return side is None or side.task.final or (side.task.phase is Phase.PAUSED and row.status == Status.WAITING)

    def _stranger(self, row: Shared) -> Row:
        before = self.task_of(row.id) if self.is_ours(row.id) else None
        return Row(
            row.id, row.owner, row.library, row.path, row.url, _status(row.status), row.comment, row.mark, before
        )

    def adopt(self, tasks: Sequence[Task]) -> list[int]:
        adopted: list[int] = []
        for task in tasks:
            row, side = self.shared.get(task.id), self.sides.get(task.id)
            living = side is not None and self.is_ours(task.id) and not side.task.final
            if row is not None and not living and row.status in (1, 2, 3) and row.mark == task.mark:
                self._write(task, "adopt")
                adopted.append(task.id)
        return adopted

    def forget_deleted(self, limit: int) -> list[int]:
        gone = [i for i, side in self.sides.items() if i not in self.shared and not side.task.holder][:limit]
        for task_id in gone:
            self._drop(task_id, "forget_deleted")
        return gone

    # --- for the dispatcher

    def used(self, owners: Sequence[str]) -> dict[str, Used]:
        tasks = [side.task for side in self.sides.values()]
        return {owner: self._used(owner, [task for task in tasks if task.owner == owner]) for owner in owners}

    def _used(self, owner: str, tasks: Sequence[Task]) -> Used:
        taken = self.taken.get(owner, Taken())
        return Used(
            running=sum(task.phase.held for task in tasks),
            queued=sum(task.phase in (Phase.WAITING, Phase.PAUSED) for task in tasks),
            tasks=taken.tasks,
            hours=((0, taken.bytes),) if taken.bytes else (),
        )

    def charge(self, taken: Mapping[str, Taken]) -> None:
        for owner, more in taken.items():
            before = self.taken.get(owner, Taken())
            self.taken[owner] = Taken(before.tasks + more.tasks, before.bytes + more.bytes)

    def claim(
        self,
        holder: str,
        limit: int,
        running: Mapping[str, int],
        at: datetime,
        *,
        shares: Shares = NO_LIMITS,
        fresh: bool = True,
    ) -> list[Task]:
        waiting: dict[str, list[Turn]] = {}
        for side in self.sides.values():
            task = side.task
            due = task.due <= micros(at) and (fresh or task.due)
            if task.phase is Phase.WAITING and task.wish is None and due:
                waiting.setdefault(task.owner, []).append(Turn(task.id, task.owner, task.due))
        for turns in waiting.values():
            turns.sort(key=lambda turn: ((turn.due >= 0) + (turn.due == 0), turn.due, turn.id))
        for owner, turns in waiting.items():
            used = self.used([owner])[owner]
            del turns[shares.may_begin(owner, used.running, used.bytes) :]
        chosen = fair_turns(waiting, running, limit)
        return [self._claim(task.id, holder, at) for task in chosen if self._still_waits(task.id)]

    def _still_waits(self, task_id: int) -> bool:
        row = self.shared.get(task_id)
        waits = row is not None and row.status == Status.WAITING and self.is_ours(task_id)
        if not waits:
            self._drop(task_id, "claim")
        return waits

    def _claim(self, task_id: int, holder: str, at: datetime) -> Task:
        task = self.task_of(task_id)
        return self._write(advance(task, Event.CLAIMED, at=at, holder=holder, epoch=task.epoch + 1), "claim")

    def pulse(self, holder: str, beats: Sequence[Beat]) -> list[Held]:
        for beat in beats:
            side = self.sides.get(beat.id)
            if side is not None and side.task.epoch == beat.epoch:
                progress = replace(beat.progress, speed=0)
                self._put(replace(side.task, progress=progress, spent=self.kept_spent(side.task, beat.spent)), "pulse")
        return [self._held(side) for side in self.sides.values() if side.task.holder == holder]

    def kept_spent(self, before: Task, spent: float) -> float:
        return spent

    def _held(self, side: Side) -> Held:
        side.lease_until = self._now() + self._lease
        task = side.task
        return Held(task.id, task.epoch, task.wish, not self.is_ours(task.id))

    def restore(self, holder: str, at: datetime) -> int:
        return self._give_back([s.task for s in self.sides.values() if s.task.holder == holder], at, "restore")

    def reap(self, at: datetime) -> int:
        over = self._now() - GRACE
        return self._give_back(
            [s.task for s in self.sides.values() if s.task.phase.held and s.lease_until < over], at, "reap"
        )

    def _give_back(self, tasks: Sequence[Task], at: datetime, by: str) -> int:
        for task in tasks:
            freed = advance(task, Event.ABANDONED, at=at, epoch=task.epoch + 1, comment="", wish=task.wish)
            if task.phase is Phase.COMMITTING:
                freed = replace(freed, due=CUT_OFF)
            self._write(freed, by)
        return len(tasks)

    def wished(self, limit: int) -> list[Task]:
        free = [s.task.id for s in self.sides.values() if s.task.wish is not None and not s.task.holder]
        for task_id in free:
            if task_id in self.shared and not self.is_ours(task_id):
                self._drop(task_id, "wished")  # the wish was for the request that stood there before
        return [self.task_of(task_id) for task_id in sorted(free) if self.is_ours(task_id)][:limit]

    def next_due(self, at: datetime) -> datetime | None:
        later = [s.task.due for s in self.sides.values() if s.task.phase is Phase.WAITING and s.task.due > micros(at)]
        return datetime.fromtimestamp(min(later) / 1e6, tz=UTC) if later else None

    def settle(self, tasks: Sequence[Task]) -> list[int]:
        saved = []
        for task in tasks:
            side = self.sides.get(task.id)
            if side is not None and self.is_ours(task.id) and not side.task.holder and side.task.epoch == task.epoch:
                self._write(replace(task, epoch=task.epoch + 1), "settle")
                saved.append(task.id)
        return saved

    # --- for the worker

    def save(self, task: Task) -> None:
        side = self.sides.get(task.id)
        if side is not None and not self.is_ours(task.id) and self.may_save(side.task, task):
            self._let_go_of_a_stranger(task.id)
            side = None
        if side is None or not self.may_save(side.task, task):
            raise LeaseLost(f"task {task.id} is not ours any longer")
        self._write(replace(task, wish=self.kept_wish(side.task, task)), "save")

    def _let_go_of_a_stranger(self, task_id: int) -> None:
        """The row is gone, or holds another request, which waits: its end is not ours to tell."""
        self._drop(task_id, "save")
        if task_id in self.shared:
            self.shared[task_id].status, self.shared[task_id].comment = int(Status.WAITING), ""

    def may_save(self, before: Task, after: Task) -> bool:
        return before.epoch == after.epoch

    def kept_wish(self, before: Task, after: Task) -> Wish | None:
        """A wish belongs to whoever wishes, until it is settled: an end settles it, and so does the step that it
        asked for. One that came too late for its holder waits for whoever looks next."""
        if after.final or (after.phase is Phase.PAUSED and before.wish is Wish.PAUSE):
            return None
        return before.wish

    # --- rows

    def is_ours(self, task_id: int) -> bool:
        """Whether the side row was made from what the shared row says today."""
        row, side = self.shared.get(task_id), self.sides.get(task_id)
        return row is not None and side is not None and row.mark == side.task.mark

    def task_of(self, task_id: int) -> Task:
        row = self.shared[task_id]
        if not self.is_ours(task_id):
            return _task_of_a_stranger(row)
        task = self.sides[task_id].task
        return task if task.comment == row.comment else replace(task, comment=row.comment)

    def _write(self, task: Task, by: str) -> Task:
        self._put(task, by)
        self.sides[task.id].lease_until = self._now() + self._lease if task.phase.held else 0.0
        row = self.shared.get(task.id)
        if row is not None:
            row.status, row.comment = int(SHOWN_AS[task.phase]), task.comment
            if task.phase is Phase.DONE:
                row.path, row.size = task.path, task.size
        return task

    def _put(self, task: Task, by: str) -> None:
        side = self.sides.get(task.id)
        before = side.task if side else None
        if side is None:
            self.sides[task.id] = Side(task)
        else:
            side.task = task
        self.watch(before, task, by)

    def _drop(self, task_id: int, by: str) -> None:
        side = self.sides.pop(task_id, None)
        if side is not None:
            self.watch(side.task, None, by)


def _is_before(task_id: int, before: int | None) -> bool:
    return before is None or task_id < before


def _status(number: int) -> Status:
    return Status(number) if 0 <= number <= max(Status) else Status.UNKNOWN


def _task_of_a_stranger(row: Shared) -> Task:
    then = datetime.fromtimestamp(0, tz=UTC)
    return Task(
        row.id, row.owner, row.library, row.path, row.url, created=then, changed=then,
        phase=READ_AS[_status(row.status)], target=row.path, comment=row.comment,
    )  # fmt: skip
