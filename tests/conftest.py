"""What the tests of every room may ask for: a web server, daemons."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.servers.daemon import Daemon
from tests.servers.nginx import Nginx

StartDaemon = Callable[..., Awaitable[Daemon]]
"""`await start_daemon("a", database=url, download={"slots": 2})` runs one more daemon, in a folder of that name."""


@pytest.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[Nginx]:
    async with Nginx(tmp_path / "origin") as nginx:
        yield nginx


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon(tmp_path / "daemon") as daemon:
        yield daemon


@pytest.fixture
async def start_daemon(tmp_path: Path) -> AsyncIterator[StartDaemon]:
    async with AsyncExitStack() as running:

        async def start(name: str, **settings: object) -> Daemon:
            return await running.enter_async_context(Daemon(tmp_path / name, **settings))  # type: ignore[arg-type]

        yield start
