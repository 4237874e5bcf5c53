"""A relay that hears everything that goes through it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self


class Wiretap:
    """`async with Wiretap(port) as tap` hands on what comes to `tap.port` to that port of 127.0.0.1; `tap.heard` is all
    that either side has said."""

    def __init__(self, target: int) -> None:
        self.heard = bytearray()
        self.port = 0
        self._target = target

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._carry(reader, back), name="there")
            group.create_task(self._carry(there, writer), name="and back")

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                self.heard += piece
                writer.write(piece)
                await writer.drain()
        writer.close()
