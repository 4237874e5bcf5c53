"""`make bench`: all measurements, or those that are named: small big guard rows latency idle restart api watchers."""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.servers.daemon import Daemon
from tests.servers.files import make_file
from tests.servers.mariadb import MariaDb
from tests.servers.nginx import Nginx

from bench.rooms import Passage, through_rooms
from bench.stage import baseline, cpu_of, folder, memory_of, raw_aria2, small_files, through_daemon, until_files
from bench.web import api, watchers

SLOTS = 10


def main() -> None:
    words = argparse.ArgumentParser(prog="python -m bench", description="Figures side by side, as ratios.")
    words.add_argument("what", nargs="*", choices=[[], *MEASUREMENTS], default=[])
    words.add_argument("--runs", type=int, default=5, help="interleaved runs, of which the medians are told")
    words.add_argument("--files", type=int, default=2000)
    words.add_argument("--disk", type=Path, default=Path("/var/tmp/odl-bench"), help="a folder on a real disk")
    asked = words.parse_args()
    for name in asked.what or MEASUREMENTS:
        print(f"== {name}: {(MEASUREMENTS[name].__doc__ or '').splitlines()[0]}")
        asyncio.run(MEASUREMENTS[name](asked.disk, asked.runs, asked.files))


async def small(disk: Path, runs: int, files: int) -> None:
    """Many files of 10 KiB: the worker that was replaced, aria2c alone, the daemon on SQLite and on MariaDB."""
    rates: dict[str, list[float]] = {"baseline": [], "raw": [], "sqlite": [], "mariadb": []}
    cpus: dict[str, list[float]] = {name: [] for name in rates}
    with folder("origin", disk) as place:
        async with Nginx(place) as nginx, MariaDb() as mariadb:
            urls = small_files(nginx, files)
            for run in range(runs):
                database = f"bench{run}"
                await asyncio.to_thread(mariadb.create, database)
                for name in rates:
                    with folder(name, disk) as here:
                        if name == "baseline":
                            figure = await asyncio.to_thread(baseline, urls[: max(files // 5, 100)], here)
                        elif name == "raw":
                            figure = await asyncio.to_thread(raw_aria2, urls, here, SLOTS)
                        else:
                            url = mariadb.url(database) if name == "mariadb" else ""
                            figure = await through_daemon(urls, here, slots=SLOTS, database=url)
                    rates[name].append(figure.rate)
                    cpus[name].append(figure.cpu_ms)
    for name in rates:
        rate, cpu = statistics.median(rates[name]), statistics.median(cpus[name])
        against = [
            f"{rate / statistics.median(rates[other]):.2f} x {other}" for other in ("baseline", "raw") if other != name
        ]
        print(f"  {name:9} {rate:7.0f} files/s  {cpu:6.2f} ms CPU a file   {', '.join(against)}")


async def big(disk: Path, runs: int, files: int) -> None:
    """One file of 2 GiB: until all bytes are here (FETCHED), against aria2c; the commit apart."""
    alone, fetched, committed = [], [], []
    with folder("origin", disk) as place:
        async with Nginx(place) as nginx:
            await asyncio.to_thread(make_file, nginx.root / "big", 2 << 30)
            for _ in range(runs):
                with folder("raw", disk) as here:
                    alone.append((await asyncio.to_thread(raw_aria2, [nginx.url("big")], here, 1)).seconds)
                with folder("daemon", disk) as here:
                    async with Daemon(here) as daemon:
                        times = await _phases(daemon, nginx.url("big"))
                        fetched.append(times["committing"] - times["fetching"])
                        committed.append(times["done"] - times["committing"])
    ratio = statistics.median(alone) / statistics.median(fetched)
    print(
        f"  aria2c {statistics.median(alone):.2f} s, daemon to FETCHED {statistics.median(fetched):.2f} s: "
        f"{ratio:.2f} x aria2c"
    )
    print(f"  commit (SHA-256, fsync, rename) {statistics.median(committed):.2f} s")


async def _phases(daemon: Daemon, url: str) -> dict[str, float]:
    """When a task was first seen in each phase, from the table itself."""
    began = time.monotonic()
    (task_id,) = await daemon.add(url)
    seen = {"fetching": began}
    with sqlite3.connect(f"file:{daemon.folder / 'odl.db'}?mode=ro", uri=True) as table:
        while "done" not in seen:
            (phase,) = table.execute("SELECT phase FROM odl_task WHERE odr_id = ?", (task_id,)).fetchone()
            seen.setdefault(phase, time.monotonic())
            await asyncio.sleep(0.01)
    seen.setdefault("committing", seen["done"])
    return seen


async def guard(disk: Path, runs: int, files: int) -> None:
    """What judging every connection costs: the download rooms with a judge, against the same without."""
    with folder("origin", disk) as place:
        async with Nginx(place) as nginx:
            await asyncio.to_thread(make_file, nginx.root / "big", 2 << 30)
            small, large = small_files(nginx, files), [nginx.url("big")]
            await _judged_and_open("small, one user", small, disk, runs, owners=1)
            await _judged_and_open("small, a user each", small, disk, runs, owners=files)
            await _judged_and_open("one of 2 GiB", large, disk, runs, owners=1)


async def _judged_and_open(name: str, urls: list[str], disk: Path, runs: int, *, owners: int) -> None:
    """There and back in each run, so that a machine that grows slower is hard on both; medians of the runs' ratios."""
    rates, costs, prices = [], [], []
    for _ in range(runs):
        run: dict[str, list[Passage]] = {"judged": [], "open": []}
        for judge in ("judged", "open", "open", "judged"):
            with folder("rooms", disk) as here:
                run[judge].append(await asyncio.to_thread(through_rooms, judge, urls, here, slots=SLOTS, owners=owners))
        seconds = {judge: sum(each.seconds for each in passages) for judge, passages in run.items()}
        cpu = {judge: sum(each.cpu for each in passages) for judge, passages in run.items()}
        rates.append(seconds["open"] / seconds["judged"])
        prices.append(cpu["judged"] / cpu["open"])
        costs.append(cpu["judged"] / 2)
    price = f"{statistics.median(rates):.2f} x the rate without a judge, {statistics.median(prices):.2f} x its CPU"
    if len(urls) > 1:
        print(f"  {name:19} {price} ({statistics.median(costs) / len(urls) * 1000:.2f} ms a file)")
    else:
        print(f"  {name:19} {price} ({statistics.median(costs) * 1e9 / (2 << 30):.2f} s a GB)")


async def rows(disk: Path, runs: int, files: int) -> None:
    """100,000 waiting rows: memory, and the rate of the first files against a short queue."""
    with folder("origin", disk) as place:
        async with Nginx(place) as nginx:
            urls = small_files(nginx, files)
            short, long = [], []
            for _ in range(max(runs // 2, 1)):
                with folder("short", disk) as here:
                    short.append((await through_daemon(urls, here, slots=SLOTS)).rate)
                with folder("long", disk) as here:
                    many = urls * (100_000 // files)
                    long.append((await through_daemon(many, here, slots=SLOTS, rows=files)).rate)
    print(
        f"  rate with 100,000 rows: {statistics.median(long) / statistics.median(short):.2f} x the rate with {files:,}"
    )


async def latency(disk: Path, runs: int, files: int) -> None:
    """From `odl add` to the first request at the origin; the daemon's part is counted from the row's own time."""
    with folder("origin", disk) as place, folder("daemon", disk) as here:
        arrived: dict[str, float] = {}

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            path = (await reader.readline()).split()[1].decode()
            arrived[path] = time.time()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        whole, own = [], []
        async with server, Daemon(here) as daemon:
            for number in range(20 * runs):
                began = time.time()
                shown = await daemon.odl("add", "--json", f"http://127.0.0.1:{port}/{number}")
                task = json.loads(shown.out)[0]
                await daemon.finish(task["id"])
                created = time.mktime(time.strptime(task["created"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
                created += float("0" + task["created"][19:-1])
                whole.append((arrived[f"/{number}"] - began) * 1000)
                own.append((arrived[f"/{number}"] - created) * 1000)
        assert place.exists()
    print(
        f"  from the start of `odl add` p50 {statistics.median(whole):.1f} ms; "
        f"the daemon's part p50 {statistics.median(own):.1f} ms"
    )


async def idle(disk: Path, runs: int, files: int) -> None:
    """Nothing to do: processor time."""
    with folder("daemon", disk) as here:
        async with Daemon(here, intake={"poll": 5}) as daemon:
            await asyncio.sleep(5)
            began, cpu = time.monotonic(), cpu_of(daemon.pid)
            await asyncio.sleep(12 * runs)
            share = (cpu_of(daemon.pid) - cpu) / (time.monotonic() - began)
            now, highest = memory_of(daemon.pid)
    print(f"  {share * 100:.2f} % of a core, {now:.0f} MiB ({highest:.0f} at most)")


async def restart(disk: Path, runs: int, files: int) -> None:
    """A start with 10,000 interrupted rows: until the first of them is continued, and until all are free."""
    with folder("origin", disk) as place:
        async with Nginx(place) as nginx:
            urls = small_files(nginx, 100)
            times = []
            for _ in range(runs):
                with folder("daemon", disk) as here:
                    async with Daemon(here, daemon={"enabled": False, "name": "bench"}) as daemon:
                        added = await daemon.odl("add", "-", stdin="\n".join(urls * 100))
                        assert added.code == 0, added
                        await daemon.stop()
                        with sqlite3.connect(here / "odl.db") as table:
                            table.execute("UPDATE odl_task SET phase = 'fetching', holder = 'bench', epoch = 5")
                            table.execute("UPDATE OfflineDownloadRecord SET status = 3")
                        daemon.configure(daemon={"enabled": True})
                        began = time.monotonic()
                        await daemon.start()
                        await until_files(here / "library" / "default", 1)
                        times.append(time.monotonic() - began)
    print(
        f"  first continued file in the library after {statistics.median(times):.2f} s (from the start of the process)"
    )


MEASUREMENTS: dict[str, Callable[[Path, int, int], Coroutine[Any, Any, None]]] = {
    "small": small,
    "big": big,
    "guard": guard,
    "rows": rows,
    "latency": latency,
    "idle": idle,
    "restart": restart,
    "api": api,
    "watchers": watchers,
}

if __name__ == "__main__":
    subprocess.run(["aria2c", "--version"], check=True, stdout=subprocess.DEVNULL)
    main()
