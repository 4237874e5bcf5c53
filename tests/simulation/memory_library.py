"""The library in memory: commits take time, fail before or after they wrote, and may land late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from odl_daemon.engine.worker import PLANNED_AT_ONCE
from odl_daemon.model.names import free_name, safe_name
from odl_daemon.model.task import Fetched, Intent, Placement, Reason, Task
from odl_daemon.ports import NameTaken, Remedy, Saved, Trouble, unheard
from tests.simulation.memory_scratch import Disk
from tests.simulation.process import Line, Process
from tests.simulation.sources import Source, trouble
from tests.simulation.world import World

COMMITS = 2
"""Large files that may be on their way into the library at once."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that users see."""

    content: str
    size: int
    writer: int
    """The task that wrote it; 0 = a user."""


@dataclass(slots=True)
class Shelves:
    """Everything that lies in the libraries, and who is about to change it."""

    world: World
    files: dict[str, File] = field(default_factory=dict)
    wrote: Callable[[Task, str], None] = lambda task, path: None
    began: Callable[[Task, Process], None] = lambda task, process: None

    def put(self, path: str, content: str, size: int) -> None:
        """Somebody else's file."""
        self.files.setdefault(path, File(content, size, 0))


class MemoryLibrary:
    """ports.Library of one process."""

    def __init__(
        self, shelves: Shelves, process: Process, disk: Disk, sources: dict[str, Source], *, remote: bool
    ) -> None:
        self._shelves = shelves
        self._process = process
        self._disk = disk
        self._sources = sources
        self._remote = remote
        self._line = Line(process, local=True)
        self._writing = Line(process, local=not remote)
        """A server writes on while its caller is frozen or dead; a thread of ours does not."""
        self._reserved: dict[str, int] = {}
        self.commits = 0
        """Commits of large files that the engine has under way."""

    async def check(self, task: Task) -> None:
        await self._line.call(lambda: self._check(task))

    def _check(self, task: Task) -> None:
        source = self._sources.get(task.url)
        if source is not None and source.target_trouble:
            kind, source.target_trouble = source.target_trouble, ""
            raise trouble(kind)

    async def plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        return await self._line.call(lambda: self._plan(task, folder, fetched), self._seconds())

    def _plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        lying = self._disk.at(folder)
        file = fetched.files[0]
        if lying is None or lying.name != file.name or lying.done != file.size:
            raise Trouble(Reason.INTERRUPTED, "the downloaded bytes are not here any longer", Remedy.WIPE)
        intent = task.intent
        if intent is not None:
            there = self._shelves.files.get(intent.path)
            if there is None or there.content == lying.content:
                place = replace(intent.files[0], source=file.name, size=file.size, sha256=lying.content)
                return replace(intent, files=(place,))
        wanted = safe_name(task.name or file.name)
        for path in [path for path, owner in self._reserved.items() if owner == task.id]:
            del self._reserved[path]
        parent = task.target.rstrip("/")
        taken = {path.rpartition("/")[2] for path in [*self._shelves.files, *self._reserved]}
        path = f"{parent}/{free_name(wanted, taken)}"
        self._reserved[path] = task.id
        return Intent(path, (Placement(file.name, path, file.size, lying.content),))

    def lock_of(self, task: Task) -> str:
        return f"library {task.library}" if self._remote else ""

    usual_pace = 100e6

    def lingers(self, size: int) -> float:
        return 0.0

    async def payer(self, task: Task) -> str:
        return ""

    async def fits(self, task: Task, size: int) -> None:
        """There is room for everything."""

    async def landed(self, task: Task, intent: Intent) -> Intent | None:
        return intent if await self._line.call(lambda: self._landed(intent)) else None

    def _landed(self, intent: Intent) -> bool:
        there = self._shelves.files.get(intent.path)
        return there is not None and there.content == intent.files[0].sha256

    async def commit(self, task: Task, folder: str, intent: Intent, saved: Saved = unheard) -> Intent:
        self._shelves.began(task, self._process)
        large = intent.size > PLANNED_AT_ONCE
        self.commits += large
        if self.commits > COMMITS:
            self._process.world.break_law(f"{self._process.name}: {self.commits} large commits at a time")
        wrong = self._sources[task.url].next_commit() if task.url in self._sources else ""
        try:
            seconds = self._seconds() + (8.0 if wrong == "slow" else 0.0)
            await self._writing.call(lambda: self._commit(task, folder, intent, wrong), seconds)
        finally:
            self.commits -= large
        return intent

    def _commit(self, task: Task, folder: str, intent: Intent, wrong: str) -> None:
        if self._disk.full:
            raise Trouble(Reason.DISK_FULL, "the disk of the library is full", Remedy.HOST)
        if wrong == "before":
            raise Trouble(Reason.COMMIT_FAILED, "the library does not answer", Remedy.RETRY)
        there, expected = self._shelves.files.get(intent.path), intent.files[0].sha256
        if wrong == "taken" and there is None:
            self._shelves.put(intent.path, "a user's own file", 3)
            there = self._shelves.files[intent.path]
        if there is not None and there.content != expected:
            raise NameTaken(intent.path)
        lying = self._disk.at(folder)
        if there is None:
            if lying is None or lying.name != intent.files[0].source or lying.content != expected:
                raise Trouble(Reason.INTERRUPTED, "the downloaded bytes are not here any longer", Remedy.WIPE)
            if lying.writers:
                self._shelves.world.break_law(f"task {task.id}: committed while a transfer lives in its folder")
            self._shelves.files[intent.path] = File(expected, intent.size, task.id)
            self._shelves.wrote(task, intent.path)
            lying.name, lying.done = "", 0
        if wrong == "ambiguous":
            self._sources[task.url].ambiguous = True
            raise Trouble(Reason.COMMIT_FAILED, "the library's answer was lost", Remedy.RETRY)

    def _seconds(self) -> float:
        rng = self._process.world.rng
        return rng.choice([0.001, 0.05, 1.0]) * rng.random()
