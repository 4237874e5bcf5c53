"""Tells the service manager how the daemon is: ready, stopping, alive."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class ServiceManager:
    """The notification protocol of systemd (man 3 sd_notify); silent where no manager listens."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog = int(environ.get("WATCHDOG_USEC") or 0) / 1e6

    def ready(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        self._tell("RELOADING=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def status(self, sentence: str) -> None:
        self._tell(f"STATUS={sentence}")

    async def keep_alive(self, stuck: Callable[[], bool]) -> None:
        """Feeds the watchdog for ever, except while `stuck` says so; returns at once if there is none."""
        while self._watchdog:
            if stuck():
                log.error("the dispatcher does not go round: the watchdog is left unfed")
            else:
                self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog / 3)

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
                notify.sendto(message.encode(), address)
        except OSError as error:
            log.warning("the service manager does not listen at %s: %s", self._address, error)
