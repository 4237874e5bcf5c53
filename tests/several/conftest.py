"""Several daemons on one MariaDB: each has its own folder and name, and all write into one library."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table, mariadb, origin
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon, Setting
from tests.servers.mariadb import MariaDb

__all__ = ["mariadb", "origin"]

LEASE = 5.0
"""Seconds; the shortest that the settings allow."""


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    """An empty database."""
    server: MariaDb = request.getfixturevalue("mariadb")
    name = f"odl_{datetime.now(UTC):%H%M%S%f}"
    server.create(name)
    return Table(server.url(name), server)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The folder into which all of them write."""
    return tmp_path / "library"


@pytest.fixture
def start_one(start_daemon: StartDaemon, table: Table, library: Path) -> StartDaemon:
    """`await start_one("a")` runs one more daemon of that name on the one table and the one library."""

    async def start(name: str, **settings: Mapping[str, Setting]) -> Daemon:
        sections: dict[str, Mapping[str, Setting]] = {
            "daemon": {"name": name, "lease": LEASE},
            "library": {"kind": "folder", "folder": str(library)},
            "intake": {"poll": 0.2},
        }
        for section, keys in settings.items():
            sections[section] = {**sections.get(section, {}), **keys}
        return await start_daemon(name, database=table.url, **sections)

    return start
