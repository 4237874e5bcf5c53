"""A real aria2 in its real sandbox, with folders for its tasks."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.guard.diallers import OpenDialler

from odl_daemon.download.aria2 import Aria2Downloader
from odl_daemon.download.probe import Prober
from odl_daemon.download.proxy import Proxy
from odl_daemon.download.quarantine import Quarantine
from odl_daemon.download.sandbox import Isolation
from odl_daemon.download.server import Aria2Server
from odl_daemon.guard.guests import Guests
from odl_daemon.model.task import Fetched, Progress, Task

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


class Bench:
    """A running downloader with the folders for its tasks."""

    def __init__(self, root: Path, server: Aria2Server, downloader: Aria2Downloader, words: deque[str]) -> None:
        self.root = root
        self.server = server
        self.downloader = downloader
        self.words = words
        self._counted = 0

    def task(self, url: str, **changes: Any) -> Task:
        self._counted += 1
        task = Task(
            id=self._counted, owner="ann", library="default", path="/", url=url, created=NOW, changed=NOW, epoch=1
        )
        return replace(task, **changes)

    def folder(self, task: Task) -> Path:
        folder = self.root / str(task.id)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    async def fetch(self, task: Task, on_progress: Callable[[Progress], Awaitable[None]] | None = None) -> Fetched:
        """Fetches to the end, as a worker does."""
        fetched: Fetched | None = None
        async with aclosing(self.downloader.fetch(task, str(self.folder(task)))) as news:
            async for item in news:
                if isinstance(item, Fetched):
                    fetched = item
                elif on_progress is not None:
                    await on_progress(item)
        await self.downloader.gone(task)
        assert fetched is not None
        return fetched

    def content(self, task: Task, fetched: Fetched) -> bytes:
        (file,) = fetched.files
        data = (self.folder(task) / file.name).read_bytes()
        assert len(data) == file.size
        return data


@asynccontextmanager
async def benched(
    root: Path,
    *,
    slots: int = 10,
    isolation: Isolation = Isolation.NAMESPACE,
    stall_limit: float = 30.0,
    answer_limit: float = 10.0,
    autosave: int = 10,
    ca: Path | None = None,
    tls: Any = None,
) -> AsyncIterator[Bench]:
    words: deque[str] = deque(maxlen=200)
    dialler = OpenDialler()
    aria2 = partial(
        Aria2Server,
        aria2c="aria2c",
        isolation=isolation,
        serve_proxy=Proxy(dialler).serve,
        heard=words.append,
        last_words=lambda: list(words)[-3:],
        stall_limit=stall_limit,
        ca_bundle="" if ca is None else str(ca),
        answer_limit=answer_limit,
        autosave=autosave,
    )
    server = aria2(scratch=root, lock=root.parent / "aria2.lock", slots=slots)
    quarantine = Quarantine(lambda folder, lock: aria2(scratch=folder, lock=lock, slots=1), locks=root.parent)
    prober = Prober(dial=dialler.dial, tls=tls)
    downloader = Aria2Downloader(
        server=server, quarantine=quarantine, prober=prober, guests=Guests(), stall_limit=stall_limit
    )
    async with asyncio.TaskGroup() as group:
        loops = [
            group.create_task(server.run(), name="the aria2 server"),
            group.create_task(downloader.run(), name="the downloader"),
        ]
        try:
            await downloader.ready()
            yield Bench(root, server, downloader, words)
        finally:
            for loop in loops:
                loop.cancel()


def pids_of_aria2c() -> list[int]:
    """Every aria2c below this process, inside its sandbox or not."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            names[int(entry.name)], parents[int(entry.name)] = name, int(rest.split()[1])
    return [pid for pid, name in names.items() if name == "aria2c" and _is_below(os.getpid(), pid, parents)]


def _is_below(top: int, pid: int, parents: dict[int, int]) -> bool:
    while pid and pid != top:
        pid = parents.get(pid, 0)
    return pid == top


def kill_aria2c(how: str = "KILL") -> None:
    for pid in pids_of_aria2c():
        os.kill(pid, signal.Signals[f"SIG{how}"])
