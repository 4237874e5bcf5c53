"""Brings a task's bytes into its scratch folder by aria2."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from odl_daemon.download import failures
from odl_daemon.download.conf import checked
from odl_daemon.download.inheritance import Inherited
from odl_daemon.download.leftovers import Leftovers, look
from odl_daemon.download.probe import NoAnswer, Prober
from odl_daemon.download.quarantine import Quarantine
from odl_daemon.download.scratch import empty
from odl_daemon.download.server import Aria2Server
from odl_daemon.download.suspects import Suspects
from odl_daemon.download.transfer import Part, State, Transfer, gid_of
from odl_daemon.guard.guests import Guests
from odl_daemon.model import source
from odl_daemon.model.task import Fetched, Progress, Reason, Task
from odl_daemon.ports import Remedy, Trouble
from odl_daemon.together import Together, each

log = logging.getLogger(__name__)

BLINK: Final = 0.02
"""Seconds; a transfer that ends sooner is told of by its end alone: nobody could have looked at it."""

SETTLED: Final = 0.3
"""Seconds after which a running transfer is worth asking its source for a validator: most small files are
here before."""

RESTARTS: Final = 20
"""How often in a row a fetch begins anew because somebody kills aria2, without being further than before."""

SURELY_FITS: Final = 1 << 40
"""Bytes; whether the disk could ever hold a smaller file is not asked."""

NAME_LIMIT: Final = 180
"""Bytes of a name that we choose: with aria2's own suffixes it still is below every file system's 255."""


class Aria2Downloader:
    """ports.Downloader. `run` must be running, and the server's `run` too.

    A death of aria2 costs a fetch time and nothing else: it looks at its folder as at the beginning and adds
    itself anew. Who may be the cause of a crash is noted: at first its source is asked what it has, then the fetch
    goes on alone, with an aria2 of its own in quarantine, and who brings that one down is given up.
    """

    def __init__(
        self,
        *,
        server: Aria2Server,
        quarantine: Quarantine,
        prober: Prober,
        guests: Guests,
        stall_limit: float,
        small_jobs: Executor | None = None,
    ) -> None:
        self._guests = guests
        self._server = server
        self._quarantine = quarantine
        self._suspects = Suspects()
        self._prober = prober
        self._stall_limit = stall_limit
        self._looks: Together[str, Leftovers] = Together(each(look), small_jobs)
        self._questions: asyncio.Queue[_Fetch] = asyncio.Queue()
        self._open: dict[int, Transfer] = {}
        self._fetches: Counter[str] = Counter()
        """How many fetches each owner has under way."""

    async def run(self) -> None:
        """Asks sources for their validators, and serves the quarantine, for ever. Raises Breach when a sandbox of that
        does not hold, and SandboxTrouble if one of an earlier daemon does not die."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._quarantine.run(), name="quarantine")
            for _ in range(8):
                group.create_task(self._ask_sources(), name="asks sources for their validators")

    async def ready(self) -> None:
        """Waits until fetches can begin: aria2 is up, and nothing of an earlier daemon can touch a folder."""
        await self._server.ready()
        await self._quarantine.clear()

    async def fetch(self, task: Task, folder: str) -> AsyncGenerator[Progress | Fetched, None]:
        """See ports.Downloader."""
        fetch = _Fetch(task, folder, self._server.address_of(task.owner))
        await self.gone(task)
        with (
            self._guests.present(fetch.who, owner=task.owner, task=task.id, host=fetch.host),
            self._counted(task.owner),
        ):
            while True:
                await self._ask_a_suspect(fetch)
                name = await self._name_to_continue(fetch)
                async with self._aria2_for(fetch) as aria2:
                    transfer = self._begin(fetch, aria2, name)
                    try:
                        while not transfer.ended:
                            await transfer.changed()
                            if transfer.state is State.RUNNING and not await transfer.ends_within(BLINK):
                                yield await self._heard(fetch, transfer)
                    finally:
                        aria2.transfers.closing(transfer)
                match transfer.state:
                    case State.COMPLETE:
                        yield await self._brought(fetch, transfer)
                        return
                    case State.LOST:
                        self._count_death(fetch, transfer)
                    case _:
                        await self._judge(fetch, transfer)
                await transfer.gone.wait()

    async def gone(self, task: Task) -> None:
        """See ports.Downloader."""
        transfer = self._open.get(task.id)
        if transfer is not None:
            await transfer.gone.wait()
            if self._open.get(task.id) is transfer:
                del self._open[task.id]

    @contextmanager
    def _counted(self, owner: str) -> Iterator[None]:
        self._fetches[owner] += 1
        try:
            yield
        finally:
            self._fetches[owner] -= 1
            if not self._fetches[owner]:
                del self._fetches[owner]

    # --- before ---------------------------------------------------------------------------------------------

    async def _ask_a_suspect(self, fetch: _Fetch) -> None:
        """What says by itself that no disk here could hold it need not bring aria2 down again."""
        if not self._suspects.record(fetch.task.id).suspect:
            return
        try:
            answer = await self._prober.ask(fetch.url, fetch.who)
        except NoAnswer as error:
            log.debug("task %d: its source does not say what it has: %s", fetch.task.id, error)
            return
        await self._check_possible(fetch, answer.length)

    async def _check_possible(self, fetch: _Fetch, length: int | None) -> None:
        if length is None or length <= SURELY_FITS:
            return
        disk = await asyncio.to_thread(shutil.disk_usage, Path(fetch.folder).parent)
        if length > disk.total:
            raise failures.impossible(fetch.host)

    @asynccontextmanager
    async def _aria2_for(self, fetch: _Fetch) -> AsyncIterator[Aria2Server]:
        """The aria2 that all share, or one for this fetch alone."""
        fetch.alone = self._suspects.record(fetch.task.id).alone
        if fetch.alone:
            async with self._quarantine.stay(fetch.folder) as aria2:
                yield aria2
        else:
            await self._server.ready()
            yield self._server

    async def _name_to_continue(self, fetch: _Fetch) -> str:
        """The name of a begun file that may be continued; without one the folder is empty afterwards."""
        found = await self._look(fetch)
        if found.begun and found.begun.isprintable() and await self._unchanged(fetch):
            return found.begun
        fetch.validator = ""
        if not found.clean:
            log.debug("task %d: starts from the first byte", fetch.task.id)
            await _empty(fetch.folder)
        return ""

    async def _look(self, fetch: _Fetch) -> Leftovers:
        try:
            return await self._looks.ask(fetch.folder)
        except OSError as error:
            raise failures.unusable_disk() from error

    async def _unchanged(self, fetch: _Fetch) -> bool:
        """Whether the source still has the version that was begun, as far as it lets itself be asked. A source
        that is away, or refuses just now, is no reason to throw bytes away: that is this attempt's trouble."""
        if not fetch.validator:
            return False
        try:
            answer = await self._prober.ask(fetch.url, fetch.who)
        except NoAnswer as error:
            log.debug("task %d: its source does not say what it has: %s", fetch.task.id, error)
            if error.connected:
                return False
            raise failures.unreachable(fetch.host) from error
        if answer.status >= 400 and answer.status not in (405, 501):
            raise failures.refusal(answer.status, fetch.host, after=answer.after)
        fetch.headable = answer.headable
        inherited = Inherited.read(fetch.validator)
        return answer.validator == fetch.validator if inherited is None else inherited.fits(answer)

    # --- while it runs --------------------------------------------------------------------------------------

    def _begin(self, fetch: _Fetch, aria2: Aria2Server, name: str) -> Transfer:
        earlier = self._suspects.record(fetch.task.id).most
        transfer = fetch.next_transfer(aria2.proxy_for(fetch.task.owner), name, earlier)
        transfer.first = self._fetches[fetch.task.owner] == 1
        self._open[fetch.task.id] = transfer
        aria2.transfers.add(transfer)
        return transfer

    async def _heard(self, fetch: _Fetch, transfer: Transfer) -> Progress:
        """What to tell of a running transfer. Raises Trouble if nothing comes any longer, or more than can be held."""
        await self._check_possible(fetch, transfer.total)
        self._wonder(fetch, transfer)
        if transfer.stalled:
            answered = transfer.fed or transfer.total is not None
            raise (failures.stalled if answered else failures.silent)(fetch.host, self._stall_limit)
        fetch.told = True
        return transfer.progress(fetch.validator)

    def _wonder(self, fetch: _Fetch, transfer: Transfer) -> None:
        """Has the source asked for its validator, once, when the transfer is no short one."""
        if fetch.validator or fetch.wondered is transfer:
            return
        if asyncio.get_running_loop().time() - transfer.began >= SETTLED:
            fetch.wondered = transfer
            self._questions.put_nowait(fetch)

    async def _ask_sources(self) -> None:
        while True:
            fetch = await self._questions.get()
            transfer = fetch.wondered
            if transfer is None or transfer.ended or transfer.closing:
                continue
            try:
                answer = await self._prober.ask(fetch.url, fetch.who)
            except NoAnswer as error:
                log.debug("task %d: no validator: %s", fetch.task.id, error)
                continue
            # Another length is another version, or no length at all: either way not what is being fetched.
            if fetch.wondered is transfer and not transfer.ended and answer.length == transfer.total:
                fetch.validator = answer.validator
                transfer.ring()

    # --- after ----------------------------------------------------------------------------------------------

    async def _brought(self, fetch: _Fetch, transfer: Transfer) -> Fetched:
        found = await self._look(fetch)
        fetched = Fetched(files=found.files)
        if not found.files or (transfer.total or 0) != fetched.size:
            raise Trouble(Reason.INTERRUPTED, f"the file from {fetch.host} did not arrive whole", Remedy.WIPE)
        self._suspects.clear(fetch.task.id)
        return fetched

    def _count_death(self, fetch: _Fetch, transfer: Transfer) -> None:
        """Goes on from the death of an aria2, if this transfer is not the cause of it."""
        record = self._suspects.note(fetch.task.id, transfer)
        if transfer.part is Part.NONE:
            fetch.restarts = 1 if transfer.grew else fetch.restarts + 1
            if fetch.restarts > RESTARTS:
                raise failures.restless()
        elif fetch.alone:
            raise failures.deadly(fetch.host)
        elif record.alone:
            log.warning("task %d: aria2 crashed over and over while it fetched this: it goes on alone", fetch.task.id)

    async def _judge(self, fetch: _Fetch, transfer: Transfer) -> None:
        """Raises the trouble of a transfer that failed, or lets it be tried once more under a short name."""
        log.debug("task %d: aria2 error %d: %s", fetch.task.id, transfer.code, transfer.message)
        await self._check_possible(fetch, transfer.total)  # aria2 says "disk" when a file system cannot count so far
        if transfer.state is State.REFUSED:
            raise failures.bad_url()
        if transfer.code == _NAME_TROUBLE and not fetch.short_name:
            fetch.short_name = short_name(fetch.url)
            return
        trouble = failures.trouble(transfer.code, transfer.message, fetch.host)
        if trouble.reason is Reason.SERVER_BUSY:
            trouble.after = await self._asked_to_wait(fetch)
        raise trouble

    async def _asked_to_wait(self, fetch: _Fetch) -> float | None:
        """aria2 keeps Retry-After to itself: the source is asked once more for it."""
        try:
            return (await self._prober.ask(fetch.url, fetch.who)).after
        except NoAnswer:
            return None


