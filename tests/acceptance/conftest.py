"""What an outsider has: the daemon's command line, its table in raw SQL, and servers of strangers."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.servers.mariadb import MariaDb
from tests.servers.origin import Origin

ROW = ("status", "comment", "path", "size")


@dataclass(frozen=True, slots=True)
class Table:
    """The shared table, as another program sees it."""

    url: str
    server: MariaDb | None = None
    """None: an SQLite file."""

    async def run(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """One statement, with %s for each value, under a lax sql_mode; returns its rows."""
        if self.server is not None:
            database = self.url.rpartition("/")[2]
            return await self.server.run(text, database=database, values=values, sql_mode="''", charset="utf8mb4")
        connection = sqlite3.connect(self.url.removeprefix("sqlite://"), isolation_level=None, timeout=20)
        try:
            return connection.execute(text.replace("%s", "?"), values).fetchall()
        finally:
            connection.close()

    async def insert(
        self,
        url: str,
        *,
        library: str = "default",
        path: str = "/",
        owner: str = "ann@example.com",
        timestamp: object = "2025-01-02 03:04:05.123456",
        status: int = 1,
    ) -> int:
        """A row as the web interface writes it; returns its id."""
        await self.run(
            "INSERT INTO OfflineDownloadRecord (repo_id, path, url, owner, timestamp, size, status, comment)"
            " VALUES (%s, %s, %s, %s, %s, 0, %s, '')",
            *(library, path, url, owner, timestamp, status),
        )
        return int((await self.run("SELECT MAX(odr_id) FROM OfflineDownloadRecord"))[0][0])

    async def row(self, task_id: int) -> dict[str, Any]:
        """What other programs see of a task."""
        text = f"SELECT {', '.join(ROW)} FROM OfflineDownloadRecord WHERE odr_id = %s"
        return dict(zip(ROW, (await self.run(text, task_id))[0], strict=True))

    async def ended(self, ids: Sequence[int]) -> bool:
        """Whether none of these rows is waiting, queuing or downloading any longer."""
        marks = ", ".join(["%s"] * len(ids))
        text = f"SELECT COUNT(*) FROM OfflineDownloadRecord WHERE status IN (1, 2, 3) AND odr_id IN ({marks})"
        return not (await self.run(text, *ids))[0][0]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mariadb() -> AsyncIterator[MariaDb]:
    async with MariaDb() as server:
        yield server


@pytest.fixture
def sqlite(tmp_path: Path) -> Table:
    return Table(f"sqlite://{tmp_path / 'odl.db'}")


@pytest.fixture(params=["sqlite", "mariadb"])
def table(request: pytest.FixtureRequest) -> Table:
    """The table on each database."""
    if request.param == "sqlite":
        found: Table = request.getfixturevalue("sqlite")
        return found
    server: MariaDb = request.getfixturevalue("mariadb")
    name = f"odl_{datetime.now(UTC):%H%M%S%f}"
    server.create(name)
    return Table(server.url(name), server)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as origin:
        yield origin
