"""Whether the sandbox holds: somebody inside tries to get past the proxy, and a canary of ours listens for him."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from odl_daemon.download.rpc import Aria2Rpc, RpcError
from odl_daemon.download.sandbox import Sandbox

TRY_LIMIT: Final = 5.0
"""Seconds that aria2 gets for its try; a refused connection takes none of them."""

LOOK: Final = 0.02
"""Seconds between two looks at how far it is."""

_OVER: Final = frozenset({"complete", "error", "removed"})


async def breach(sandbox: Sandbox, rpc: Aria2Rpc, ours: Path) -> str:
    """How one gets past the walls, as a sentence for the operator; "" if they hold. `ours` is a file of this host that
    nobody inside may see. Raises Gone, Silent and ConnectionResetError if the sandbox ends meanwhile."""
    canary = _Canary()
    async with canary.listening() as port:
        await _by_aria2(rpc, port)
        reached = await _reaches(sandbox, port)
    if canary.heard or reached:
        return "somebody in the sandbox of aria2 can connect to this host past the daemon's proxy"
    if await sandbox.sees(str(ours)):
        return "somebody in the sandbox of aria2 can see the daemon's own files"
    return ""


async def _by_aria2(rpc: Aria2Rpc, port: int) -> None:
    """aria2 with its proxy switched off, as somebody would do it who has taken it over."""
    gid = secrets.token_hex(8)
    options = {"gid": gid, "all-proxy": "", "no-proxy": "127.0.0.1", "dir": "/tmp", "out": gid}
    await rpc.call("addUri", [f"http://127.0.0.1:{port}/"], options, 0)
    with suppress(RpcError, TimeoutError):  # where all slots are busy it gets no turn
        async with asyncio.timeout(TRY_LIMIT):
            while True:
                status = (await rpc.call("tellStatus", gid, ["status"]))["status"]
                if status in _OVER:
                    break
                await asyncio.sleep(LOOK)
    for method in ("forceRemove", "removeDownloadResult"):
        with suppress(RpcError):
            await rpc.call(method, gid)


async def _reaches(sandbox: Sandbox, port: int) -> bool:
    """Whether a bare socket of the sandbox's network comes there."""
    (way,) = await sandbox.sockets(1)
    with way, suppress(OSError):  # a timeout is one, too
        async with asyncio.timeout(TRY_LIMIT):
            await asyncio.get_running_loop().sock_connect(way, ("127.0.0.1", port))
            return True
    return False


class _Canary:
    """A port of this host's loopback, and how many came to it."""

    def __init__(self) -> None:
        self.heard = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """The port, open inside the block."""
        async with await asyncio.start_server(self._hear, "127.0.0.1", 0) as door:
            yield door.sockets[0].getsockname()[1]

    async def _hear(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += 1
        writer.close()
