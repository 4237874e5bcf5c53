"""What Prometheus scrapes: tasks, bytes, waits, commits, blocks, respawns, and how the daemon's own parts keep up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from odl_daemon.engine.desk import Desk
from odl_daemon.health import Vitals
from odl_daemon.intake.http.live import Live
from odl_daemon.model.task import Phase, Task

BEAT: Final = 0.5
"""Seconds between two looks at how late the loop is."""

ASK: Final = 5.0
"""Seconds between two questions to the database."""

FRESH: Final = 5.0
"""Seconds for which counts of the table are good enough: scrapes are often, and a table may be long."""

WAITS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 43200)
COMMITS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800)
LAGS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
"""Bounds of the histograms, in seconds."""


class Metrics:
    """Listens to the news, and looks at the loop and the database. `run` must be running."""

    def __init__(self, desk: Desk, vitals: Vitals, live: Live) -> None:
        self._desk = desk
        self._vitals = vitals
        self._live = live
        self._registry = CollectorRegistry()
        at = self._registry
        self._steps = Counter("odl_steps", "Steps of tasks into a phase.", ["phase"], registry=at)
        self._bytes = Counter("odl_fetched_bytes", "Bytes that came from the internet.", registry=at)
        self._waits = _histogram("odl_wait_seconds", "From a task's creation to its first byte.", WAITS, at)
        self._commits = _histogram("odl_commit_seconds", "From the last byte to the library.", COMMITS, at)
        self._lag = _histogram("odl_loop_lag_seconds", "How late the event loop is.", LAGS, at)
        self._database = _histogram("odl_database_seconds", "How long the database takes.", LAGS, at)
        self._phases = Gauge("odl_tasks", "Tasks in the table.", ["phase"], registry=at)
        self._registry.register(_Outside(vitals, live))
        self._counted = -FRESH
        self._known: dict[int, Task] = {}
        """Tasks in our hands, as they were told last."""

    async def run(self) -> None:
        """For ever."""
        with self._desk.news.listening(self._heard):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_the_loop(), name="how late the loop is")
                group.create_task(self._watch_the_database(), name="how long the database takes")

    async def scrape(self, request: web.Request) -> web.StreamResponse:
        """The answer to Prometheus."""
        await self._count()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    # --- what is told

    def _heard(self, task: Task) -> None:
        before = self._known.get(task.id)
        if before is None or before.phase is not task.phase:
            self._steps.labels(task.phase.value).inc()
            self._time(before, task)
        came = max(task.progress.done, task.size) - (before.progress.done if before else 0)
        if task.phase is not Phase.WAITING and came > 0 and (before is not None or task.phase is not Phase.FETCHING):
            self._bytes.inc(came)
        if task.phase.held:
            self._known[task.id] = task
        else:
            self._known.pop(task.id, None)

    def _time(self, before: Task | None, task: Task) -> None:
        begun = task.phase in (Phase.FETCHING, Phase.COMMITTING) and (before is None or before.phase is Phase.QUEUED)
        if begun and task.attempt == 1:
            self._waits.observe(max((task.changed - task.created).total_seconds(), 0.0))
        if task.phase is Phase.DONE and before is not None and before.phase is Phase.COMMITTING:
            self._commits.observe(max((task.changed - before.changed).total_seconds(), 0.0))

    # --- what is looked at

    async def _watch_the_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            self._lag.observe(max(loop.time() - due, 0.0))

    async def _watch_the_database(self) -> None:
        while True:
            self._database.observe(await self._vitals.database_latency())
            await asyncio.sleep(ASK)

    async def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._counted < FRESH or self._desk.away():
            return
        self._counted = now
        sums = dict.fromkeys(Phase, 0)
        for counts in (await self._desk.counts()).values():
            for phase, count in counts.items():
                sums[phase] += count
        for phase, count in sums.items():
            self._phases.labels(phase.value).set(count)


def _histogram(name: str, meaning: str, bounds: Sequence[float], registry: CollectorRegistry) -> Histogram:
    return Histogram(name, meaning, buckets=bounds, registry=registry)


class _Outside(Collector):
    """What others count."""

    def __init__(self, vitals: Vitals, live: Live) -> None:
        self._vitals = vitals
        self._live = live

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("odl_blocks", "Connections that the guard refused.", self._vitals.blocks())
        yield CounterMetricFamily("odl_aria2_respawns", "New starts of aria2.", self._vitals.respawns())
        yield GaugeMetricFamily("odl_ready", "1 if nothing hinders the daemon.", not self._vitals.troubles())
        yield GaugeMetricFamily("odl_watchers", "Who watches live.", self._live.watchers)
