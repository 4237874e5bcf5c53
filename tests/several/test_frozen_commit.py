"""A daemon that freezes while it copies a file into the library leaves one file there, named as its row says."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.files import make_file
from tests.servers.nginx import Nginx
from tests.several.held import everything
from tests.world import assert_world

SIZE = 192 << 20


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the library's."""
    folder = Path(tempfile.mkdtemp(prefix="odl-several-", dir="/dev/shm"))
    if folder.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system here")
    yield folder
    shutil.rmtree(folder)


async def test_a_commit_that_wakes_after_another_daemons_adds_nothing(
    start_one: StartDaemon, nginx: Nginx, table: Table, library: Path, memory: Path
) -> None:
    sums = {nginx.url("a.bin"): await asyncio.to_thread(make_file, nginx.root / "a.bin", SIZE)}
    frozen, other = await _frozen_in_commit(start_one, nginx, library, memory)
    await until(lambda: table.ended([1]), within=60, what="the other's end of the task")
    before = await everything(table)
    await _wake(frozen)
    assert await everything(table) == before
    await assert_world(table, sums, [other, frozen], library=library)


async def test_a_commit_that_wakes_while_another_fetches_is_the_tasks_file(
    start_one: StartDaemon, nginx: Nginx, table: Table, library: Path, memory: Path
) -> None:
    sums = {nginx.url("a.bin"): await asyncio.to_thread(make_file, nginx.root / "a.bin", SIZE)}
    frozen, other = await _frozen_in_commit(start_one, nginx, library, memory)
    await until(lambda: _is_held_by(table, "b"), within=60, what="the taking over")
    await _wake(frozen)
    await until(lambda: table.ended([1]), within=60, what="the other's end of the task")
    await assert_world(table, sums, [other, frozen], library=library)


async def test_a_commit_that_wakes_with_other_bytes_than_the_next_one_brought_adds_nothing(
    start_one: StartDaemon, nginx: Nginx, table: Table, library: Path, memory: Path
) -> None:
    await asyncio.to_thread(make_file, nginx.root / "a.bin", SIZE)
    frozen, other = await _frozen_in_commit(start_one, nginx, library, memory)
    sums = {nginx.url("a.bin"): await asyncio.to_thread(make_file, nginx.root / "new", 100_000, seed=1)}
    (nginx.root / "new").rename(nginx.root / "a.bin")
    await until(lambda: table.ended([1]), within=60, what="the other's end of the task")
    before = await everything(table)
    await _wake(frozen)
    assert await everything(table) == before
    await assert_world(table, sums, [other, frozen], library=library)


async def _frozen_in_commit(start_one: StartDaemon, nginx: Nginx, library: Path, memory: Path) -> tuple[Daemon, Daemon]:
    """A daemon that stands still in the middle of its copy, and another one."""
    first = await start_one("a", download={"temp_dir": str(memory / "a")})
    second = await start_one("b", daemon={"enabled": False}, download={"temp_dir": str(memory / "b")})
    first.scratch, second.scratch = memory / "a", memory / "b"
    await first.add(nginx.url("a.bin"))
    await until(lambda: _copies(first, library), within=60, what="the copy")
    first.freeze()
    await until(lambda: _stands_still(first), what="the freeze")
    assert _copies(first, library), "it was over before the daemon stood still"
    assert not list((library / "default").iterdir())
    second.configure(daemon={"enabled": True})
    second.reload()
    return first, second


async def _wake(frozen: Daemon) -> None:
    frozen.thaw()
    await until(lambda: "lease lost, leaving it alone" in frozen.log(), within=60, what="the awakening")
    await until(lambda: not list(frozen.scratch.iterdir()), what="the end of its bytes")


async def _is_held_by(table: Table, holder: str) -> bool:
    return await table.run("SELECT holder FROM odl_task") == [(holder,)]


def _copies(daemon: Daemon, library: Path) -> bool:
    """Whether it has a file of the library open that has bytes and no name yet."""
    for handle in Path(f"/proc/{daemon.pid}/fd").iterdir():
        try:
            if str(handle.readlink()).startswith(f"{library}/") and "(deleted)" in handle.readlink().name:
                return handle.stat().st_size > 0
        except OSError:
            continue  # closed meanwhile
    return False


def _stands_still(daemon: Daemon) -> bool:
    """Whether each of its threads does (man 5 proc_pid_stat)."""
    stats = [(thread / "stat").read_text() for thread in Path(f"/proc/{daemon.pid}/task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
