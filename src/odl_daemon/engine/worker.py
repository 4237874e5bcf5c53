"""The life of one task in this daemon's hands: fetch, then commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any, assert_never

from odl_daemon.engine.allowance import Allowance, too_large
from odl_daemon.engine.disk import Disk
from odl_daemon.engine.endings import Ending, Endings, Limits, committed, unforeseen
from odl_daemon.engine.locks import Locks
from odl_daemon.engine.news import News
from odl_daemon.engine.run import Left, Run
from odl_daemon.engine.saving import Pace, Saving
from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.model.task import Fetched, Intent, Phase, Progress, Reason, Task
from odl_daemon.ports import Downloader, LeaseLost, Library, NameTaken, Remedy, Scratch, Store, Trouble

log = logging.getLogger(__name__)

NAMES_TO_TRY = 100
"""How often a commit plans again because somebody took the name; then something else is wrong."""

SETTLING_TIME = 0.5
"""Seconds that an ended task may wait for its scratch folder to be gone before its row tells the end."""

PLANNED_AT_ONCE = 1 << 20
"""Bytes; the commit of a smaller file is planned in the moment when it arrives, and needs no turn of a large one."""

SMALL_COMMITS = 32
"""Small files that are on their way into the library at a time; the library writes them in batches."""

LATE_LOOK = 0.5
"""Seconds between two looks for a file that an earlier life may have committed."""


class Worker:
    """Walks tasks: one `live` call for each claimed task, many at a time."""

    def __init__(
        self,
        *,
        store: Store,
        downloader: Downloader,
        scratch: Scratch,
        library: Library,
        news: News,
        holder: str,
        limits: Limits,
        allowance: Allowance,
        disk: Disk,
        host_trouble: Callable[[Trouble, float], None],
        clock: Callable[[], datetime],
        rng: Random,
        commits: int = 2,
    ) -> None:
        self._store = store
        self._downloader = downloader
        self._scratch = scratch
        self._library = library
        self._news = news
        self._holder = holder
        self._endings = Endings(limits, host_trouble=host_trouble, clock=clock, rng=rng)
        self._allowance = allowance
        self._disk = disk
        self._clock = clock
        self._locks = Locks(store, rng)
        self._pace = Pace(library.usual_pace)
        self._commit_turns = asyncio.Semaphore(commits)
        self._small_turns = asyncio.Semaphore(SMALL_COMMITS)

    @property
    def limits(self) -> Limits:
        """What holds from now on, for tasks that run already, too."""
        return self._endings.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._endings.limits = limits

    async def live(self, run: Run) -> None:
        """The life of a claimed task, to its end or to the next holder; never raises for a task's trouble."""
        try:
            ending = await self._walk(run)
            if ending.event in (Event.CANCELLED, Event.FAILED) and (landed := await self.landed(run.task)):
                run.task, ending = landed, committed(landed)
            await self._end(run, ending)
        except LeaseLost:
            log.warning("task %d: lease lost, leaving it alone", run.task.id)
            self._news.forget(run.task.id)
            await self._drop_bytes(run.task)

    async def landed(self, task: Task) -> Task | None:
        """The task with the paths of its files, if a commit that nobody could tell of has put them into the library:
        before a task is ended without them this is asked, so that none is both cancelled and there."""
        try:
            return await self._found_there(task)
        except Trouble as trouble:
            log.info("task %d: whether its file is there already could not be seen: %s", task.id, trouble)
            return None

    async def _found_there(self, task: Task) -> Task | None:
        done = None if task.intent is None else await self._library.landed(task, task.intent)
        return None if done is None else replace(task, intent=done)

    async def _walk(self, run: Run) -> Ending:
        try:
            if await self._landed(run):
                return committed(run.task)
            planned = False if await self._bytes_are_kept(run) else await self._fetch(run)
            await self._commit(run, planned=planned)
            return committed(run.task)
        except Left:
            return self._endings.left(run)
        except Trouble as trouble:
            return self._endings.left(run) if run.unwanted else self._endings.after(trouble, run)
        except LeaseLost:
            raise
        except Exception:  # the one place: a bug must cost one attempt of one task, never the daemon
            log.exception("task %d: an error that nobody foresaw", run.task.id)
            return self._endings.after(unforeseen(), run)
        finally:
            self._stop_clock(run)

    # --- before the fetch

    async def _landed(self, run: Run) -> bool:
        """Whether an earlier attempt put the files into the library and could not say so."""
        async with run.leavable():
            if run.task.intent is None:
                await self._library.check(run.task)
                return False
            landed = await self._found_there(run.task)
        if landed is not None:
            run.task = landed
        return landed is not None

    async def _bytes_are_kept(self, run: Run) -> bool:
        """Whether the bytes of an earlier attempt lie here in full; goes on to COMMITTING if so."""
        fetched = run.task.fetched
        if fetched is None or fetched.holder != self._holder:
            return False
        async with run.leavable():
            if not await self._scratch.holds(run.task.id, fetched):
                return False
        await self._step(run, Event.KEPT)
        return True

    # --- fetch

    async def _fetch(self, run: Run) -> bool:
        """Brings the bytes; the task is COMMITTING afterwards. Returns whether its commit is planned already."""
        try:
            async with run.leavable():
                fetched = await self._transfer(run, self._scratch.path(run.task.id))
        finally:
            self._allowance.over(run.task)
            self._disk.leave(run.task.id)
        self._stop_clock(run)
        self._allowance.fetched(run.task.owner, fetched.size - run.progress.done)
        self._check_size(run.task, fetched.size)
        run.progress = Progress(fetched.size, fetched.size, 0, run.progress.validator, saving=self._pace.rate)
        intent = await self._planned_at_once(run, fetched)
        fetched = replace(fetched, holder=self._holder)
        changes = {"intent": intent} if intent else {}
        await self._step(run, Event.FETCHED, fetched=fetched, progress=run.progress, strikes=0, **changes)
        return intent is not None

    async def _planned_at_once(self, run: Run, fetched: Fetched) -> Intent | None:
        """The intent for a small file, so that one write keeps both steps; a trouble waits for the commit, which
        keeps the bytes."""
        if fetched.size > PLANNED_AT_ONCE:
            return None
        try:
            return await self._library.plan(run.task, self._scratch.path(run.task.id), fetched)
        except Trouble:
            return None

    async def _transfer(self, run: Run, folder: str) -> Fetched:
        async with aclosing(self._downloader.fetch(run.task, folder)) as transfer:
            async for item in transfer:
                match item:
                    case Progress():
                        await self._note(run, item)
                    case Fetched():
                        return item
                    case _:
                        assert_never(item)
        raise Trouble(Reason.INTERRUPTED, "the transfer ended without a file", Remedy.RETRY)

    async def _note(self, run: Run, progress: Progress) -> None:
        """Takes one progress in: the first one starts the clock, each one is held against the limits."""
        total_is_news = progress.total is not None and run.progress.total != progress.total
        self._allowance.fetched(run.task.owner, progress.done - run.progress.done)
        run.progress = replace(progress, saving=self._pace.rate)
        self._news.progress(run.task, run.progress)
        if run.task.phase is Phase.QUEUED:
            run.start_clock(self.limits.time_limit)
            await self._step(run, Event.STARTED)
        self._check_size(run.task, max(progress.done, progress.total or 0))
        await self._allowance.check(run.task, progress)
        await self._disk.check(run.task.id, progress)
        if total_is_news:
            await self._reserve_early(run, progress.total or 0)

    def _check_size(self, task: Task, size: int) -> None:
        if 0 < self.limits.max_size < size:
            raise too_large(size, f"at most {self.limits.max_size:,}")
        self._allowance.check_size(task, size)

    async def _reserve_early(self, run: Run, size: int) -> None:
        """What has no room ends now, not after its download; a library that is away is asked at the commit."""
        try:
            await self._reserve(run, size)
        except Trouble as trouble:
            if trouble.remedy is not Remedy.HOST:
                raise
            log.info("task %d: no room was set aside for it: %s", run.task.id, trouble)

    async def _reserve(self, run: Run, size: int) -> None:
        """Sets room aside where the library's owner has a quota, one task after the other: two of them must not
        count on the same room. Raises Trouble."""
        if run.reserved == size:
            return
        payer = await self._library.payer(run.task)
        if payer:
            async with self._locks.held(f"quota {payer}", run.task):
                reserved = await self._store.reserve(run.task, payer, size)
                try:
                    await self._library.fits(run.task, reserved)
                except Trouble:
                    await self._store.reserve(run.task, payer, 0)
                    raise
        run.reserved = size

    def _stop_clock(self, run: Run) -> None:
        if run.clock_runs:
            run.task = replace(run.task, spent=run.stop_clock())

    # --- commit

    async def _commit(self, run: Run, *, planned: bool) -> None:
        """Puts the bytes into the library, exactly once: the intent is durable before anything is written."""
        if await self._is_committed_late(run):
            return
        async with self._turn(run), self._alone(run):
            with Saving(run, self._pace, self._news.progress) as saving:
                await self._save_it(run, saving, planned=planned)

    async def _is_committed_late(self, run: Run) -> bool:
        """Whether the library carries out what an earlier life has asked for: to ask once more meanwhile would make
        two files of one."""
        if not run.may_be_committing or run.task.intent is None:
            return False
        now = asyncio.get_running_loop().time
        over = now() + self._library.lingers(run.task.intent.size)
        async with run.leavable():
            while now() < over:
                await asyncio.sleep(min(LATE_LOOK, over - now()))
                landed = await self._found_there(run.task)
                if landed is not None:
                    run.task = landed
                    return True
        return False

    async def _save_it(self, run: Run, saving: Saving, *, planned: bool) -> None:
        await self._reserve(run, run.task.fetched.size if run.task.fetched else 0)
        for _ in range(NAMES_TO_TRY):
            if not planned:
                await self._plan(run)
            try:
                await self._write(run, saving)
                return
            except NameTaken:
                log.info("task %d: somebody took the name that it was to have, choosing another", run.task.id)
                planned = False
        raise Trouble(Reason.COMMIT_FAILED, "no free name was found in the target folder", Remedy.RETRY)

    @asynccontextmanager
    async def _turn(self, run: Run) -> AsyncIterator[None]:
        """Waits for the task's turn to commit."""
        fetched = run.task.fetched
        small = fetched is not None and fetched.size <= PLANNED_AT_ONCE
        turns = self._small_turns if small else self._commit_turns
        async with run.leavable():
            await turns.acquire()
        try:
            yield
        finally:
            turns.release()

    @asynccontextmanager
    async def _alone(self, run: Run) -> AsyncIterator[None]:
        """Nobody else commits into this library, if it needs that."""
        task, name = run.task, self._library.lock_of(run.task)
        async with run.leavable():
            await self._locks.acquire(name, task)
        try:
            yield
        finally:
            await self._locks.release(name, task)

    async def _plan(self, run: Run) -> None:
        fetched = run.task.fetched
        if fetched is None:
            raise Trouble(Reason.INTERNAL, "the fetched bytes are not known any longer", Remedy.RETRY)
        async with run.leavable():
            intent = await self._library.plan(run.task, self._scratch.path(run.task.id), fetched)
        run.task = replace(run.task, intent=intent)
        await self._store.save(run.task)

    async def _write(self, run: Run, saving: Saving) -> None:
        """Carries the intent out; nothing leaves it in the middle."""
        intent = run.task.intent
        assert intent is not None, "a commit is planned first"
        saving.again()
        done = await self._library.commit(run.task, self._scratch.path(run.task.id), intent, saving.saved)
        run.task = replace(run.task, intent=done)

    # --- its end

    async def _end(self, run: Run, ending: Ending) -> None:
        """Writes the end of the walk, and frees the disk: before the row tells the end, where that is quick."""
        wiped = ending.wipe and await self._wipe_soon(run.task)
        await self._step(run, ending.event, **ending.changes)
        if ending.wipe and not wiped:
            await self._drop_bytes(run.task)
        elif not ending.wipe:
            await self._downloader.gone(run.task)

    async def _wipe_soon(self, task: Task) -> bool:
        try:
            async with asyncio.timeout(SETTLING_TIME):
                await self._downloader.gone(task)
        except TimeoutError:
            return False
        await self._scratch.wipe(task.id)
        return True

    async def _drop_bytes(self, task: Task) -> None:
        await self._downloader.gone(task)
        await self._scratch.wipe(task.id)

    # --- steps

    async def _step(self, run: Run, event: Event, **changes: Any) -> None:
        """One step of the lifecycle: made, kept, told."""
        run.task = advance(run.task, event, at=self._clock(), **changes)
        await self._store.save(run.task)
        self._news.publish(run.task)
