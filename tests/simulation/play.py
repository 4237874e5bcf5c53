"""Plays a schedule: the world, its daemons, and everything that happens to them, under the checker's eyes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.desk import Desk
from odl_daemon.engine.news import News
from odl_daemon.model import source as sources
from odl_daemon.model.task import Wish
from odl_daemon.ports import Request
from tests.intake.paper_desk import KEYLESS
from tests.simulation.checker import Checker, no_task_is_left
from tests.simulation.daemon import Daemon, Parts, Surroundings
from tests.simulation.memory_library import Shelves
from tests.simulation.memory_scratch import Disk
from tests.simulation.schedules import LENGTH, Happening, Schedule, draw
from tests.simulation.sources import Source, Try
from tests.simulation.virtual_loop import Deadlock
from tests.simulation.world import BEGIN, Broken, World

CALMING = 900.0
"""Seconds after the last happening in which everything must come to its end."""

SWEEP = 65.0
"""Seconds in which the janitor has been everywhere."""


class Failure(AssertionError):
    """A schedule ended with a broken law; the message tells the story."""


def check(seed: int, parts: Parts | None = None) -> None:
    """Plays a seed. Raises Failure with its story."""
    try:
        Play(draw(seed), parts or Parts()).run()
    except (Broken, Deadlock):
        raise Failure(tell(seed, parts)) from None


def tell(seed: int, parts: Parts | None = None) -> str:
    """The story of a seed, and what law it broke, if it did."""
    play, schedule = Play(draw(seed), parts or Parts(), telling=True), draw(seed)
    end = "no law was broken"
    try:
        play.run()
    except (Broken, Deadlock) as error:
        end = f"BROKEN {error}"
    return "\n".join([f"seed {seed}: {schedule.settings}, {schedule.daemons} daemons", *play.world.story, end])


class Play:
    """One run of one schedule."""

    def __init__(self, schedule: Schedule, parts: Parts, *, telling: bool = False) -> None:
        self._schedule = schedule
        self.world = World(Random(schedule.seed), telling=telling)
        table = parts.table(self.world.time, lease=schedule.settings.lease)
        self._around = Surroundings(self.world, schedule.settings, parts, table, Shelves(self.world), {})
        self._around.weather.lost_replies = schedule.lost_replies
        self._around.weather.slow = schedule.slow
        hosts = [f"host-{number}" for number in range(1, schedule.daemons + 1)]
        self._disks = {host: Disk(self.world, host) for host in hosts}
        self._ending = False
        self._daemons: dict[str, Daemon] = {}
        self.checker = Checker(self._around, self._disks)

    def run(self) -> None:
        """Raises Broken or Deadlock."""
        with _unforeseen_errors_break(self.world):
            try:
                self._run()
            finally:
                for daemon in self._daemons.values():
                    if not daemon.process.dead:
                        daemon.process.die()

    def _run(self) -> None:
        for happening in self._schedule.happenings:
            if happening.upon is None:
                self.world.after(happening.at, self._happens(happening))
            else:
                self.checker.upon.append((happening.upon, happening.at, self._happens(happening)))
        for host in self._disks:
            self._start(host)
        self.world.run(BEGIN + LENGTH)
        self._clear_up()
        self.world.run(self.world.now + CALMING, self.checker.settled)
        if not self.checker.clean():
            self.world.run(self.world.now + 2 * SWEEP, self.checker.clean)
        self._stop_all()
        self.checker.at_the_end()
        if self.world.broken:
            raise Broken(self.world.broken)

    def _happens(self, happening: Happening) -> Callable[[], None]:
        act = getattr(self, "_" + happening.what.replace(" ", "_"))
        return lambda: act(happening) if self.world.now <= BEGIN + LENGTH else None

    def _clear_up(self) -> None:
        """From here on the weather is fair, and every host has a daemon."""
        self.checker.upon.clear()
        weather = self._around.weather
        weather.lost_replies, weather.away_until = 0.0, 0.0
        for host, disk in self._disks.items():
            disk.full_until = 0.0
            daemon = self._daemons[host]
            if daemon.process.frozen:
                daemon.process.thaw()
            if daemon.process.dead:
                self._start(host)
            else:
                daemon.dispatcher.tune(slots=self._schedule.settings.slots, enabled=True)

    def _stop_all(self) -> None:
        self._ending = True
        for daemon in self._daemons.values():
            daemon.stop()
        self.world.run(self.world.now + 60.0, lambda: all(daemon.over for daemon in self._daemons.values()))
        for host, daemon in self._daemons.items():
            if not daemon.over:
                self.world.break_law(f"{host} does not stop: {no_task_is_left(daemon)}")
            elif left := no_task_is_left(daemon):
                self.world.break_law(f"{host} has stopped and left tasks behind: {left}")
            else:
                daemon.bury()

    # --- daemons

    def _start(self, host: str) -> None:
        self.world.tell(host, "starts")
        self._daemons[host] = Daemon(self._around, host, self._disks[host])

    def _up(self, which: float) -> Daemon | None:
        """One of the daemons that run."""
        running = [daemon for daemon in self._daemons.values() if not daemon.over and not daemon.process.frozen]
        return running[int(which * len(running))] if running else None

    def _any(self, which: float) -> Daemon:
        daemons = list(self._daemons.values())
        return daemons[int(which * len(daemons))]

    # --- what users and other programs do

    def _submit(self, happening: Happening) -> None:
        source = self._known(happening)
        request = Request(happening.word, "default", "/", sources.parse(source.url).url)
        self.world.tell(happening.word, f"submits {source}")
        self._ask(happening, lambda desk: desk.submit([request]))

    def _insert(self, happening: Happening) -> None:
        source = self._known(happening)
        task_id = self._around.table.insert(happening.word, source.url)
        self.world.tell(happening.word, f"task {task_id}: inserts a row for {source}")

    def _garbage(self, happening: Happening) -> None:
        task_id = self._around.table.insert("ann", happening.word)
        self.world.tell("ann", f"task {task_id}: inserts a row for {happening.word!r}")

    def _known(self, happening: Happening) -> Source:
        source = happening.source
        assert source is not None
        return self._around.sources.setdefault(source.url, source)

    def _wish(self, happening: Happening) -> None:
        task_id = self._some_task(happening)
        wish = Wish(happening.word)
        self.world.tell("user", f"wishes to {wish} task {task_id}")
        self._ask(happening, lambda desk: desk.wish([task_id], wish))

    def _retry_failed(self, happening: Happening) -> None:
        self.world.tell("user", "wishes to retry all that failed")
        self._ask(happening, lambda desk: desk.retry_failed())

    def _delete(self, happening: Happening) -> None:
        task_id = self._some_task(happening)
        self.world.tell("user", f"deletes the row of task {task_id}")
        self._around.table.delete(task_id)

    def _rewrite(self, happening: Happening) -> None:
        task_id = self._some_task(happening)
        if task_id in self._around.table.shared:
            url = f"http://new.example/{task_id}/n.bin"
            self._around.sources.setdefault(url, Source(url, 10, [Try(1.0)]))
            self.world.tell("user", f"writes another request into the row of task {task_id}")
            self._around.table.rewrite(task_id, url)

    def _set_back(self, happening: Happening) -> None:
        ended = [i for i, side in self._around.table.sides.items() if side.task.final and self._around.table.is_ours(i)]
        if ended:
            task_id = ended[int(happening.which * len(ended))]
            self.world.tell("user", f"sets the row of task {task_id} back to WAITING")
            self._around.table.shared[task_id].status = 1

    def _some_task(self, happening: Happening) -> int:
        return 1 + int(happening.which * max(self._around.table.last_id, 1))

    def _ask(self, happening: Happening, question: Callable[[Desk], Coroutine[Any, Any, object]]) -> None:
        """At the desk of a daemon that runs, or without one, as the command line does."""
        daemon = self._up(happening.which)
        if daemon is not None:
            daemon.ask(question)
            return
        store: Any = _Counter(self._around)  # what a desk does not ask for is not there
        clock = self.world.clock
        allowance = Allowance(store=store, clock=clock)
        desk = Desk(
            store=store,
            news=News(),
            bell=Bell(),
            clock=clock,
            allowance=allowance,
            keyring=KEYLESS,
            obstacle=lambda: None,
        )
        _at_once(question(desk))

    # --- what operators and bad luck do

    def _crash(self, happening: Happening) -> None:
        daemon = self._any(happening.which)
        if daemon.over:
            return
        self._trouble(daemon.host, "is killed", 0.0)
        daemon.process.die()
        self.world.after(happening.seconds, lambda: self._restart(daemon.host))

    def _restart(self, host: str) -> None:
        if self._daemons[host].over and not self._ending:
            self._daemons[host].bury()
            self._start(host)

    def _stop(self, happening: Happening) -> None:
        daemon = self._up(happening.which)
        if daemon is None:
            return
        self._trouble(daemon.host, "is asked to stop", 0.0)
        daemon.stop()
        self._start_again_once_over(daemon, happening.seconds)

    def _start_again_once_over(self, daemon: Daemon, seconds: float) -> None:
        if not daemon.over:
            self.world.after(0.5, lambda: self._start_again_once_over(daemon, seconds))
            return
        daemon.bury()
        self.world.after(seconds, lambda: self._restart(daemon.host))

    def _freeze(self, happening: Happening) -> None:
        daemon = self._up(happening.which)
        if daemon is None:
            return
        self._trouble(daemon.host, f"is frozen for {happening.seconds:.1f} s", happening.seconds)
        daemon.process.freeze()
        self.world.after(happening.seconds, lambda: self._thaw(daemon))

    def _thaw(self, daemon: Daemon) -> None:
        if daemon.process.frozen and not daemon.process.dead:
            self.world.tell(daemon.host, "thaws")
            daemon.process.thaw()

    def _outage(self, happening: Happening) -> None:
        self._trouble("database", f"is away for {happening.seconds:.1f} s", happening.seconds)
        self._around.weather.away_until = self.world.now + happening.seconds

    def _disk_full(self, happening: Happening) -> None:
        host = self._any(happening.which).host
        self._trouble(host, f"its disk is full for {happening.seconds:.1f} s", happening.seconds)
        self._disks[host].full_until = self.world.now + happening.seconds

    def _disabled(self, happening: Happening) -> None:
        daemon = self._up(happening.which)
        if daemon is None:
            return
        self._trouble(daemon.host, f"is disabled for {happening.seconds:.1f} s", happening.seconds)
        daemon.dispatcher.tune(slots=self._schedule.settings.slots, enabled=False)
        self.world.after(
            happening.seconds,
            lambda: daemon.dispatcher.tune(slots=self._schedule.settings.slots, enabled=True),
        )

    def _steal(self, happening: Happening) -> None:
        """The database's clock jumps, for the leases of a moment."""
        self._trouble("database", "every lease is over", 0.0)
        for side in self._around.table.sides.values():
            side.lease_until = 0.0

    def _trouble(self, who: str, what: str, seconds: float) -> None:
        self.checker.disturbed(seconds)
        self.world.tell(who, what)


class _Counter:
    """The store as a single command sees it: asked and answered in one moment."""

    def __init__(self, around: Surroundings) -> None:
        self._table = around.table

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        asked = getattr(self._table, name)

        async def answer(*args: object) -> object:
            return asked(*args)

        return answer


def _at_once(coroutine: Coroutine[Any, Any, object]) -> None:
    """Runs what never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


@contextmanager
def _unforeseen_errors_break(world: World) -> Iterator[None]:
    """The engine's own words go into the story; an error that nobody foresaw breaks the run."""
    listener = _Listener(world)
    logger = logging.getLogger("odl_daemon")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG if world.telling else logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagate


class _Listener(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.tell("log", record.getMessage())
        if record.exc_info:
            self._world.break_law(f"{record.getMessage()}: {record.exc_info[1]!r}")
