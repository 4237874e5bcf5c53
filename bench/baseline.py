"""The worker that odl-daemon replaces, rebuilt faithfully: a thread pool, one aria2c process for each record."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def main(database: Path, library: Path, workers: int) -> None:
    """Takes every row of status 1; each step of each row is a synchronous write, as it was there."""
    with sqlite3.connect(database) as table:
        rows = table.execute("SELECT odr_id, url FROM record WHERE status = 1 ORDER BY odr_id").fetchall()
    with ThreadPoolExecutor(workers) as pool:
        for outcome in [pool.submit(work, database, library, *row) for row in rows]:
            outcome.result()


def work(database: Path, library: Path, row_id: int, url: str) -> None:
    set_status(database, row_id, 2)
    folder = Path(tempfile.mkdtemp(dir=library.parent))
    set_status(database, row_id, 3)
    subprocess.run(["aria2c", "-c", "-q", "--dir", str(folder), url], check=True)
    for path in folder.iterdir():
        shutil.move(path, library / path.name)
    folder.rmdir()
    set_status(database, row_id, 4)


def set_status(database: Path, row_id: int, status: int) -> None:
    with sqlite3.connect(database, timeout=60) as table:
        table.execute("UPDATE record SET status = ? WHERE odr_id = ?", (status, row_id))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), 10)
