"""The libraries of a Seafile server, written to as if the user had uploaded the file: right owner, folder, name, once.

The server checks nothing of what it is told to take in, gives a taken name a number, and does not say what came of a
call whose answer was lost. So everything is asked before each commit, a free name and the id of the bytes are in the
table before the server hears of them, and what was written is looked up by that id.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Final

from odl_daemon.library import seafile_sentences
from odl_daemon.library.digests import Digests
from odl_daemon.library.file_id import BLOCK, Digest
from odl_daemon.library.layout import layout, name_here, wanted_name
from odl_daemon.library.reserved import Reserved
from odl_daemon.library.seafile_admission import Admission
from odl_daemon.library.seafile_search import Search, Sight, is_numbered
from odl_daemon.library.seafile_server import Entry, Server
from odl_daemon.library.seafile_writing import LOOKS, Posting, Writing
from odl_daemon.library.searpc import Refused
from odl_daemon.model.names import free_name
from odl_daemon.model.task import Fetched, Intent, Placement, Task
from odl_daemon.ports import NameTaken, Saved, unheard

LINGERS: Final = 15.0
"""Seconds that a server may need for a commit besides reading its bytes."""

INDEXING: Final = 50e6
"""Bytes per second that a slow server reads and indexes; 400 MB/s were seen."""


class SeafileLibrary:
    """ports.Library. Nothing else of the daemon may write into a library while a plan and its commit are under way:
    see `lock_of`."""

    usual_pace = 100e6

    def __init__(
        self,
        server: Server,
        posting: Posting,
        small_jobs: Executor | None = None,
        *,
        block: int = BLOCK,
        looks: Sequence[float] = LOOKS,
    ) -> None:
        """`block`: bytes of a block of a file, as the server has it; `looks`: seconds before each further look for a
        file whose commit was not answered."""
        self._server = server
        self._admission = Admission(server)
        self._search = Search(server)
        self._writing = Writing(server, posting, looks)
        self._digests = Digests(small_jobs, block)
        self._reserved = Reserved()

    def lock_of(self, task: Task) -> str:
        """The name of what a plan and its commit need for themselves: commits into one library at the same time
        are merged or renamed by the server."""
        return f"library {task.library}"

    def lingers(self, size: int) -> float:
        """A server carries out what it was told, also if nobody waits for its answer any longer."""
        return LINGERS + size / INDEXING

    async def check(self, task: Task) -> None:
        with seafile_sentences.told():
            await self._admission.admit(task)

    async def payer(self, task: Task) -> str:
        """Whose quota the task's bytes count against; "" for nobody's."""
        with seafile_sentences.told():
            return await self._server.payer(task)

    async def fits(self, task: Task, size: int) -> None:
        """Raises Trouble if the payer may not have so many more bytes."""
        with seafile_sentences.told():
            if not await self._server.has_room(task, size):
                await self._admission.library(task)  # one that was deleted just now has no room, either
                raise seafile_sentences.over_quota()

    async def plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        """What was written under another name than the earlier intent's is in the new one under that name."""
        if not fetched.files:
            raise seafile_sentences.gone()
        with seafile_sentences.told():
            await self._admission.admit(task)
            return await self._kept(task, folder, fetched) or await self._chosen(task, folder, fetched)

    async def landed(self, task: Task, intent: Intent) -> Intent | None:
        with seafile_sentences.told():
            sight = await self._look(task, intent)
        return sight.intent if sight.complete else None

    async def commit(self, task: Task, folder: str, intent: Intent, saved: Saved = unheard) -> Intent:
        """Returns the intent with the paths that the files have; of one that has landed, without a look at `folder`."""
        with seafile_sentences.told():
            sight = await self._look(task, intent)
            if sight.taken:
                raise NameTaken(sight.taken[0])
            done = sight.intent
            if sight.missing:
                await self._admission.admit(task)
                await self.fits(task, sum(file.size for file in sight.missing))
                done = await self._writing.write(task, folder, done, sight.missing, saved)
        self._reserved.release(task.id)
        return done

    async def _look(self, task: Task, intent: Intent) -> Sight:
        try:
            return await self._search.look(task, intent)
        except Refused:
            await self._admission.library(task)  # it says what is wrong with a library that cannot be looked into
            raise

    # --- the plan

    async def _kept(self, task: Task, scratch: str, fetched: Fetched) -> Intent | None:
        """The task's earlier intent, if it was carried out, or can be."""
        if task.intent is None:
            return None
        sight = await self._look(task, task.intent)
        if sight.complete:  # by whoever had the task before: those are its files
            return sight.intent
        sources = [file.source for file in sight.intent.files]
        if sight.taken or sources != [file.name for file in fetched.files]:
            return None
        intent = _bearing(sight.intent, await self._digests.of(scratch, fetched))
        changed = [old for old, new in zip(sight.intent.files, intent.files, strict=True) if old != new]
        if any(file not in sight.missing for file in changed):  # older bytes stand in the place of one of them
            return None
        return intent if self._reserve(task, intent.path) else None

    async def _chosen(self, task: Task, scratch: str, fetched: Fetched) -> Intent:
        digests = await self._digests.of(scratch, fetched)
        sources = [file.name for file in fetched.files]
        object_id = digests[0].file_id() if len(sources) == 1 else ""
        place = await self._free(task, name_here(task.name or wanted_name(task.url, sources)), object_id)
        paths = [f"{place}/{inside}" for inside in layout(sources)] if len(sources) > 1 else [place]
        files = (Placement(source, path, 0, "") for source, path in zip(sources, paths, strict=True))
        return _bearing(Intent(place, tuple(files)), digests)

    async def _free(self, task: Task, wanted: str, object_id: str) -> str:
        """A free place in the target folder that no other task of ours is about to take."""
        above = task.target.rstrip("/")
        taken = _Taken(await self._search.entries(task, above), object_id)
        while True:
            name = free_name(wanted, taken)
            if self._reserve(task, f"{above}/{name}"):
                return f"{above}/{name}"
            taken.names.add(name)

    def _reserve(self, task: Task, path: str) -> bool:
        place = f"{task.library}{path}"
        if self._reserved.by_others(task.id, place):
            return False
        self._reserved.take(task.id, place)
        return True


class _Taken:
    """Names that a new file cannot have: one that is taken, or one whose numbers hold the same bytes already, which
    after a silence could not be told from the new file."""

    def __init__(self, entries: Sequence[Entry], object_id: str) -> None:
        self.names = {entry.name for entry in entries}
        self._twins = [entry.name for entry in entries if entry.id == object_id]

    def __contains__(self, name: object) -> bool:
        return name in self.names or any(is_numbered(twin, str(name)) for twin in self._twins)


def _bearing(intent: Intent, digests: Sequence[Digest]) -> Intent:
    """The intent to write these bytes."""
    files = (
        replace(file, size=digest.size, sha256=digest.sha256(), object_id=digest.file_id())
        for file, digest in zip(intent.files, digests, strict=True)
    )
    return replace(intent, files=tuple(files))
