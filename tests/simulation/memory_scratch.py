"""One host's scratch folders in memory; what touches a folder while a transfer lives in it is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from odl_daemon.model.task import Fetched, Progress
from odl_daemon.ports import Space
from tests.simulation.process import Line, Process
from tests.simulation.world import World


@dataclass(slots=True)
class Folder:
    """What lies in one task's folder."""

    done: int = 0
    """Bytes of the file that is begun."""
    name: str = ""
    """The file that lies there in full, if one does."""
    content: str = ""
    writers: list[str] = field(default_factory=list)
    """Transfers that may still write here."""


class Disk:
    """A host's disk: it outlives processes."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self.host = host
        self.folders: dict[int, Folder] = {}
        self.full_until = 0.0

    @property
    def full(self) -> bool:
        return self._world.now < self.full_until

    def path(self, task_id: int) -> str:
        return f"/{self.host}/{task_id}"

    def open(self, task_id: int) -> Folder:
        """The folder of a task, made if it is not there."""
        return self.folders.setdefault(task_id, Folder())

    def at(self, path: str) -> Folder | None:
        return self.folders.get(int(PurePosixPath(path).name))

    def holds(self, task_id: int, fetched: Fetched) -> bool:
        folder = self.folders.get(task_id)
        return folder is not None and all(f.name == folder.name and f.size == folder.done for f in fetched.files)

    def wipe(self, task_id: int) -> None:
        folder = self.folders.pop(task_id, None)
        if folder is None:
            return
        self._world.tell(self.host, f"task {task_id}: folder wiped")
        if folder.writers:
            self._world.break_law(f"task {task_id}: {self.host} wiped the folder while a transfer lives in it")


class MemoryScratch:
    """ports.Scratch: threads of the process, so a frozen one does nothing and a dead one has done nothing."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._line = Line(process, local=True, slow=0.005)

    def path(self, task_id: int) -> str:
        return self._disk.path(task_id)

    async def holds(self, task_id: int, fetched: Fetched) -> bool:
        return await self._line.call(lambda: self._disk.holds(task_id, fetched))

    async def wipe(self, task_id: int) -> None:
        await self._line.call(lambda: self._disk.wipe(task_id))

    async def inherit(self, task_id: int, folder: str) -> Progress | None:
        return None

    async def folders(self) -> list[int]:
        listed: Callable[[], list[int]] = lambda: sorted(self._disk.folders)  # noqa: E731
        return await self._line.call(listed)

    async def space(self) -> Space:
        return await self._line.call(lambda: Space(0 if self._disk.full else 1 << 40, 1 << 41))
