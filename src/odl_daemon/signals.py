"""What the operator tells a running daemon by signals: to stop, to read its settings anew."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from odl_daemon.config import Config, ConfigError
from odl_daemon.health import ServiceManager

log = logging.getLogger(__name__)


class Stop:
    """The wish of the operator that the daemon ends; a second signal changes nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._block: asyncio.Timeout | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask)

    @asynccontextmanager
    async def cutting_short(self) -> AsyncIterator[None]:
        """A block that the stop leaves at once; look at `asked` afterwards."""
        try:
            async with asyncio.timeout(0.0 if self.asked.is_set() else None) as self._block:
                yield
        except TimeoutError:
            if not self.asked.is_set():
                raise
        finally:
            self._block = None

    def _ask(self) -> None:
        if not self.asked.is_set() and self._block is not None:
            self._block.reschedule(0.0)
        self.asked.set()


@contextmanager
def reloading(tune: Callable[[Config], None], reload: Callable[[], Config], manager: ServiceManager) -> Iterator[None]:
    def take_over() -> None:
        manager.reloading()
        try:
            tune(reload())
            log.info("settings read anew; what needs a restart stays as it was")
        except ConfigError as error:
            log.error("the settings stay as they were: %s", error)
        manager.ready("settings read anew")

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, take_over)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
