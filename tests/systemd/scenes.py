"""What the tests of the service do and see again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from tests.acceptance.until import until
from tests.servers.origin import Origin, Page, content, sha256
from tests.systemd.machine import Machine

BODY: Final = content(3_000_000, seed=8)
LIBRARY: Final = "/var/lib/odl-daemon/library/default"


async def works(machine: Machine) -> None:
    """Returns once systemd has heard that the daemon is ready."""

    async def look() -> bool:
        return await machine.shown("ActiveState", "SubState") == ("active", "running")

    try:
        await until(look, within=60, what="a running service")
    except AssertionError as error:
        raise AssertionError(await machine.journal()) from error


@asynccontextmanager
async def held(machine: Machine, origin: Origin, name: str) -> AsyncIterator[int]:
    """A task in the middle of its transfer for as long as the block lasts; then its bytes flow again."""
    gate = asyncio.Event()
    origin.pages[f"/{name}"] = Page(BODY, etag='"1"', gate=gate, gate_at=len(BODY) // 2)
    task = await machine.add(origin.url(f"/{name}"))

    async def half() -> bool:
        return int((await machine.show(task))["done"]) > 0

    await until(half, what=f"bytes of {name}")
    try:
        yield task
    finally:
        gate.set()


async def arrived(machine: Machine, task: int, name: str, folder: str = LIBRARY) -> None:
    shown = await machine.done(task)
    assert shown["path"] == f"/{name}"
    assert sha256(machine.file(f"{folder}/{name}").read_bytes()) == sha256(BODY) == shown["sha256"]


@asynccontextmanager
async def drop_in(machine: Machine, name: str, lines: str) -> AsyncIterator[None]:
    """The service restarted with more lines in its unit, and without them afterwards."""
    file = machine.file(f"/etc/systemd/system/odl-daemon.service.d/{name}.conf")
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"[Service]\n{lines}\n")
    try:
        await reread(machine)
        yield
    finally:
        file.unlink()
        await reread(machine)


async def reread(machine: Machine) -> None:
    await machine.ok("systemctl", "daemon-reload")
    await machine.ok("systemctl", "restart", "odl-daemon")


@contextmanager
def changed(file: Path, old: str, new: str) -> Iterator[None]:
    """A file of the machine with one place of it rewritten for as long as the block lasts."""
    before = file.read_text()
    assert before.count(old) == 1, (file, old)
    file.write_text(before.replace(old, new))
    try:
        yield
    finally:
        file.write_text(before)
