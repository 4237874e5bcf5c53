"""The laws: what must be true at every write, and what must be true when all has calmed down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from odl_daemon.model.lifecycle import SHOWN_AS, STEPS
from odl_daemon.model.task import Phase, Task, Wish
from tests.simulation.daemon import Daemon, Surroundings
from tests.simulation.memory_scratch import Disk
from tests.simulation.process import Process

_WAYS = {(phase, after) for (phase, _), after in STEPS.items()} | {(phase, phase) for phase in Phase}
_PROOF_LASTS = 5.0
"""Seconds; so long after the table has confirmed the lease a commit may begin: a pulse, and a reply that was lost."""


@dataclass(slots=True)
class Record:
    """What is known of one request, from its adoption to the end of its side row or to its renewal."""

    ends: list[Phase] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    wish: Wish | None = None
    """The last one that the table took."""
    wished_at: float = 0.0
    wished_in: Phase | None = None
    revived: bool = False
    """It was revived since that wish."""
    proof: float = -1.0
    """When its holder saved it last."""
    excused: bool = False
    """A commit that was begun in time landed after its lease was lost."""


class Checker:
    """Looks on, and breaks the run at the first broken law."""

    def __init__(self, around: Surroundings, disks: dict[str, Disk]) -> None:
        self._around = around
        self._world = around.world
        self._table = around.table
        self._disks = disks
        self._records: dict[int, Record] = defaultdict(Record)
        self.upon: list[tuple[Phase, float, Callable[[], None]]] = []
        """What shall happen when a task enters a phase, and how many seconds later."""
        self._calm = True
        """Nothing but users and sources has disturbed this schedule."""
        self._slack = 1.0
        """Seconds that a time limit may be overrun: what a crash makes us forget, what a frozen daemon cannot stop."""
        around.table.watch = self._write
        around.shelves.wrote = self._file
        around.shelves.began = self._commit_begins

    def disturbed(self, seconds: float) -> None:
        """Something goes wrong for so long."""
        self._calm = False
        self._slack += seconds + 3.0

    # --- at every write of a side row

    def _write(self, before: Task | None, after: Task | None, by: str) -> None:
        task = after or before
        assert task is not None
        if by != "pulse" and self._world.telling:
            self._world.tell("table", _line(before, after, by))
        if after is None:
            del self._records[task.id]
        elif before is None or (by == "adopt" and (not before.final or before.mark != after.mark)):
            self._records[task.id] = Record()
            self._around.times.forget(task.id)
        else:
            self._change(before, after, by, self._records[task.id])
        if after is not None and (before is None or before.phase is not after.phase):
            self._entered(after.phase)
        if after is not None and after.phase.held != bool(after.holder):
            self._law(after, f"{after.phase} with holder {after.holder!r}")

    def _entered(self, phase: Phase) -> None:
        for aimed in [aimed for aimed in self.upon if aimed[0] is phase]:
            self.upon.remove(aimed)
            self._world.after(aimed[1], aimed[2])

    def _change(self, before: Task, after: Task, by: str, record: Record) -> None:
        renewed = by == "adopt"
        if not renewed and (before.phase, after.phase) not in _WAYS:
            self._law(after, f"went from {before.phase} to {after.phase}")
        if after.epoch < before.epoch or (by == "save" and after.epoch != before.epoch):
            self._law(after, f"epoch {before.epoch} was overwritten by {after.epoch}")
        if by in ("claim", "settle", "restore", "reap", "adopt") and after.epoch == before.epoch:
            self._law(after, f"{by} did not raise the epoch")
        if by == "wish":
            record.wish, record.wished_at, record.wished_in = after.wish, self._world.now, after.phase
            record.revived = False
        if by in ("save", "pulse"):
            record.proof = self._world.now
        if by == "claim":
            self._claimed(after, record)
        if after.attempt > 60:
            self._law(after, f"attempt {after.attempt}")
        self._ends(before, after, renewed, record)

    def _claimed(self, task: Task, record: Record) -> None:
        if record.wish in (Wish.CANCEL, Wish.PAUSE):
            self._law(task, f"claimed although somebody was told that it will {record.wish}")

    def _ends(self, before: Task, after: Task, renewed: bool, record: Record) -> None:
        if before.final and (not after.final or renewed):
            if renewed:
                self._records[after.id] = Record(ends=[after.phase] if after.final else [])
            else:
                record.ends, record.wish, record.revived = [], None, True
            self._around.times.forget(after.id)
        elif after.attempt == 1 and after.spent == 0 and before.phase is after.phase is Phase.WAITING:
            record.revived = True
            if before.spent:
                self._around.times.forget(after.id)
            if before.wish is Wish.RETRY and after.wish is None:
                record.wish = None
        elif after.phase is not before.phase and after.final:
            record.ends.append(after.phase)
            if len(record.ends) > 1:
                self._law(after, f"ended more than once: {', '.join(record.ends)}")
        elif before.phase is Phase.PAUSED and after.phase is Phase.WAITING:
            record.wish = None

    # --- at every file

    def _commit_begins(self, task: Task, process: Process) -> None:
        record = self._records[task.id]
        proven = max(record.proof, process.last_frozen, self._around.weather.away_until)
        side = self._table.sides.get(task.id)
        stale = side is None or side.task.epoch != task.epoch
        if stale and self._world.now - proven > _PROOF_LASTS:
            self._law(task, "a commit began long after its lease was lost")

    def _file(self, task: Task, path: str) -> None:
        side, record = self._table.sides.get(task.id), self._records[task.id]
        self._world.tell("library", f"task {task.id}: {path} written by epoch {task.epoch}")
        record.files.append(path)
        record.excused |= side is not None and side.task.epoch != task.epoch
        if side is None or side.task.mark != task.mark:
            return  # the request is gone, or another one: this file belongs to the old one
        if len(record.files) > 1:
            self._law(task, f"two files in the library: {', '.join(record.files)}")

    # --- when all has calmed down

    def settled(self) -> bool:
        """Every task has ended, or is paused, and nobody wishes anything."""
        return all(self._is_settled(task_id) for task_id in self._table.shared)

    def _is_settled(self, task_id: int) -> bool:
        side, row = self._table.sides.get(task_id), self._table.shared[task_id]
        if side is None or not self._table.is_ours(task_id):
            return False
        if row.status == 1:
            return False
        return (side.task.final or side.task.phase is Phase.PAUSED) and side.task.wish is None

    def clean(self) -> bool:
        """No folder of a task that has ended lies about."""
        return not any(self._useless(task_id) for disk in self._disks.values() for task_id in disk.folders)

    def _useless(self, task_id: int) -> bool:
        side = self._table.sides.get(task_id)
        return side is None or task_id not in self._table.shared or side.task.final

    def at_the_end(self) -> None:
        """Everything that must hold when nothing happens any longer."""
        for task_id in self._table.shared:
            if not self._is_settled(task_id):
                side = self._table.sides.get(task_id)
                self._world.break_law(f"task {task_id} is lost: {_short(side.task) if side else 'no side row'}")
            else:
                self._check_end(self._table.sides[task_id].task)
        for host, disk in self._disks.items():
            left = [task_id for task_id in disk.folders if self._useless(task_id)]
            if left:
                self._world.break_law(f"{host}: folders of ended tasks were left: {left}")

    def _check_end(self, task: Task) -> None:
        record, row = self._records[task.id], self._table.shared[task.id]
        if row.status != SHOWN_AS[task.phase]:
            self._law(task, f"is {task.phase} and shows status {row.status}")
        if task.phase is Phase.DONE:
            self._check_file(task)
        elif record.files and not record.excused and not self._ambiguous(task):
            self._law(task, f"is {task.phase}, and its file {record.files[0]} is in the library")
        self._check_wish(task, record)
        self._check_time(task)

    def _check_file(self, task: Task) -> None:
        row = self._table.shared[task.id]
        file = self._around.shelves.files.get(row.path)
        if file is None or file.content != task.url:
            self._law(task, f"is done, but {row.path} is {'missing' if file is None else 'not its file'}")
        elif file.size != row.size or not task.sha256:
            self._law(task, f"shows size {row.size}, the file has {file.size}")

    def _ambiguous(self, task: Task) -> bool:
        """A commit of it said that it failed and had written: nobody could know."""
        source = self._around.sources.get(task.url)
        return source is not None and source.ambiguous

    def _check_wish(self, task: Task, record: Record) -> None:
        match record.wish:
            case Wish.PAUSE if task.phase is not Phase.PAUSED and not task.final:
                self._law(task, "a pause was lost")
            case Wish.CANCEL if not task.final:
                self._law(task, "a cancel was lost")
            case Wish.RESUME if task.phase is Phase.PAUSED:
                self._law(task, "a resume was lost")
            case Wish.RETRY if not record.revived:
                self._law(task, "a retry was lost")
            case _:
                return

    def _check_time(self, task: Task) -> None:
        spent, limit = self._around.times.spent.get(task.id, 0.0), self._around.settings.time_limit
        if spent > limit + self._slack:
            self._law(task, f"was fetched for {spent:.1f} s, {limit:.1f} s are allowed")

    def _law(self, task: Task, sentence: str) -> None:
        self._world.break_law(f"task {task.id}: {sentence}")


def _line(before: Task | None, after: Task | None, by: str) -> str:
    if after is None:
        return f"{by}: task {before.id if before else '?'} forgotten"
    was = f"{before.phase} -> " if before is not None and before.phase is not after.phase else ""
    return f"{by}: task {after.id}: {was}{_short(after)}"


def _short(task: Task) -> str:
    wish = f", wish {task.wish}" if task.wish else ""
    holder = f" of {task.holder}" if task.holder else ""
    comment = f" ({task.comment})" if task.comment else ""
    return f"{task.phase}{holder}, epoch {task.epoch}, attempt {task.attempt}, spent {task.spent:.1f}{wish}{comment}"


def no_task_is_left(daemon: Daemon) -> str:
    """The asyncio tasks that a stopped daemon left behind, or ""."""
    return ", ".join(daemon.process.loop.names())
