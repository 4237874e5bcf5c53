"""The service from its start to its end, and a desk for commands that find no service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from odl_daemon.config import Config
from odl_daemon.download.aria2_log import Aria2Log
from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.desk import Desk
from odl_daemon.engine.keyring import Keyring
from odl_daemon.engine.news import News
from odl_daemon.fittings import look_up_of, shares_of
from odl_daemon.guard.resolver import Resolver
from odl_daemon.health import ServiceManager
from odl_daemon.house import House, now
from odl_daemon.model.waiting import Obstacle, Rule
from odl_daemon.ports import StoreAway
from odl_daemon.premises import OperatorError, entered
from odl_daemon.signals import Stop, reloading
from odl_daemon.store import SqlStore

log = logging.getLogger(__name__)


def run(config: Config, reload: Callable[[], Config]) -> int:
    """Runs the service until it is told to stop; returns its exit code.

    `reload` reads the settings anew when SIGHUP comes. Raises OperatorError.
    """
    with entered(config):
        try:
            return asyncio.run(_serve(config, reload))
        except StoreAway as away:
            raise OperatorError(str(away)) from away


async def _serve(config: Config, reload: Callable[[], Config]) -> int:
    stop, manager = Stop(), ServiceManager()
    async with AsyncExitStack() as cellar:
        async with stop.cutting_short():
            store = await cellar.enter_async_context(SqlStore(url=config.database.url, lease=config.daemon.lease))
        if not stop.asked.is_set():
            aria2_log = cellar.enter_context(Aria2Log(config.log.aria2_file))
            resolver = cellar.enter_context(Resolver(look_up_of(config)))
            house = House(config, store, aria2_log, resolver)
            with reloading(house.tune, reload, manager):
                await house.live(stop, manager)
    log.info("stopped")
    return 0


@asynccontextmanager
async def open_desk(config: Config) -> AsyncIterator[Desk]:
    """The desk without a daemon, for a command that finds none: what it writes is done once a daemon runs."""
    async with SqlStore(url=config.database.url, lease=config.daemon.lease, patient=False) as store:
        yield Desk(
            store=store,
            news=News(),
            bell=Bell(),
            clock=now,
            allowance=Allowance(store=store, clock=now, shares=shares_of(config)),
            keyring=Keyring(store.keys, now),
            obstacle=lambda: Obstacle(Rule.DAEMON, "no daemon is running here"),
        )
