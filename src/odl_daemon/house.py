"""The house: every room built and connected, opened from the cellar to the doors, and closed the other way round."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from random import Random

from odl_daemon.config import Config
from odl_daemon.download.aria2 import Aria2Downloader
from odl_daemon.download.aria2_log import Aria2Log
from odl_daemon.download.probe import Prober
from odl_daemon.download.proxy import Proxy
from odl_daemon.download.quarantine import Quarantine
from odl_daemon.download.sandbox import Isolation, SandboxTrouble
from odl_daemon.download.scout import LinkScout
from odl_daemon.download.scratch import ScratchFolders
from odl_daemon.download.server import Aria2Server
from odl_daemon.download.tap import Tap
from odl_daemon.engine.adoption import Adoption
from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.desk import Desk
from odl_daemon.engine.disk import Disk
from odl_daemon.engine.dispatcher import Dispatcher
from odl_daemon.engine.endings import Limits
from odl_daemon.engine.janitor import Janitor
from odl_daemon.engine.keyring import Keyring
from odl_daemon.engine.news import News
from odl_daemon.engine.preflight import Preflight
from odl_daemon.engine.rival import Rival
from odl_daemon.engine.worker import Worker
from odl_daemon.fittings import events_door_of, hooks_of, http_door_of, library_of, rules_of, shares_of
from odl_daemon.guard.blocks import BLOCKS, BlockLog
from odl_daemon.guard.dial import Dialler
from odl_daemon.guard.guests import Guests
from odl_daemon.guard.resolver import Resolver
from odl_daemon.health import ServiceManager, Vitals
from odl_daemon.intake.control import ControlDoor
from odl_daemon.intake.table import TableDoor
from odl_daemon.library.tokens import TokensTrouble
from odl_daemon.model.patience import Patience
from odl_daemon.ports import Library, Trouble
from odl_daemon.premises import OperatorError, holder_name
from odl_daemon.signals import Stop
from odl_daemon.store import SqlStore
from odl_daemon.together import THREADS

log = logging.getLogger(__name__)

STOP_LIMIT = 25.0
"""Seconds that running tasks get to let go when the daemon stops; then their leases run out by themselves."""

FAREWELL = 3.0
"""Seconds for what is written last of all."""

STUCK_AFTER = 30.0
"""Seconds that one round of the dispatcher may take while the database answers."""


class House:
    """Every room, built and connected; nothing runs before `live`."""

    def __init__(self, config: Config, store: SqlStore, aria2_log: Aria2Log, resolver: Resolver) -> None:
        holder, rng = config.daemon.name or holder_name(config.daemon.state_dir), Random()
        _say_isolation(config)
        self._store = store
        self._bell, news = Bell(), News()
        small_jobs = ThreadPoolExecutor(THREADS, thread_name_prefix="small jobs")
        guests = Guests()
        self._blocks = BlockLog(config.daemon.state_dir / BLOCKS, guests, now)
        self._guard = config.guard
        self._dialler = Dialler(resolver=resolver, judge=rules_of(config), blocked=self._blocks.note)
        self._dialler.shut = not config.guard.egress
        temp_dir = config.download.temp_dir.resolve()
        scratch = ScratchFolders(root=temp_dir, small_jobs=small_jobs)
        disk = Disk(scratch, floor=config.disk.floor, reserve=config.disk.reserve)
        self._tap = Tap(disk.room)
        self._proxy = Proxy(self._dialler, self._tap)
        aria2 = partial(
            Aria2Server,
            aria2c=config.download.aria2c,
            isolation=Isolation(config.guard.isolation),
            serve_proxy=self._proxy.serve,
            heard=aria2_log.heard,
            last_words=aria2_log.tail,
            stall_limit=config.download.stall_limit,
        )
        state_dir = config.daemon.state_dir
        self._aria2 = aria2(scratch=temp_dir, lock=state_dir / "sandbox.lock", slots=config.download.slots)
        prober, library = Prober(dial=self._dialler.dial), _library(config, small_jobs)
        self._downloader = Aria2Downloader(
            server=self._aria2,
            quarantine=Quarantine(
                lambda folder, lock: aria2(scratch=folder, lock=lock, slots=1, called="aria2 for one task alone"),
                locks=state_dir,
            ),
            prober=prober,
            guests=guests,
            stall_limit=config.download.stall_limit,
            small_jobs=small_jobs,
        )
        self._allowance = Allowance(store=store, clock=now, shares=shares_of(config))
        self._adoption = Adoption(
            store=store, scratch=scratch, bell=self._bell, news=news, allowance=self._allowance, clock=now
        )
        self._rival = Rival(store, now)
        self._worker = Worker(
            store=store,
            downloader=self._downloader,
            scratch=scratch,
            library=library,
            news=news,
            holder=holder,
            limits=_limits(config),
            allowance=self._allowance,
            disk=disk,
            host_trouble=self._host_trouble,
            clock=now,
            rng=rng,
        )
        self._janitor = Janitor(
            store=store, scratch=scratch, holder=holder, keep_failed=config.download.keep_failed, clock=now
        )
        self._dispatcher = Dispatcher(
            store=store,
            worker=self._worker,
            janitor=self._janitor,
            news=news,
            bell=self._bell,
            allowance=self._allowance,
            disk=disk,
            holder=holder,
            slots=config.download.slots,
            enabled=config.daemon.enabled,
            egress=config.guard.egress,
            poll=config.intake.poll,
            clock=now,
            rng=rng,
            adopt_again=self._adoption.again,
        )
        preflight = Preflight(
            scout=LinkScout(prober, guests),
            library=library,
            allowance=self._allowance,
            disk=disk,
            max_size=lambda: self._worker.limits.max_size,
            clock=now,
        )
        self._desk = Desk(
            store=store,
            news=news,
            bell=self._bell,
            clock=now,
            allowance=self._allowance,
            keyring=Keyring(store.keys, now),
            obstacle=self._dispatcher.obstacle,
            preflight=preflight,
            rival=lambda: self._rival.sighting,
            away=lambda: store.away,
        )
        self._control = ControlDoor(self._desk, config.daemon.state_dir / "control.sock")
        self._take_over = config.intake.take_over == "start"
        self._table = TableDoor(adoption=self._adoption, rival=self._rival, poll=config.intake.poll, rng=rng)
        self._events = events_door_of(config, self._desk)
        self._vitals = Vitals(
            stuck=self._stuck,
            troubles=self._troubles,
            respawns=lambda: self._aria2.respawns,
            blocks=lambda: self._blocks.count,
            database_latency=store.latency,
        )
        self._hooks = hooks_of(config, news, store.outbox, self._dialler.dial, now)
        self._http = http_door_of(config, self._desk, self._vitals)
        self._name = holder

    async def live(self, stop: Stop, manager: ServiceManager) -> None:
        """Opens from the cellar to the doors, works until the stop, and closes from the doors to the cellar.

        Raises OperatorError if aria2 or its sandbox cannot be started.
        """
        with _telling_the_operator():
            async with asyncio.TaskGroup() as group:
                cellar = [
                    group.create_task(self._aria2.run(), name="aria2 and its sandbox"),
                    group.create_task(self._downloader.run(), name="looks of the downloader"),
                    group.create_task(self._tap.run(), name="tap of the downloads"),
                    group.create_task(self._blocks.run(), name="block log"),
                    group.create_task(self._allowance.run(), name="what users take"),
                ]
                if self._hooks is not None:
                    cellar.append(group.create_task(self._hooks.run(), name="web hooks"))
                async with stop.cutting_short():
                    await self._downloader.ready()
                    if self._take_over:
                        await self._adoption.take_over()
                if not stop.asked.is_set():
                    await self._work(group, stop, manager)
                    await self._write_the_last()
                for task in cellar:
                    task.cancel()

    async def _write_the_last(self) -> None:
        """What is gathered for a moment before it is written, if the database takes it now."""
        try:
            async with asyncio.timeout(FAREWELL):
                await self._allowance.flush()
                if self._hooks is not None:
                    await self._hooks.flush()
        except TimeoutError:
            log.warning("the database does not answer: what was gathered in the last second is not in it")

    async def _work(self, group: asyncio.TaskGroup, stop: Stop, manager: ServiceManager) -> None:
        working = group.create_task(self._dispatcher.run(), name="dispatcher")
        doors = [
            group.create_task(self._open_the_control_door(), name="control door"),
            group.create_task(self._table.serve(), name="table door"),
            group.create_task(manager.keep_alive(self._stuck), name="watchdog"),
            group.create_task(manager.keep_informed(self._name, self._vitals), name="status"),
        ]
        if self._http is not None:
            doors.append(group.create_task(self._http.serve(), name="HTTP door"))
        if self._events is not None:
            doors.append(group.create_task(self._events.serve(), name="events door"))
        await self._control.open.wait()
        manager.ready(f"{self._name} is working")
        log.info("%s is working", self._name)
        await stop.asked.wait()
        log.info("stopping")
        manager.stopping()
        for door in doors:
            door.cancel()
        self._dispatcher.stop()
        _, late = await asyncio.wait({working}, timeout=STOP_LIMIT)
        if late:
            log.warning("%d tasks did not let go in time: their leases run out", self._dispatcher.running)
            working.cancel()

    async def _open_the_control_door(self) -> None:
        try:
            await self._control.serve()
        except OSError as error:
            raise OperatorError(f"the control socket cannot be made: {error}; look at [daemon] state_dir") from error

    def tune(self, config: Config) -> None:
        """Takes over the settings that can change while everything runs."""
        self._worker.limits = _limits(config)
        self._allowance.shares = shares_of(config)
        self._janitor.keep_failed = config.download.keep_failed
        self._aria2.set_slots(config.download.slots)
        self._dispatcher.tune(slots=config.download.slots, enabled=config.daemon.enabled, egress=config.guard.egress)
        self._guard_anew(config)
        logging.getLogger().setLevel(config.log.level.upper())

    def _guard_anew(self, config: Config) -> None:
        """New rules hold for connections that there are, too."""
        if config.guard == self._guard:
            return
        self._guard = config.guard
        self._dialler.judge, self._dialler.shut = rules_of(config), not config.guard.egress
        self._proxy.cut()

    def _host_trouble(self, trouble: Trouble, seconds: float) -> None:
        self._dispatcher.host_trouble(trouble, seconds)

    def _troubles(self) -> list[str]:
        """What keeps the daemon from working just now."""
        troubles = ["the database does not answer"] if self._store.away else []
        troubles += [] if self._aria2.up else ["aria2 does not run"]
        obstacle = self._dispatcher.obstacle() if self._dispatcher.enabled else None
        return troubles + ([obstacle.sentence] if obstacle else [])

    def _stuck(self) -> bool:
        return self._dispatcher.round_lasts > STUCK_AFTER and not self._store.away


def _library(config: Config, small_jobs: Executor) -> Library:
    try:
        return library_of(config, small_jobs)
    except TokensTrouble as trouble:
        raise OperatorError(str(trouble)) from trouble
    except OSError as error:
        raise OperatorError(
            f"the library cannot be used: {error.strerror}: {error.filename}; look at [library] folder"
        ) from error


def _limits(config: Config) -> Limits:
    return Limits(
        time_limit=config.download.time_limit,
        max_size=config.download.max_size,
        keep_failed=config.download.keep_failed,
        patience=Patience(config.download.retries, config.download.retry_wait),
    )


def _say_isolation(config: Config) -> None:
    if config.guard.isolation == Isolation.PROXY_ONLY:
        log.warning(
            'aria2 runs WITHOUT its sandbox ([guard] isolation = "proxy-only"): a flaw in aria2 could reach this '
            "host's network and files; allow user namespaces here and set it to "
            '"namespace"'
        )


@contextmanager
def _telling_the_operator() -> Iterator[None]:
    try:
        yield
    except BaseExceptionGroup as group:
        trouble, others = group.split((SandboxTrouble, OperatorError))
        if trouble is None or others is not None:
            raise
        raise OperatorError(str(_first(trouble))) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def now() -> datetime:
    """The wall clock of the whole house."""
    return datetime.now(UTC)
