"""How the daemon is, and tells the service manager: ready, stopping, alive, in trouble."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)


LOOK: Final = 5.0
"""Seconds between two looks at what hinders the daemon."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What shows from outside how the daemon is; asking costs nothing."""

    stuck: Callable[[], bool]
    """The dispatcher does not go round: only a new start helps."""
    troubles: Callable[[], list[str]]
    """What keeps it from working just now, each as a sentence; it goes by itself."""
    respawns: Callable[[], int]
    """How often aria2 was started anew."""
    blocks: Callable[[], int]
    """How often the guard refused a connection."""
    database_latency: Callable[[], Awaitable[float]]
    """Seconds that the database takes to answer."""


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

    async def keep_informed(self, name: str, vitals: Vitals) -> None:
        """Tells for ever what hinders the daemon, as the status that the manager shows."""
        told = ""
        while self._address:
            now = "; ".join(vitals.troubles()) or f"{name} is working"
            if now != told:
                self.status(now)
                told = now
            await asyncio.sleep(LOOK)

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
