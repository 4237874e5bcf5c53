"""Claims what waits while slots are free; renews, reaps, restores."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from random import Random

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.disk import Disk
from odl_daemon.engine.endings import committed
from odl_daemon.engine.janitor import Janitor
from odl_daemon.engine.news import News
from odl_daemon.engine.run import Run
from odl_daemon.engine.worker import Worker
from odl_daemon.model.lifecycle import GRANTED_BY, Event, advance, grants
from odl_daemon.model.patience import clock_time
from odl_daemon.model.task import Phase, Task
from odl_daemon.model.waiting import Obstacle, Rule
from odl_daemon.ports import Filter, Held, LeaseLost, Store, Trouble

log = logging.getLogger(__name__)

PULSE = 1.0
"""Seconds between two pulses while tasks run: so much of a time limit can be lost by a crash."""

SWEEP = 60.0
"""Seconds between two rounds of the janitor."""

WISHES_AT_ONCE = 500

AHEAD = 1.0
"""Seconds of work that are claimed beyond the slots, by the rate of late: so no slot stands empty while a claim is
under way, and nothing that another daemon could begin lies in our line."""


class Dispatcher:
    """The one loop that hands tasks to workers; nothing else claims, and nothing else takes back."""

    def __init__(
        self,
        *,
        store: Store,
        worker: Worker,
        janitor: Janitor,
        news: News,
        bell: Bell,
        allowance: Allowance,
        disk: Disk,
        holder: str,
        slots: int,
        enabled: bool,
        egress: bool = True,
        poll: float,
        clock: Callable[[], datetime],
        rng: Random,
        adopt_again: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """`adopt_again` is told of a row into which somebody put another request while we worked on it."""
        self._store = store
        self._adopt_again = adopt_again
        self._worker = worker
        self._janitor = janitor
        self._news = news
        self._bell = bell
        self._allowance = allowance
        self._disk = disk
        self._disk_is_low = False
        self._holder = holder
        self.slots = slots
        self.enabled = enabled
        self._egress = egress
        self._poll = poll
        self._clock = clock
        self._rng = rng
        self._runs: dict[int, Run] = {}
        self._ended: deque[float] = deque(maxlen=4 * slots)
        """When the last runs ended, by the clock of the loop."""
        self._stopping = False
        self._work = True
        """Something may be waiting for a claim."""
        self._rung = False
        """Something was handed over just now: whoever asks for little is not kept for a full hand of tasks."""
        self._next_pulse = self._next_poll = self._next_sweep = 0.0
        self._host_pause_until = 0.0
        self._host_pause_reason = ""
        self._round_began: float | None = None
        self._workers = asyncio.TaskGroup()

    async def run(self) -> None:
        """Restores what was interrupted, then goes round until `stop` was called and every task is let go."""
        async with self._workers:
            await self._restore()
            while not (self._stopping and not self._runs):
                self._round_began = self._now()
                await self._round()
                self._round_began = None
                await self._bell.wait(self._until_next())

    def stop(self) -> None:
        """Claims nothing more, and makes every worker let go of its task."""
        self._stopping = True
        for run in self._runs.values():
            run.stop()
        self._bell.ring_for_room()

    def tune(self, *, slots: int, enabled: bool, egress: bool = True) -> None:
        """Takes over new settings while running. Without `egress` what is being fetched is let go of."""
        self.slots, self.enabled, self._egress = slots, enabled, egress
        for run in self._runs.values():
            if not egress and run.task.phase is not Phase.COMMITTING:
                run.stop()
        self._ended = deque(self._ended, maxlen=4 * slots)
        self._bell.ring()

    def host_trouble(self, trouble: Trouble, seconds: float) -> None:
        """This host is in trouble: nothing is claimed for a while."""
        log.error("nothing is claimed for %g s: %s", seconds, trouble.sentence)
        self._host_pause_until = self._now() + seconds
        self._host_pause_reason = trouble.sentence

    def obstacle(self) -> Obstacle | None:
        """The rule that keeps this daemon from beginning anything at all, if there is one."""
        if self._disk_is_low and self._halt() is None:
            return Obstacle(Rule.DISK, "nothing is started until the server's disk has more room ([disk] floor)")
        return self._halt()

    def _halt(self) -> Obstacle | None:
        if not self.enabled:
            return Obstacle(Rule.DAEMON, "the daemon is set not to claim anything ([daemon] enabled = false)")
        if not self._egress:
            return Obstacle(Rule.DAEMON, "nothing is fetched for anybody now ([guard] egress = false)")
        if self._host_pause_until > self._now():
            return Obstacle(Rule.DAEMON, f"nothing is started for a while: {self._host_pause_reason}")
        return Obstacle(Rule.DAEMON, "the daemon is stopping") if self._stopping else None

    @property
    def running(self) -> int:
        """How many tasks are in this daemon's hands."""
        return len(self._runs)

    @property
    def round_lasts(self) -> float:
        """Seconds since the round under way began; 0 while the dispatcher waits for a bell."""
        return 0.0 if self._round_began is None else self._now() - self._round_began

    # --- the round

    async def _round(self) -> None:
        work, wishes = self._bell.take()
        now = self._now()
        polling = now >= self._next_poll
        if self._runs and (wishes or now >= self._next_pulse):
            await self._pulse()
        if polling:
            self._next_poll = now + self._poll * self._rng.uniform(0.9, 1.1)
            await self._reap()
        if wishes or polling:
            await self._grant_wishes()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP
            await self._janitor.sweep(self._runs)
        self._work, self._rung = self._work or work or polling, work
        await self._claim()

    def _until_next(self) -> float:
        """Seconds until the next round has something to do by the clock."""
        times = [self._next_poll, self._next_sweep]
        if self._runs:
            times.append(self._next_pulse)
        return max(min(times) - self._now(), 0.0)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # --- what was interrupted

    async def _restore(self) -> None:
        """Gives our own interrupted work back to the queue, ahead of everything else."""
        restored = await self._store.restore(self._holder, self._clock())
        if restored:
            log.info("%d tasks were interrupted: they go first", restored)

    async def _reap(self) -> None:
        reaped = await self._store.reap(self._clock())
        if reaped:
            log.warning("%d tasks of daemons that died are back in the queue", reaped)

    # --- the lease

    async def _pulse(self) -> None:
        """Renews every lease, keeps the progress, and hears what others want of our tasks."""
        self._next_pulse = self._now() + PULSE
        pulsed = dict(self._runs)
        held = {one.id: one for one in await self._store.pulse(self._holder, [run.beat for run in pulsed.values()])}
        for task_id, run in pulsed.items():
            if run.task.phase.held:
                self._tell(run, held.get(task_id))
        await self._take_orphans([task_id for task_id in held if task_id not in self._runs])

    def _tell(self, run: Run, held: Held | None) -> None:
        if held is None or held.epoch != run.task.epoch:
            run.lose()
        elif held.changed_outside:
            run.change_outside()
        else:
            run.heed(held.wish)

    async def _take_orphans(self, ids: list[int]) -> None:
        """Tasks that are ours in the table and in nobody's hands: the reply to a claim was lost."""
        if not ids:
            return
        for task in await self._store.tasks(Filter(ids=tuple(ids)), len(ids)):
            if task.holder != self._holder or task.id in self._runs:
                continue
            log.warning("task %d: claimed without our knowing, going on with it", task.id)
            if task.phase is Phase.QUEUED:
                self._take(task)
            elif task.phase.held:
                await self._let_go(task)

    async def _let_go(self, task: Task) -> None:
        try:
            await self._store.save(advance(task, Event.ABANDONED, at=self._clock()))
        except LeaseLost:
            log.info("task %d: somebody else has it by now", task.id)

    # --- wishes on tasks that nobody holds

    async def _grant_wishes(self) -> None:
        while wished := await self._store.wished(WISHES_AT_ONCE):
            settled = [await self._granted(task) for task in wished]
            saved = set(await self._store.settle(settled))
            done = [task for task in settled if task.id in saved]
            for task in done:
                self._news.publish(task)
            await self._janitor.wipe_ended(done, self._runs)
            self._work = True
            if not saved:
                return

    async def _granted(self, task: Task) -> Task:
        if task.wish is None or not grants(task.phase, task.wish):
            return replace(task, wish=None)
        event = GRANTED_BY[task.wish]
        if event is Event.CANCELLED and (landed := await self._worker.landed(task)):
            return advance(landed, Event.COMMITTED, at=self._clock(), **committed(landed).changes)
        told = {"comment": str(event)} if event in (Event.CANCELLED, Event.PAUSED) else {}
        return advance(task, event, at=self._clock(), **told)

    # --- claims

    async def _claim(self) -> None:
        """Claims as much as there is room for, if something may be waiting."""
        room = self._room()
        if not self._work or room <= 0 or self._halt():
            return
        await self._look_at_the_disk()
        now = self._clock()
        tasks = await self._store.claim(
            self._holder,
            room,
            self._running_by_owner(),
            now,
            shares=self._allowance.shares,
            fresh=not self._disk_is_low,  # what was begun goes on: it may be all here, and its end frees the disk
        )
        for task in tasks:
            self._take(task)
        if len(tasks) < room:
            self._work = False
            await self._wait_for_the_next_due(now)

    async def _look_at_the_disk(self) -> None:
        low = await self._disk.is_low()
        if low and not self._disk_is_low:
            log.warning("the disk of the scratch folders is below its floor: nothing is started until it has more room")
        self._disk_is_low = low

    def _room(self) -> int:
        """How many more tasks we take: one for each free slot, some ahead if tasks end fast, and a bounded number
        that wait for their commit."""
        in_line = sum(1 for run in self._runs.values() if run.task.phase is not Phase.COMMITTING)
        room = min(self.slots + self._ahead() - in_line, 8 * self.slots - len(self._runs))
        return room if in_line < self.slots or room >= self.slots or self._rung else 0

    def _ahead(self) -> int:
        """How many tasks ended in the last second, up to four times the slots."""
        since = self._now() - AHEAD
        while self._ended and self._ended[0] < since:
            self._ended.popleft()
        return len(self._ended)

    async def _wait_for_the_next_due(self, now: datetime) -> None:
        due = await self._store.next_due(now)
        if due is not None:
            seconds = max((due - now).total_seconds(), 0.0)
            self._next_poll = min(self._next_poll, self._now() + seconds)
            log.debug("the next retry is due at %s", clock_time(due, now))

    def _running_by_owner(self) -> Counter[str]:
        return Counter(run.task.owner for run in self._runs.values())

    # --- workers

    def _take(self, task: Task) -> None:
        """Puts a claimed task into a worker's hands."""
        run, former = Run(task), self._runs.get(task.id)
        self._runs[task.id] = run
        if former is not None:
            former.lose()  # the table gave the task away from it, or we would not have claimed it again
        self._news.publish(task)
        if self._stopping:
            run.stop()
        self._workers.create_task(self._work_on(run, former), name=f"worker of task {task.id}")

    async def _work_on(self, run: Run, former: Run | None) -> None:
        try:
            if former is not None:
                await former.ended.wait()
            await self._worker.live(run)
            if run.changed_outside and self._adopt_again is not None:
                await self._adopt_again(run.task.id)
        finally:
            run.ended.set()
            self._ended.append(self._now())
            if self._runs.get(run.task.id) is run:
                del self._runs[run.task.id]
            self._ring_for_room()

    def _ring_for_room(self) -> None:
        """There is room for another task; where users' shares are limited, perhaps for one that may begin only now."""
        if self._allowance.shares.watch_claims:
            self._bell.ring()
        else:
            self._bell.ring_for_room()
