"""A downloader in memory: transfers stand in line for a slot, run on their own, and are gone only some time after
they were left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from enum import Enum

from odl_daemon.model.task import Fetched, FetchedFile, Progress, Reason, Task
from odl_daemon.ports import Remedy, Trouble
from tests.simulation.memory_scratch import Disk, Folder
from tests.simulation.process import Process
from tests.simulation.sources import Source, trouble

LOOK = 1.0
"""Seconds between two looks at a running transfer."""

Item = Progress | Fetched | Trouble


class State(Enum):
    LINE = "stands in line"
    STARTING = "has its slot"
    RUNNING = "runs"
    OVER = "has ended by itself"
    CLOSING = "was left"
    GONE = "is gone"


class MemoryDownloader:
    """ports.Downloader, and the downloading program beside it: that runs on while the daemon is frozen."""

    def __init__(self, process: Process, disk: Disk, sources: dict[str, Source], slots: int, times: Times) -> None:
        self.process = process
        self.world = process.world
        self.disk = disk
        self.times = times
        self._sources = sources
        self._slots = slots
        self._transfers: dict[int, Transfer] = {}
        """The newest of each task."""
        self._line: list[Transfer] = []
        self._busy: set[Transfer] = set()
        self.open = 0
        """Fetches that the engine has under way."""
        process.at_death(self._die)

    async def fetch(self, task: Task, folder: str) -> AsyncGenerator[Progress | Fetched, None]:
        if self.process.dead:
            raise asyncio.CancelledError
        transfer = self._begin(task, folder)
        self.open += 1
        try:
            while True:
                item = await transfer.news()
                if isinstance(item, Trouble):
                    raise item
                yield item
                if isinstance(item, Fetched):
                    return
        finally:
            self.open -= 1
            transfer.leave()

    async def gone(self, task: Task) -> None:
        if self.process.dead:
            raise asyncio.CancelledError
        transfer = self._transfers.get(task.id)
        if transfer is not None:
            await transfer.gone.wait()

    def _begin(self, task: Task, folder: str) -> Transfer:
        source = self._sources.get(task.url)
        if source is None:
            raise Trouble(Reason.BAD_URL, "nobody can fetch this", Remedy.NONE)
        lying = self.disk.open(task.id)
        if lying.writers:
            self.world.break_law(f"task {task.id}: {self.disk.host}: two transfers in one folder")
        transfer = self._transfers[task.id] = Transfer(self, task, folder, source)
        lying.writers.append(transfer.name)
        self._line.append(transfer)
        self.world.after(0.01, self.serve)
        return transfer

    # --- slots

    def serve(self) -> None:
        """Gives free slots to who stands first."""
        if self.process.dead:
            return
        while self._line and len(self._busy) < self._slots:
            transfer = self._line.pop(0)
            self._busy.add(transfer)
            transfer.start()

    def out_of_line(self, transfer: Transfer) -> None:
        if transfer in self._line:
            self._line.remove(transfer)

    def free(self, transfer: Transfer) -> None:
        self._busy.discard(transfer)
        self.serve()

    def _die(self) -> None:
        for transfer in self._transfers.values():
            transfer.die()


class Transfer:
    """One download under way."""

    def __init__(self, owner: MemoryDownloader, task: Task, folder: str, source: Source) -> None:
        self._owner = owner
        self._world = owner.world
        self._task = task
        self._folder = folder
        self._source = source
        self._try = source.next_try()
        self._begun_with = 0
        self._began = 0.0
        self._item: Item | None = None
        self._rung = asyncio.Event()
        self.state = State.LINE
        self.gone = asyncio.Event()
        self.name = f"transfer of task {task.id}, epoch {task.epoch}"

    async def news(self) -> Item:
        """The newest that is to be told, as soon as there is any."""
        await self._rung.wait()
        self._rung.clear()
        item, self._item = self._item, None
        assert item is not None
        return item

    def _say(self, item: Item) -> None:
        if self._owner.process.dead or self.state is State.CLOSING:
            return
        self._item = item
        self._rung.set()

    # --- its life

    def start(self) -> None:
        self.state = State.STARTING
        self._world.after(self._try.waits + 0.01, self._run)

    def _run(self) -> None:
        if self.state is not State.STARTING:
            return
        self.state = State.RUNNING
        self._began = self._world.now
        lying = self._lying()
        self._begun_with = 0 if lying.name else min(lying.done, self._source.size)
        lying.name = ""
        if not self._try.silent:
            self._owner.times.begin(self._task.id, self._world.now)
            self._look()
        else:
            self._world.after(self._try.seconds, self._finish)

    def _look(self) -> None:
        if self.state is not State.RUNNING:
            return
        if self._owner.disk.full and self._source.size > 1000:
            self._fail(Trouble(Reason.DISK_FULL, "the disk is full", Remedy.HOST))
            return
        part = self._part()
        if self._try.fails_at is not None and part >= self._try.fails_at:
            if self._try.trouble != "stall":
                self._fail(trouble(self._try.trouble, self._try.after))
                return
        elif part >= 1.0:
            self._finish()
            return
        total = self._source.size if part >= self._try.size_known else None
        self._say(Progress(self._done(), total, 100, "v1"))
        left = max(self._try.seconds * (1 - part), 0.01)
        self._world.after(min(LOOK, left), self._look)

    def _part(self) -> float:
        """How much of the file is here."""
        begun = self._begun_with / self._source.size if self._source.size else 0.0
        part = min(begun + (self._world.now - self._began) / self._try.seconds, 1.0)
        return min(part, self._try.fails_at) if self._try.fails_at is not None else part

    def _done(self) -> int:
        return int(self._source.size * self._part()) if self.state is State.RUNNING else 0

    def _finish(self) -> None:
        if self.state is not State.RUNNING:
            return
        lying = self._lying()
        lying.done, lying.name, lying.content = self._source.size, self._source.name, self._source.url
        self._say(Fetched((FetchedFile(self._source.name, self._source.size),)))
        self._end()

    def _fail(self, reason: Trouble) -> None:
        self._keep()
        self._say(reason)
        self._end()

    def _end(self) -> None:
        self.state = State.OVER
        self._owner.times.end(self._task.id, self._world.now)
        self._vanish()

    def leave(self) -> None:
        """The engine has left the block: from now on nothing is told, and some time later it is gone."""
        if self._owner.process.dead or self.state in (State.OVER, State.GONE):
            return
        self._owner.out_of_line(self)
        running = self.state is State.RUNNING
        self._keep()
        self.state = State.CLOSING
        self._owner.times.end(self._task.id, self._world.now)
        slow = self._world.rng.choice([0.0, 0.02, 0.3, 3.0]) if running else 0.01
        self._world.after(slow * self._world.rng.random(), self._vanish)

    def _lying(self) -> Folder:
        lying = self._owner.disk.at(self._folder)
        if lying is None or self.name not in lying.writers:
            self._world.break_law(f"task {self._task.id}: the folder of a living transfer is gone")
            return Folder()
        return lying

    def _keep(self) -> None:
        lying = self._owner.disk.at(self._folder)
        if lying is not None and self.state is State.RUNNING:
            lying.done = max(self._done(), 0)

    def _vanish(self) -> None:
        self._let_go_of_the_folder()
        if self._owner.process.dead:
            return
        self._owner.free(self)
        self.gone.set()

    def _let_go_of_the_folder(self) -> None:
        lying = self._owner.disk.at(self._folder)
        if lying is not None and self.name in lying.writers:
            lying.writers.remove(self.name)

    def die(self) -> None:
        if self.state in (State.LINE, State.STARTING, State.RUNNING, State.CLOSING):
            self._keep()
            self._owner.times.end(self._task.id, self._world.now)
            self._let_go_of_the_folder()
        self.state = State.GONE


class Times:
    """How long each task was really being fetched, by anybody, since it was asked for (again)."""

    def __init__(self) -> None:
        self.spent: dict[int, float] = {}
        self._since: dict[int, list[float]] = {}

    def begin(self, task_id: int, now: float) -> None:
        self._since.setdefault(task_id, []).append(now)

    def end(self, task_id: int, now: float) -> None:
        running = self._since.get(task_id)
        if running:
            self.spent[task_id] = self.spent.get(task_id, 0.0) + now - running.pop()

    def forget(self, task_id: int) -> None:
        self.spent.pop(task_id, None)
