"""Disks that are full, closed or away cost a task time and no bytes: what was fetched once is not fetched again."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256

MIB = 1 << 20
DISK = 8 * MIB
DATA = content(4 * MIB)
PIECE = content(600_000)

SmallDisk = Callable[[Path], Path]
"""`small_disk(folder)` mounts a disk of DISK bytes there."""


@pytest.fixture
def mounts() -> Iterator[ExitStack]:
    """Ask for it before `start_daemon`: so the daemon is dead before its disk goes."""
    with ExitStack() as mounts:
        yield mounts


@pytest.fixture
def small_disk(mounts: ExitStack) -> SmallDisk:
    def mount(folder: Path) -> Path:
        folder.mkdir(parents=True)
        mounts.enter_context(_mounted(folder, f"size={DISK},nr_inodes=200"))
        return folder

    return mount


# --- where downloads lie


async def test_below_the_floor_nothing_is_begun(
    small_disk: SmallDisk, start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    ballast = _fill(small_disk(tmp_path / "a" / "scratch"))
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/first"] = origin.pages["/second"] = Page(PIECE)
    first, second = await daemon.add(origin.url("/first"), origin.url("/second"))
    await until(lambda: "below its floor" in daemon.log(), what="the look at the disk")
    tasks = await daemon.show(first, second)
    assert [(task["waits_for"]["rule"], task["waits_for"]["place"]) for task in tasks] == [("disk", 1), ("disk", 2)]
    why = await daemon.odl("why", str(second))
    assert why.out.strip() == "nothing is started until the server's disk has more room ([disk] floor)"
    assert not origin.requests("/first")
    ballast.unlink()
    await _assert_both_arrive(daemon, first, second)


async def test_the_floor_stays_free_whatever_comes_without_a_length(
    mounts: ExitStack, start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    disk = tmp_path / "a" / "scratch"
    disk.mkdir(parents=True)
    mounts.enter_context(_mounted(disk, f"size={400 * MIB}"))  # what is on its way to it must be a small part of it
    floor = 100 * MIB
    daemon = await start_daemon(
        "a", database=sqlite.url, disk={"floor": floor}, download={"retries": 1, "retry_wait": 0.3}
    )
    origin.pages["/endless"] = Page(pour=_endless)
    origin.pages["/small"] = Page(PIECE)
    (endless,) = await daemon.add(origin.url("/endless"))
    least = 400 * MIB

    async def ended() -> bool:
        nonlocal least
        least = min(least, shutil.disk_usage(disk).free)
        (task,) = await daemon.show(endless)
        return bool(task["phase"] == "failed")

    await until(ended, what="the end of what has none", within=60)
    (task,) = await daemon.show(endless)
    assert task["reason"] == "disk_full"
    assert re.match(r"the server's disk has no room for this file now \(given up after", task["comment"])
    assert least >= floor
    (small,) = await daemon.finish(*await daemon.add(origin.url("/small")))
    assert small["phase"] == "done"


async def test_a_disk_that_takes_no_file_halts_the_claims_and_loses_nothing(
    small_disk: SmallDisk, start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    ballast = _use_up_inodes(small_disk(tmp_path / "a" / "scratch"))
    daemon = await start_daemon("a", database=sqlite.url)
    first, second = await _meet_the_full_disk(daemon, origin)
    (task,) = await daemon.show(first)
    assert (task["attempt"], task["reason"]) == (1, "host_trouble")
    assert task["comment"] == "waits: the folder for downloads cannot be used"
    assert (await daemon.show(second))[0]["phase"] == "waiting"
    why = await daemon.odl("why", str(second))
    assert why.out.strip() == "nothing is started for a while: the folder for downloads cannot be used"
    assert not origin.requests("/second")
    shutil.rmtree(ballast)
    await daemon.restart()  # or a few seconds later: what is halted goes on by itself
    await daemon.odl("retry", str(first))
    await _assert_both_arrive(daemon, first, second)


@pytest.mark.chaos
async def test_a_full_disk_that_gets_room_is_used_again(
    small_disk: SmallDisk, start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    ballast = _use_up_inodes(small_disk(tmp_path / "a" / "scratch"))
    daemon = await start_daemon("a", database=sqlite.url)
    first, second = await _meet_the_full_disk(daemon, origin)
    shutil.rmtree(ballast)
    await _assert_both_arrive(daemon, first, second)


async def test_a_file_that_cannot_fit_is_not_begun(
    small_disk: SmallDisk, start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "a" / "scratch")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(DISK - 3 * MIB))
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/large"] = Page(DATA, etag='"1"', gate=asyncio.Event(), gate_at=MIB)
    origin.pages["/small"] = Page(PIECE)
    (large,) = await daemon.add(origin.url("/large"))
    comment = await until(lambda: _waits(daemon, large), what="its way back into the line")
    assert comment == "waits: the server's disk has no room for this file now"
    (task,) = await daemon.show(large)
    assert (task["waits_for"]["rule"], task["reason"], task["attempt"]) == ("disk", "disk_full", 1)
    (small,) = await daemon.finish(*await daemon.add(origin.url("/small")))
    assert small["phase"] == "done"  # there is room for others
    ballast.unlink()
    await daemon.odl("retry", str(large))  # or a few seconds later: it goes on by itself
    for page in origin.pages.values():
        if page.gate is not None:
            page.gate.set()
    (task,) = await daemon.finish(large)
    assert (task["phase"], task["sha256"], task["comment"]) == ("done", sha256(DATA), "")


# --- where files end up


async def test_a_full_library_gets_the_file_when_it_has_room(
    small_disk: SmallDisk, start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "a" / "library")
    daemon = await start_daemon("a", database=sqlite.url)
    ballast = _fill(disk)
    origin.pages["/a"] = Page(DATA)
    (task_id,) = await daemon.add(origin.url("/a"))
    assert await until(lambda: _waits(daemon, task_id)) == "waits: the disk of the library is full"
    assert list(daemon.file("/").iterdir()) == []
    ballast.unlink()
    await daemon.restart()
    await daemon.odl("retry", str(task_id))
    await _assert_committed_alone(daemon, origin, task_id)


async def test_a_failed_commit_is_tried_again_alone(start_daemon: StartDaemon, origin: Origin, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url, download={"retry_wait": 3})  # time to look at it
    page, task_id = await _gated(daemon, origin)
    with _closed(daemon.file("/")):
        page.set()
        comment = await until(lambda: _waits(daemon, task_id), what="the first commit")
        assert re.fullmatch(r"retry at [\d:]+: the library cannot be written \([a-z -]+\)", comment), comment
        (task,) = await daemon.show(task_id)
        assert (task["reason"], task["status_name"], task["done"]) == ("commit_failed", "WAITING", len(DATA))
    await _assert_committed_alone(daemon, origin, task_id)


async def test_a_failed_commit_outlives_a_crash(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"retry_wait": 0.2, "retries": 10})
    page, task_id = await _gated(daemon, origin)
    with _closed(daemon.file("/")):
        page.set()
        await until(lambda: _waits(daemon, task_id), what="the first commit")
        await daemon.kill()
    await daemon.start()
    await _assert_committed_alone(daemon, origin, task_id)


async def test_a_library_that_stays_closed_ends_the_task(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"retries": 1, "retry_wait": 0.05})
    page, task_id = await _gated(daemon, origin)
    with _closed(daemon.file("/")):
        page.set()
        (task,) = await daemon.finish(task_id)
    assert (task["status_name"], task["reason"]) == ("ERROR", "commit_failed")
    # its bytes are paid for: it is tried four times as often
    assert re.fullmatch(r"the library cannot be written \([a-z -]+\) \(given up after 5 attempts\)", task["comment"]), (
        task["comment"]
    )
    assert len(origin.requests("/a")) == 1
    assert not _folder_of(daemon, task_id)


@pytest.mark.chaos
async def test_libraries_that_come_back_get_the_file(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    page, task_id = await _gated(daemon, origin)
    away = daemon.library.rename(daemon.folder / "away")
    page.set()
    assert await until(lambda: _waits(daemon, task_id)) == "waits: the folder of all libraries is not there"
    away.rename(daemon.library)
    await _assert_committed_alone(daemon, origin, task_id)


# --- what is left of a failed task


async def test_a_retry_goes_on_with_the_bytes_that_were_kept(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"keep_failed": "1h"})
    task_id = await _fail(daemon, origin)
    assert _folder_of(daemon, task_id)
    assert (await daemon.odl("retry", str(task_id))).code == 0
    await _assert_committed_alone(daemon, origin, task_id)


async def test_without_keep_failed_the_disk_is_free_at_once(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"keep_failed": 0})
    task_id = await _fail(daemon, origin)
    assert not _folder_of(daemon, task_id)
    assert (await daemon.odl("retry", str(task_id))).code == 0
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["sha256"]) == ("done", sha256(DATA))
    assert len(origin.requests("/a")) == 2


async def test_bytes_are_kept_for_their_time_and_no_longer(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"keep_failed": "1h"})
    task_id = await _fail(daemon, origin)
    failed = time.monotonic()
    await daemon.restart()  # which looks for what is of no use any longer, and then claims
    origin.pages["/b"] = Page(PIECE)
    await daemon.finish(*await daemon.add(origin.url("/b")))
    assert _folder_of(daemon, task_id)
    daemon.configure(download={"keep_failed": 1})
    await until(lambda: time.monotonic() - failed > 1)
    await daemon.restart()
    await until(lambda: not _folder_of(daemon, task_id), what="the end of its bytes", within=10)
    assert (await daemon.odl("retry", str(task_id))).code == 0
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["sha256"]) == ("done", sha256(DATA))


# --- tasks that meet trouble


async def _meet_the_full_disk(daemon: Daemon, origin: Origin) -> tuple[int, int]:
    """One task that met it, and one that came after."""
    origin.pages["/first"] = origin.pages["/second"] = Page(PIECE)
    (first,) = await daemon.add(origin.url("/first"))
    await until(lambda: _waits(daemon, first), what="the trouble")
    (second,) = await daemon.add(origin.url("/second"))
    return first, second


async def _assert_both_arrive(daemon: Daemon, *ids: int) -> None:
    for task in await daemon.finish(*ids):
        assert (task["phase"], task["attempt"], task["comment"]) == ("done", 1, "")
        assert (task["sha256"], daemon.file(task["path"]).read_bytes()) == (sha256(PIECE), PIECE)


async def _gated(daemon: Daemon, origin: Origin) -> tuple[asyncio.Event, int]:
    """A task that is being fetched, and the event that brings its end."""
    gate = asyncio.Event()
    origin.pages["/a"] = Page(DATA, gate=gate, gate_at=len(DATA) // 2)
    (task_id,) = await daemon.add(origin.url("/a"))

    async def begun() -> bool:
        (task,) = await daemon.show(task_id)
        return bool(task["phase"] == "fetching" and task["done"])

    await until(begun, what="the first bytes")
    return gate, task_id


async def _fail(daemon: Daemon, origin: Origin) -> int:
    """A task that failed when its bytes were here: its library was away, and is there again."""
    gate, task_id = await _gated(daemon, origin)
    away = daemon.file("/").rename(daemon.folder / "away")
    gate.set()
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["reason"]) == ("failed", "library_missing")
    away.rename(daemon.file("/"))
    return task_id


async def _assert_committed_alone(daemon: Daemon, origin: Origin, task_id: int) -> None:
    """It arrives, and its source was asked for it only once."""
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["sha256"], task["comment"], task["reason"]) == ("done", sha256(DATA), "", None)
    assert [path.name for path in daemon.file("/").iterdir()] == ["a"]
    assert daemon.file("a").read_bytes() == DATA
    assert len(origin.requests("/a")) == 1
    assert not _folder_of(daemon, task_id)


async def _waits(daemon: Daemon, task_id: int) -> str:
    (task,) = await daemon.show(task_id)
    return str(task["comment"]) if task["phase"] == "waiting" else ""


def _folder_of(daemon: Daemon, task_id: int) -> bool:
    return (daemon.scratch / str(task_id)).exists()


# --- disks


async def _endless() -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    while True:
        yield bytes(1 << 20)


def _fill(disk: Path) -> Path:
    """A file that leaves no room at all for another one."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return ballast


def _use_up_inodes(disk: Path) -> Path:
    """A folder with so many files that the disk, which has room for bytes, takes no further file."""
    ballast = disk / "ballast"
    ballast.mkdir()
    with suppress(OSError):
        for number in range(1 << 20):
            (ballast / str(number)).touch()
    return ballast


@contextmanager
def _closed(folder: Path) -> Iterator[None]:
    """Nothing can be written there. Permissions do not keep root out: it gets a read-only disk in their place."""
    if os.geteuid() == 0:
        with _mounted(folder, "ro"):
            yield
        return
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(0o700)


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    command: list[Any] = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
