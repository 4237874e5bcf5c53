"""A daemon with its HTTP door open, and who comes through it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

from tests.acceptance.until import until
from tests.http.client import Client
from tests.servers.daemon import Daemon
from tests.servers.ports import free_port

ANN: Final = "ann@example.com"
BOB: Final = "bob@example.com"
BOSS: Final = "boss@example.com"


class House:
    """A running daemon, and keys for its door."""

    def __init__(self, daemon: Daemon, base: str) -> None:
        self.daemon = daemon
        self.base = base
        self.ann = self.bob = self.boss = Client(base)
        """The last one is an admin."""

    @property
    def nobody(self) -> Client:
        return Client(self.base)

    async def key(self, owner: str, **asked: object) -> str:
        """A new key, as `odl token create` asks for it; without the time that a program takes to start."""
        reader, writer = await asyncio.open_unix_connection(self.daemon.state / "control.sock")
        try:
            await reader.readline()
            writer.write(json.dumps({"do": "token_make", "owner": owner, **asked}).encode() + b"\n")
            return str(json.loads(await reader.readline())["ok"]["token"])
        finally:
            writer.close()

    async def client(self, owner: str, **asked: object) -> Client:
        return Client(self.base, await self.key(owner, **asked))

    async def browser(self, owner: str, **asked: object) -> Client:
        """Somebody who has signed in by a link."""
        once = await self.key(owner, once=True, **asked)
        told = await self.nobody.ask("POST", "/api/v1/session", {"token": once}, headers={"X-Odl": "1"})
        assert told.status == 200, told
        return Client(self.base, cookie=f"odl_session={told.cookies['odl_session'].value}")

    async def keys_of_all(self) -> None:
        self.ann, self.bob = await self.client(ANN), await self.client(BOB)
        self.boss = await self.client(BOSS, admin=True)

    def sql(self, text: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """One statement on the daemon's SQLite file."""
        with closing(sqlite3.connect(self.daemon.folder / "odl.db", timeout=20)) as table, table:
            return table.execute(text, values).fetchall()

    def rows(self, text: str, values: Sequence[Sequence[object]]) -> None:
        """One statement for each of these values."""
        with closing(sqlite3.connect(self.daemon.folder / "odl.db", timeout=20)) as table, table:
            table.executemany(text, values)


@asynccontextmanager
async def house(folder: Path, **sections: Any) -> AsyncIterator[House]:
    """A daemon in a folder of its own, with keys for everybody."""
    http = {"listen": f"127.0.0.1:{free_port()}", **sections.pop("http", {})}
    async with Daemon(folder, **{**sections, "http": http}) as daemon:
        found = House(daemon, f"http://{http['listen']}")
        await until_open(found)
        await found.keys_of_all()
        yield found


async def until_open(house: House) -> None:
    """The daemon is ready before its door is: nobody waits for a port that may be taken."""
    await until_answered(house.base)


async def until_answered(base: str) -> None:
    async def is_answered() -> bool:
        try:
            return (await Client(base).ask("GET", "/api/v1/me")).status == 401
        except OSError:
            return False

    await until(is_answered, what="an answer of the HTTP door")
