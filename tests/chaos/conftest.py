"""What a storm needs: its seed, an origin that can be slow, and a database that may be killed."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.servers.mariadb import MariaDb
from tests.servers.nginx import Nginx
from tests.servers.origin import Origin

SLOW = 500_000
"""Bytes per second of the slow links."""


@pytest.fixture
def seed() -> int:
    """From SEED if that is set, so that a failure can be had again; the test prints it, and pytest shows that."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")  # noqa: T201
    return seed


@pytest.fixture
def minutes() -> float:
    """How long a long run rages: MINUTES."""
    return float(os.environ.get("MINUTES") or 10)


@pytest.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[Nginx]:
    async with Nginx(tmp_path / "origin", slow_rate=SLOW) as nginx:
        yield nginx


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as origin:
        yield origin


@pytest.fixture
def sqlite(tmp_path: Path) -> Table:
    return Table(f"sqlite://{tmp_path / 'odl.db'}")


@pytest.fixture(params=["sqlite", "mariadb"])
async def table(request: pytest.FixtureRequest, sqlite: Table) -> AsyncIterator[Table]:
    """An empty database, with a server of its own."""
    if request.param == "sqlite":
        yield sqlite
        return
    async with MariaDb() as server:
        server.create("odl")
        yield Table(server.url("odl"), server)
