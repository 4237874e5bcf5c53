"""A listener on every address of this host that must never hear anybody."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Final, Self

GOOD: Final = "127.0.0.9"
"""The one address that is allowed in these tests: it stands for the internet."""


class Forbidden:
    """`async with Forbidden() as forbidden` listens on all addresses at `forbidden.port`, and counts who comes anywhere
    but to GOOD; who comes there hears 404."""

    def __init__(self) -> None:
        self.heard = 0
        self.port = 0
        self._listening = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            server = await asyncio.start_server(self._hear, "0.0.0.0", 0)
            self.port = server.sockets[0].getsockname()[1]
            await stack.enter_async_context(server)
            await stack.enter_async_context(await asyncio.start_server(self._hear, "::", self.port, reuse_address=True))
            self._listening = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.aclose()

    async def _hear(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += writer.get_extra_info("sockname")[0] != GOOD
        writer.write(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        with suppress(OSError):
            await writer.drain()
        writer.close()
