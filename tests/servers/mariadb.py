"""A real mariadbd with a data folder of its own, small, so that it starts fast."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiomysql
import pymysql

from tests.servers.child import Child
from tests.servers.ports import free_port


class MariaDb:
    """`async with MariaDb() as server`: root without a password on 127.0.0.1, everything durable on commit. The port
    stays the same over `kill` and `start`."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="odl-mariadb-"))
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        await self._install()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        await asyncio.to_thread(shutil.rmtree, self._folder)

    def url(self, database: str, user: str = "root", password: str = "") -> str:
        """For the store."""
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, charset: str = "utf8mb4") -> None:
        """Creates a database; without the event loop, so that fixtures of any kind may ask for it."""
        with (
            pymysql.connect(host="127.0.0.1", port=self.port, user="root") as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"CREATE DATABASE {database} CHARACTER SET {charset}")

    async def start(self) -> None:
        """Returns when it says that it is ready, as it would say it to systemd."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            address = self._folder / "notify"
            address.unlink(missing_ok=True)
            bell.bind(str(address))
            bell.setblocking(False)
            self._child = Child(
                ["mariadbd", "--no-defaults", *self._arguments()],
                output=self._folder / "log",
                env={**os.environ, "NOTIFY_SOCKET": str(address)},
            )
            async with asyncio.timeout(60):
                await self._ready(bell, self._child)

    async def kill(self) -> None:
        """kill -9; returns when it is dead."""
        if self._child is not None:
            await self._child.kill()

    async def stop(self) -> None:
        """An orderly end."""
        if self._child is not None:
            await self._child.stop(signal.SIGTERM)

    def freeze(self) -> None:
        """It keeps its connections and says nothing more, until `thaw`."""
        assert self._child is not None
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._child is not None
        self._child.send(signal.SIGCONT)

    @asynccontextmanager
    async def connection(self, database: str = "", **options: object) -> AsyncIterator[aiomysql.Connection]:
        """A connection for a test's own SQL, autocommit on."""
        connection = await aiomysql.connect(
            host="127.0.0.1", port=self.port, user="root", db=database or None, autocommit=True, **options
        )
        try:
            yield connection
        finally:
            connection.close()

    async def run(
        self, *statements: str, database: str = "", values: Sequence[object] = (), **options: object
    ) -> list[tuple[Any, ...]]:
        """Runs statements; returns the rows of the last one."""
        rows: Sequence[tuple[Any, ...]] = ()
        async with self.connection(database, **options) as connection, connection.cursor() as cursor:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a lax sql_mode lets pass is what the test wants
                for statement in statements:
                    await cursor.execute(statement, tuple(values) or None)
                    rows = await cursor.fetchall()
        return list(rows)

    def said(self) -> str:
        """Its log."""
        return (self._folder / "log").read_text(errors="replace")

    async def _install(self) -> None:
        installing = Child(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                f"--datadir={self._folder / 'data'}",
                f"--tmpdir={self._folder}",  # its temporary tables are named by its process id alone
                *_as_whom(),
            ],
            output=self._folder / "log",
        )
        await installing.ended.wait()
        assert installing.code == 0, self.said()

    async def _ready(self, bell: socket.socket, child: Child) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.ensure_future(child.ended.wait())  # noqa: TID251  # cancelled below: it never outlives this call
        try:
            while True:
                word = asyncio.ensure_future(loop.sock_recv(bell, 4096))  # noqa: TID251  # the same
                await asyncio.wait({word, ended}, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    word.cancel()
                    raise RuntimeError(f"mariadbd did not start:\n{self.said()}")
                if b"READY=1" in word.result():
                    return
        finally:
            ended.cancel()

    def _arguments(self) -> list[str]:
        return [
            f"--datadir={self._folder / 'data'}",
            f"--tmpdir={self._folder}",
            f"--socket={self._folder / 'sock'}",
            f"--pid-file={self._folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--innodb-flush-log-at-trx-commit=1",
            "--performance-schema=OFF",
            "--max-connections=200",
            *_as_whom(),
            *self._options,
        ]


def _as_whom() -> list[str]:
    """mariadbd runs as root only if told so."""
    return ["--user=root"] if os.geteuid() == 0 else []
