"""What every measurement needs: files to fetch, processes to watch, a folder on a real disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.daemon import Daemon
from tests.servers.files import make_file
from tests.servers.nginx import Nginx

SMALL = 10 * 1024
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement of many files."""

    files: int
    seconds: float
    cpu: float
    """Seconds of processor time of the program measured, without aria2c where that is a process of its own."""

    @property
    def rate(self) -> float:
        return self.files / self.seconds

    @property
    def cpu_ms(self) -> float:
        return self.cpu / self.files * 1000


@contextmanager
def folder(name: str, root: Path) -> Iterator[Path]:
    """A fresh folder on the disk that is measured."""
    path = root / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def small_files(nginx: Nginx, count: int) -> list[str]:
    """The links of so many files of 10 KiB."""
    for number in range(count):
        make_file(nginx.root / f"f{number}", SMALL, seed=number)
    return [nginx.url(f"f{number}") for number in range(count)]


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_of(pid: int) -> tuple[float, float]:
    """Resident memory of a process now and at its highest, in MiB."""
    values = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(values["VmRSS"].split()[0]) / 1024, int(values["VmHWM"].split()[0]) / 1024


def raw_aria2(urls: list[str], folder: Path, slots: int) -> Figure:
    """aria2c itself with a list: no table, no library, no daemon."""
    links = folder / "links"
    links.write_text("\n".join(urls))
    began, before = time.monotonic(), os.times()
    subprocess.run(
        ["aria2c", "-q", "-i", str(links), "-j", str(slots), "-d", str(folder / "out"), "--file-allocation=none"],
        check=True,
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Figure(len(urls), time.monotonic() - began, cpu)


def baseline(urls: list[str], folder: Path) -> Figure:
    """The worker that was replaced."""
    database, library = folder / "record.db", folder / "library"
    library.mkdir()
    with sqlite3.connect(database) as table:
        table.execute("PRAGMA journal_mode = WAL")
        table.execute("CREATE TABLE record (odr_id INTEGER PRIMARY KEY, url TEXT, status INTEGER)")
        table.executemany("INSERT INTO record (url, status) VALUES (?, 1)", [(url,) for url in urls])
    began, before = time.monotonic(), os.times()
    subprocess.run([sys.executable, "-m", "bench.baseline", str(database), str(library)], check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Figure(len(urls), time.monotonic() - began, cpu)


async def through_daemon(urls: list[str], folder: Path, *, slots: int, database: str = "", rows: int = 0) -> Figure:
    """The daemon, from the moment when it may claim until the first `rows` (or all) files are in the library."""
    wanted = rows or len(urls)
    async with Daemon(folder, database=database, daemon={"enabled": False}, download={"slots": slots}) as daemon:
        added = await daemon.odl("add", "-", stdin="\n".join(urls))
        assert added.code == 0, added
        daemon.configure(daemon={"enabled": True})
        began, cpu = time.monotonic(), cpu_of(daemon.pid)
        daemon.reload()
        target = daemon.library / "default"
        await until_files(target, wanted)
        figure = Figure(wanted, time.monotonic() - began, cpu_of(daemon.pid) - cpu)
        figure_memory = memory_of(daemon.pid)
    print(f"    daemon: {figure.rate:.0f} files/s, {figure.cpu_ms:.2f} ms CPU, {figure_memory[1]:.0f} MiB at most")
    return figure


async def until_files(target: Path, wanted: int) -> None:
    """Returns when so many files lie in a folder; the look is cheap and rare enough not to be measured."""
    while True:
        with os.scandir(target) as entries:
            if sum(1 for _ in entries) >= wanted:
                return
        await asyncio.sleep(0.1)
