"""A small stage for the worker: scripted ports whose only job is to be watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.disk import Disk
from odl_daemon.engine.endings import Limits
from odl_daemon.engine.news import News
from odl_daemon.engine.run import Run
from odl_daemon.engine.worker import Worker
from odl_daemon.model.task import Fetched, FetchedFile, Intent, Phase, Placement, Progress, Task
from odl_daemon.ports import LeaseLost, NameTaken, Saved, Space, Trouble, unheard

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
FILE = Fetched((FetchedFile("a.bin", 10),))
PLACE = Intent("/a.bin", (Placement("a.bin", "/a.bin", 10, "00" * 32),))


def claimed(**changes: object) -> Task:
    task = Task(
        1, "local", "default", "/", "http://example.org/a.bin", NOON, NOON, phase=Phase.QUEUED, holder="me", epoch=1
    )
    return replace(task, **changes)  # type: ignore[arg-type]  # the plays change single fields by name


class Stage:
    """Store, scratch, downloader and library in one: each play scripts what it needs."""

    def __init__(self, *fetch: Progress | Fetched | Trouble | Callable[[], None], limits: Limits | None = None) -> None:
        self.script = list(fetch)
        self.commits: list[Exception | Callable[[], None] | None] = [None]
        self.saved: list[Task] = []
        self.wiped: list[int] = []
        self.pieces: list[int] = []
        """Bytes that a commit tells of, one after the other."""
        self.seen: list[Progress] = []
        """What others see of it then."""
        self.news = News()
        self.kept_here = False
        self.was_landed = False
        self.lost = False
        self.hosts: list[Trouble] = []
        self.worker = Worker(
            store=self,  # type: ignore[arg-type]  # of the store it plays `save` alone
            downloader=self,
            scratch=self,
            library=self,
            news=self.news,
            holder="me",
            limits=limits or Limits(),
            allowance=Allowance(store=self, clock=lambda: NOON),  # type: ignore[arg-type]  # as above
            disk=Disk(self),
            host_trouble=lambda trouble, seconds: self.hosts.append(trouble),
            clock=lambda: NOON,
            rng=Random(1),
        )

    async def play(self, task: Task | None = None) -> Task:
        """One life; returns the last state that the table got."""
        self.run = Run(task or claimed())
        await self.worker.live(self.run)
        return self.saved[-1]

    @property
    def phases(self) -> list[Phase]:
        return [task.phase for task in self.saved]

    usual_pace = 100e6

    # --- what a library without locks and quotas says

    def lock_of(self, task: Task) -> str:
        return ""

    def lingers(self, size: int) -> float:
        return 0.0

    async def payer(self, task: Task) -> str:
        return ""

    async def fits(self, task: Task, size: int) -> None:
        """There is room."""

    # --- store

    async def save(self, task: Task) -> None:
        if self.lost:
            raise LeaseLost
        self.saved.append(task)

    # --- downloader

    async def fetch(self, task: Task, folder: str) -> AsyncGenerator[Progress | Fetched, None]:
        for item in self.script:
            if isinstance(item, Trouble):
                raise item
            if callable(item):
                item()
                await asyncio.Event().wait()
            else:
                yield item

    async def gone(self, task: Task) -> None:
        return

    # --- scratch

    def path(self, task_id: int) -> str:
        return f"/scratch/{task_id}"

    async def holds(self, task_id: int, fetched: Fetched) -> bool:
        return self.kept_here

    async def wipe(self, task_id: int) -> None:
        self.wiped.append(task_id)

    async def inherit(self, task_id: int, folder: str) -> Progress | None:
        return None

    async def folders(self) -> list[int]:
        return []

    async def space(self) -> Space:
        return Space(1 << 40, 1 << 41)

    # --- library

    async def check(self, task: Task) -> None:
        return

    async def plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        return PLACE

    async def landed(self, task: Task, intent: Intent) -> Intent | None:
        return intent if self.was_landed else None

    async def commit(self, task: Task, folder: str, intent: Intent, saved: Saved = unheard) -> Intent:
        outcome = self.commits.pop(0) if len(self.commits) > 1 else self.commits[0]
        if isinstance(outcome, NameTaken | Trouble):
            raise outcome
        if callable(outcome):
            outcome()
        for count in self.pieces:
            saved(count)
            self.seen.append(self.news.overlaid(self.run.task).progress)
        return intent
