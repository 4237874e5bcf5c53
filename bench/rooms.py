"""The rooms that strangers' bytes come through, without the rest of the daemon: here a judge's price shows best."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from odl_daemon.download.aria2 import Aria2Downloader
from odl_daemon.download.probe import Prober
from odl_daemon.download.proxy import Proxy
from odl_daemon.download.quarantine import Quarantine
from odl_daemon.download.sandbox import Isolation
from odl_daemon.download.server import Aria2Server
from odl_daemon.guard.dial import Dialler, Judge
from odl_daemon.guard.guests import Guests
from odl_daemon.guard.resolver import Resolver
from odl_daemon.guard.rules import Address, Rules
from odl_daemon.model.task import Task

PUBLIC = Address(socket.AF_INET, (str(ipaddress.ip_address("1.0.0.1")), 80))
"""An address that is judged to the end and admitted; it is never dialled here."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What it took until all files were here."""

    seconds: float
    cpu: float
    """Seconds of processor time of our process; aria2 has its own."""


def through_rooms(judge: str, urls: Sequence[str], folder: Path, *, slots: int, owners: int) -> Passage:
    """Fetches all of it in a process of its own; `judge` is "judged" or "open"."""
    order = {"judge": judge, "urls": list(urls), "folder": str(folder), "slots": slots, "owners": owners}
    ran = subprocess.run(
        [sys.executable, "-m", "bench.rooms"], input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True
    )
    return Passage(**json.loads(ran.stdout))


def judged(host: str, port: int, addresses: Sequence[Address]) -> Sequence[Address]:
    """Does all that is done for an address of the internet, and admits those that the benchmark has."""
    _RULES(host, 80, [PUBLIC] * len(addresses))
    return addresses


def unjudged(host: str, port: int, addresses: Sequence[Address]) -> Sequence[Address]:
    return addresses


async def fetch_all(judge: Judge, urls: Sequence[str], folder: Path, slots: int, owners: int) -> Passage:
    with Resolver() as resolver, tempfile.TemporaryDirectory(prefix="odl-bench-") as state:
        dialler = Dialler(resolver=resolver, judge=judge)
        aria2 = partial(
            Aria2Server,
            aria2c="aria2c",
            isolation=Isolation.NAMESPACE,
            serve_proxy=Proxy(dialler).serve,
            heard=lambda line: None,
            last_words=lambda: [],
            stall_limit=60.0,
        )
        server = aria2(scratch=folder, lock=Path(state) / "lock", slots=slots)
        downloader = Aria2Downloader(
            server=server,
            quarantine=Quarantine(lambda own, lock: aria2(scratch=own, lock=lock, slots=1), locks=Path(state)),
            prober=Prober(dial=dialler.dial),
            guests=Guests(),
            stall_limit=60.0,
        )
        async with asyncio.TaskGroup() as group:
            living = [group.create_task(server.run(), name="aria2"), group.create_task(downloader.run(), name="looks")]
            await downloader.ready()
            began, cpu = time.monotonic(), time.process_time()
            await _all(downloader, urls, folder, 4 * slots, owners)
            passage = Passage(time.monotonic() - began, time.process_time() - cpu)
            for task in living:
                task.cancel()
    return passage


async def _all(downloader: Aria2Downloader, urls: Sequence[str], folder: Path, at_once: int, owners: int) -> None:
    room = asyncio.Semaphore(at_once)

    async def one(number: int, url: str) -> None:
        async with room:
            task = Task(number, f"user{number % owners}", "default", "/", url, _NOW, _NOW, epoch=1)
            own = folder / str(number)
            async with aclosing(downloader.fetch(task, str(own))) as news:
                async for _ in news:
                    pass
            await downloader.gone(task)

    async with asyncio.TaskGroup() as group:
        for number, url in enumerate(urls, 1):
            group.create_task(one(number, url), name=f"file {number}")


_NOW = datetime(2025, 1, 2, tzinfo=UTC)
_RULES = Rules()


def main() -> None:
    order = json.load(sys.stdin)
    folder = Path(order["folder"])
    judge = judged if order["judge"] == "judged" else unjudged
    passage = asyncio.run(fetch_all(judge, order["urls"], folder, order["slots"], order["owners"]))
    shutil.rmtree(folder)
    print(json.dumps({"seconds": passage.seconds, "cpu": passage.cpu}))


if __name__ == "__main__":
    main()
