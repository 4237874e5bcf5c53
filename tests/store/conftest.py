"""The databases that every law of the store is held against."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from odl_daemon.model.task import Task
from odl_daemon.ports import Request
from odl_daemon.store import SqlStore
from tests.servers.mariadb import MariaDb


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh database, and a way to write into it as other programs do."""

    url: str
    run: Callable[..., Any]
    """`await run(sql, values)`: one statement of the test's own, with %s for each value; returns its rows."""
    skip_locked: bool = True

    def store(self, **options: Any) -> SqlStore:
        """A store on it, not yet open: each is like one more daemon."""
        return SqlStore(url=self.url, skip_locked=self.skip_locked, **options)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mariadb() -> AsyncIterator[MariaDb]:
    async with MariaDb() as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb", "mariadb-10.3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return sqlite_place(tmp_path / "odl.db")
    server: MariaDb = request.getfixturevalue("mariadb")
    return mariadb_place(server, skip_locked=request.param == "mariadb")


@pytest.fixture
def wide_place(mariadb: MariaDb) -> Place:
    """MariaDB alone, for laws about it."""
    return mariadb_place(mariadb)


def sqlite_place(file: Path) -> Place:
    async def run(text: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(file, isolation_level=None, timeout=20)
        try:
            return connection.execute(text.replace("%s", "?"), tuple(values)).fetchall()
        finally:
            connection.close()

    return Place(f"sqlite://{file}", run)


def mariadb_place(server: MariaDb, *, skip_locked: bool = True, charset: str = "utf8mb4") -> Place:
    name = f"odl_{datetime.now(UTC):%H%M%S%f}"
    server.create(name, charset)

    async def run(text: str, values: Sequence[object] = (), sql_mode: str = "''") -> list[tuple[Any, ...]]:
        return await server.run(text, database=name, values=values, sql_mode=sql_mode, charset="utf8mb4")

    return Place(server.url(name), run, skip_locked)


AT = datetime(2025, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
"""When the tests play."""


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def request(number: int = 0, owner: str = "ann@x", path: str = "/in") -> Request:
    return Request(owner, "a-library", path, f"http://host/{owner}/{number}")


async def added(store: SqlStore, count: int, owner: str = "ann@x", at: datetime = AT) -> list[Task]:
    return await store.add([request(number, owner) for number in range(count)], at)


INSERT = (
    "INSERT INTO OfflineDownloadRecord (repo_id, path, url, owner, timestamp, size, status, comment)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)
"""As the web interface writes a row."""


async def inserted(
    place: Place,
    url: str = "http://host/new",
    *,
    status: int = 1,
    owner: str = "ann@x",
    path: str = "/in",
    comment: str = "",
    timestamp: object = "2025-01-02 03:04:05",
) -> int:
    """A row of somebody else's; returns its id."""
    await place.run(INSERT, ("a-library", path, url, owner, timestamp, 0, status, comment))
    found = await place.run("SELECT MAX(odr_id) FROM OfflineDownloadRecord")
    return int(found[0][0])


async def shown(place: Place, task_id: int) -> tuple[Any, ...]:
    """What other programs see: status, comment, path, size."""
    rows = await place.run(
        "SELECT status, comment, path, size FROM OfflineDownloadRecord WHERE odr_id = %s", (task_id,)
    )
    return tuple(rows[0])