class _Fetch:
    """What one fetch remembers over several transfers."""

    def __init__(self, task: Task, folder: str, who: str) -> None:
        self.task = task
        self.folder = folder
        self.url, self.host = _checked_url(task.url)
        self.who = who
        self.validator = task.progress.validator
        self.wondered: Transfer | None = None
        self.short_name = ""
        self.restarts = 0
        self.alone = False
        """It has an aria2 of its own."""
        self.told = False
        """Its first progress was yielded."""
        self.headable = False
        self._transfers = 0

    def next_transfer(self, proxy: str, name: str, earlier: int) -> Transfer:
        """A new transfer with a new GID; `name` continues a begun file."""
        self._transfers += 1
        options = {"dir": self.folder, "all-proxy": proxy}
        if out := name or self.short_name:
            options["out"] = checked(out)
        if name and self.headable:
            # aria2 begins a GET of the whole before it finds out that it needs only the rest
            options["use-head"] = "true"
        count = self.task.attempt * 1000 + self._transfers
        return Transfer(
            gid_of(self.task.id, self.task.epoch, count), self.url, options, resumed=bool(name), earlier=earlier
        )


def short_name(url: str) -> str:
    """A name from the link's last part that surely is short enough; it keeps the ending."""
    last = "".join(c for c in unquote(urlsplit(url).path).rpartition("/")[2] if c.isprintable())
    if not last.strip("."):
        return "download"
    stem, dot, ending = last.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, ending = last, ""
    tail = dot + ending if ending else ""
    return _cut(stem, NAME_LIMIT - len(tail.encode())) + tail


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


async def _empty(folder: str) -> None:
    try:
        await asyncio.to_thread(empty, Path(folder))
    except OSError as error:
        raise failures.unusable_disk() from error


def _checked_url(url: str) -> tuple[str, str]:
    """The link for aria2, as it is judged and shown everywhere, and its host for people. Raises Trouble.

    A row of the table has its link as a stranger wrote it. aria2 takes a small scheme only, knows no IDNA, and splits
    `a:b@c@d` elsewhere than everybody else.
    """
    try:
        link = source.parse(url)
    except source.Unusable as error:
        raise failures.bad_url() from error
    return link.url, link.host.strip("[]")


_NAME_TROUBLE: Final = 16
