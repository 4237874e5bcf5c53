"""The ways in which a link comes to the daemon, as those use them who hand links in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from odl_daemon.fittings import SeafileChannel
from odl_daemon.library.seaf_server import SeafServer as Calls
from odl_daemon.library.searpc import Searpc
from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.servers.daemon import Daemon
from tests.servers.seafile import SeafServer

CHANNEL = "odl.intake"


class Door(StrEnum):
    """Where links are handed in."""

    TABLE = "table"
    COMMAND_LINE = "odl add"
    SOCKET = "socket"
    """The control socket, spoken to by a client that checks nothing itself."""
    TABS = "channel, with tabs"
    JSON = "channel, JSON"

    @property
    def is_channel(self) -> bool:
        return self in (Door.TABS, Door.JSON)


class Outcome(NamedTuple):
    """What became of the links."""

    tasks: list[dict[str, Any]]
    """Those that became tasks, ended."""
    refusals: list[str]
    """A sentence for each other one."""


async def outcome(
    door: Door, links: Sequence[str], daemon: Daemon, table: Table, server: SeafServer | None = None
) -> Outcome:
    """Hands links in, each as its own user's where the door can, and waits until all have ended; `server` is the one of
    the channel."""
    match door:
        case Door.TABLE:
            refusals = []
            for number, link in enumerate(links):
                await table.insert(link, owner=_owner(number))
        case Door.COMMAND_LINE:
            refusals = (await daemon.odl("add", "--", *links)).err.split("\n")[:-1]
        case Door.SOCKET:
            refusals = await _by_socket(daemon, links)
        case Door.TABS | Door.JSON:
            assert server is not None
            refusals = await _by_channel(door, daemon, table, server, links)
    ids = await _rows(table)
    await until(lambda: table.ended(ids), within=90, what="the end of every task")
    return Outcome(await daemon.show(*ids), refusals)


def _owner(number: int) -> str:
    return f"mallory{number}@example.com"


async def _rows(table: Table) -> list[int]:
    return [task_id for (task_id,) in await table.run("SELECT odr_id FROM OfflineDownloadRecord ORDER BY odr_id")]


async def _by_socket(daemon: Daemon, links: Sequence[str]) -> list[str]:
    path = daemon.state / "control.sock"
    await until(path.exists, what="the control socket")
    reader, writer = await asyncio.open_unix_connection(path)
    refusals = []
    try:
        await reader.readline()  # its greeting
        for number, link in enumerate(links):
            request = {"owner": _owner(number), "library": "default", "path": "/", "url": link}
            writer.write(json.dumps({"do": "add", "requests": [request]}).encode() + b"\n")
            answer = json.loads(await reader.readline())
            if "error" in answer:
                assert answer["kind"] == "refused", (link, answer)
                refusals.append(answer["error"])
    finally:
        writer.close()
    return refusals


async def _by_channel(door: Door, daemon: Daemon, table: Table, server: SeafServer, links: Sequence[str]) -> list[str]:
    channel = SeafileChannel(Calls(Searpc(server.socket, limit=5)), CHANNEL)
    for number, link in enumerate(links):
        await channel.publish(_message(door, _owner(number), link))

    async def all_were_taken() -> bool:
        return len(await _rows(table)) + len(_DROPPED.findall(daemon.log())) == len(links)

    await until(all_were_taken, what="a task or a line in the log for every message")
    return _DROPPED.findall(daemon.log())


def _message(door: Door, owner: str, link: str) -> str:
    if door is Door.TABS:
        return "\t".join(["offline-file-upload", "default", "", owner, link])
    words = {"msg_type": "offline-file-upload", "repo_id": "default", "path": "/", "user_name": owner, "url": link}
    return json.dumps(words)


_DROPPED = re.compile(r"dropped a bad message: (.*)")
