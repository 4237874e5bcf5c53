"""A daemon without an internet and without disks: the real engine and the real table, a source that the test holds in
its hand, and the façade on a port of its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from aiohttp import web

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.desk import Desk
from odl_daemon.engine.disk import Disk
from odl_daemon.engine.dispatcher import Dispatcher
from odl_daemon.engine.endings import Limits
from odl_daemon.engine.janitor import Janitor
from odl_daemon.engine.news import News
from odl_daemon.engine.worker import Worker
from odl_daemon.intake.jsonrpc.door import Door
from odl_daemon.model import names
from odl_daemon.model.keys import Principal
from odl_daemon.model.task import Fetched, FetchedFile, Intent, Placement, Progress, Reason, Task
from odl_daemon.ports import Filter, Saved, Space, StoreAway, Trouble, unheard
from odl_daemon.store import SqlStore
from tests.intake.paper_desk import KEYLESS

ANN, BOB = "ann@example.com", "bob@example.com"
TOKENS = {"odl_ann": ANN, "odl_bob": BOB}
SIZE = 3_000_000


class Source:
    """Downloader, scratch and library in one. A link whose path begins with /slow stands still after a third until
    `let_go`; one with /bad is not found; every other is there at once."""

    usual_pace = 0.0

    def __init__(self) -> None:
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def let_go(self, path: str) -> None:
        self.gates[path].set()

    # --- downloader

    async def fetch(self, task: Task, folder: str) -> AsyncGenerator[Progress | Fetched, None]:
        path = urlsplit(task.url).path
        if path.startswith("/bad"):
            raise Trouble(Reason.NOT_FOUND, "the source does not have it (404)")
        yield Progress(SIZE // 3, SIZE, speed=1000)
        if path.startswith("/slow"):
            await self.gates[path].wait()
        yield Progress(SIZE, SIZE, speed=1000)
        yield Fetched((FetchedFile(path.rpartition("/")[2], SIZE),))

    async def gone(self, task: Task) -> None:
        return

    # --- scratch

    def path(self, task_id: int) -> str:
        return f"/scratch/{task_id}"

    async def holds(self, task_id: int, fetched: Fetched) -> bool:
        return False

    async def wipe(self, task_id: int) -> None:
        return

    async def inherit(self, task_id: int, folder: str) -> Progress | None:
        return None

    async def folders(self) -> list[int]:
        return []

    async def space(self) -> Space:
        return Space(1 << 40, 1 << 41)

    # --- library

    def lock_of(self, task: Task) -> str:
        return ""

    def lingers(self, size: int) -> float:
        return 0.0

    async def payer(self, task: Task) -> str:
        return ""

    async def check(self, task: Task) -> None:
        return

    async def fits(self, task: Task, size: int) -> None:
        return

    async def plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        name = task.name or names.safe_name(fetched.files[0].name)
        path = f"{task.target.rstrip('/')}/{name}"
        return Intent(path, (Placement(fetched.files[0].name, path, SIZE, "00" * 32),))

    async def landed(self, task: Task, intent: Intent) -> Intent | None:
        return None

    async def commit(self, task: Task, folder: str, intent: Intent, saved: Saved = unheard) -> Intent:
        return intent


@dataclass(slots=True)
class House:
    """Where it is, and what the tests look at."""

    source: Source
    store: SqlStore
    desk: Desk
    news: News
    door: Door
    tokens: dict[str, str]
    """Whose they are: may be changed at any time."""
    port: int = 0
    away: bool = False
    """Whether nobody can tell whose a token is."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jsonrpc"

    async def tasks(self, owner: str = "") -> list[Task]:
        """All of this user, the oldest first."""
        return (await self.store.tasks(Filter(owner=owner), 1000, None))[::-1]


@asynccontextmanager
async def opened(folder: Path, *, slots: int = 3, library: str = "default") -> AsyncIterator[House]:
    """A house that works as long as the block lasts."""
    async with SqlStore(url=f"sqlite://{folder / 'odl.db'}") as store:
        house, dispatcher = _built(store, slots, library)
        async with asyncio.TaskGroup() as group, _serving(house):
            working = group.create_task(dispatcher.run(), name="dispatcher")
            yield house
            dispatcher.stop()
            await asyncio.wait({working})


@asynccontextmanager
async def _serving(house: House) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes(house.door.routes)
    app.on_shutdown.append(house.door.hang_up)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        house.port = runner.addresses[0][1]
        yield
    finally:
        await runner.cleanup()


def _built(store: SqlStore, slots: int, library: str) -> tuple[House, Dispatcher]:
    source, news, bell, rng = Source(), News(), Bell(), Random(1)
    allowance, disk = Allowance(store=store, clock=_now), Disk(source)
    worker = Worker(
        store=store,
        downloader=source,
        scratch=source,
        library=source,
        news=news,
        holder="me",
        limits=Limits(),
        allowance=allowance,
        disk=disk,
        host_trouble=lambda trouble, seconds: None,
        clock=_now,
        rng=rng,
    )
    dispatcher = Dispatcher(
        store=store,
        worker=worker,
        janitor=Janitor(store=store, scratch=source, holder="me", keep_failed=0, clock=_now),
        news=news,
        bell=bell,
        allowance=allowance,
        disk=disk,
        holder="me",
        slots=slots,
        enabled=True,
        poll=5,
        clock=_now,
        rng=rng,
    )
    desk = Desk(
        store=store,
        news=news,
        bell=bell,
        clock=_now,
        allowance=allowance,
        keyring=KEYLESS,
        obstacle=dispatcher.obstacle,
    )

    async def recognise(token: str) -> Principal | None:
        if house.away:
            raise StoreAway("the database does not answer")
        owner = house.tokens.get(token)
        return None if owner is None else Principal(owner)

    house = House(source, store, desk, news, Door(desk, news, recognise, library), dict(TOKENS))
    return house, dispatcher


def _now() -> datetime:
    return datetime.now(UTC)
