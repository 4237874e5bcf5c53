"""A scriptable web server that does what strangers' servers do, and counts what is asked of it."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import ssl
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that look like nothing else: a wrong offset shows in the hash."""
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Page:
    """How one path answers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    ranges: bool = True
    declared: int | None = None
    """The Content-Length to claim, whatever the body is; -1 sends none and closes at the end."""
    cut: int | None = None
    """Close the connection after so many bytes of the body, `cuts` times."""
    cuts: int = 1_000_000
    gate: asyncio.Event | None = None
    """Wait for it after `gate_at` bytes of the body; before the status line if `gate_at` is negative."""
    gate_at: int = 0
    head_status: int | None = None
    """Another status for HEAD."""
    deaf_to_head: bool = False
    """Close the connection on HEAD without a word."""
    raw: bytes | None = None
    """Send this instead of everything."""
    then: Page | None = None
    """The page that lies there after the first GET."""
    pour: Callable[[], AsyncIterator[bytes]] | None = None
    """Send what it yields instead of everything, as long as anybody listens."""


def bomb(length: int = 10**16, *, then: Page | None = None, honest: bool = False) -> Page:
    """An answer whose length aria2 cannot take; one that is not honest says nothing to those who ask for it first."""
    return Page(b"x", declared=length, ranges=False, deaf_to_head=not honest, then=then)


def twice(then: Page) -> Page:
    """Two bombs, after which its task goes on alone, and then this."""
    return bomb(then=bomb(then=then))


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]


class Origin:
    """`async with Origin() as origin: origin.pages["/a"] = Page(b"...")`; `origin.url("/a")` fetches it."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", listener: socket.socket | None = None
    ) -> None:
        """`listener` is used instead of a new socket on `host`."""
        self._host = host
        self._listener = listener
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.sent: Counter[str] = Counter()
        """Bytes of bodies, per path."""
        self.at_once = 0
        self.most_at_once = 0
        """Bodies on their way at the same time."""
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._heard: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.port = 0

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            self._server = await asyncio.start_server(self._serve, sock=self._listener, ssl=self._tls)
        else:
            self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls, backlog=500)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def requests(self, path: str, method: str = "GET") -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path and asked.method == method]

    async def heard(self, path: str) -> None:
        """Returns once `path` was asked for."""
        await self._heard[path].wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        try:
            while await self._answer_one(reader, writer):
                pass
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side went away, or the test is over
        finally:
            writer.transport.abort()
            self._serving.discard(serving)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        begin = await reader.readexactly(1)
        if begin == b"\x16":  # somebody greets in TLS
            writer.write(b"HTTP/1.1 400 Plain HTTP only\r\n\r\n")
            return False
        head = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        path = target.partition("?")[0]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        self.asked.append(Asked(method, path, headers))
        self._heard[path].set()
        page = self.pages.get(path, Page(b"nothing here", status=404))
        if page.then is not None and method == "GET":
            self.pages[path] = page.then
        if page.gate is not None and page.gate_at < 0:
            await page.gate.wait()
        if method == "HEAD" and page.deaf_to_head:
            return False
        if page.raw is not None:
            writer.write(page.raw)
            await writer.drain()
            return False
        if page.pour is not None:
            async for piece in page.pour():
                writer.write(piece)
                await writer.drain()
            return False
        first, body, answer = _choose(page, method, headers)
        writer.write(answer)
        if method == "HEAD":
            await writer.drain()
            return True
        async with self._counted():
            return await self._send(page, path, first, body, writer)

    async def _send(self, page: Page, path: str, first: int, body: bytes, writer: asyncio.StreamWriter) -> bool:
        end = len(body)
        cutting = page.cut is not None and page.cuts > 0 and end > page.cut
        if cutting:
            assert page.cut is not None
            page.cuts -= 1
            end = page.cut
        gate_at = page.gate_at - first
        if page.gate is not None and 0 <= gate_at < end and not page.gate.is_set():
            gate = page.gate
            await self._write(path, body[:gate_at], writer)
            await gate.wait()
            await self._write(path, body[gate_at:end], writer)
        else:
            await self._write(path, body[:end], writer)
        return not cutting and page.declared is None

    async def _write(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(body), 65536):
            piece = body[start : start + 65536]
            writer.write(piece)
            self.sent[path] += len(piece)
            await writer.drain()

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            self.at_once -= 1


def _choose(page: Page, method: str, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Offset and bytes to send, and the head before them."""
    status, body, first = page.status, page.body, 0
    lines = dict(page.headers)
    wanted = headers.get("range", "")
    if page.ranges:
        lines["Accept-Ranges"] = "bytes"
    if wanted.startswith("bytes=") and page.ranges and status == 200:
        low, _, high = wanted[6:].partition("-")
        first = int(low)
        last = min(int(high), len(body) - 1) if high else len(body) - 1
        status, body = 206, page.body[first : last + 1]
        lines["Content-Range"] = f"bytes {first}-{last}/{len(page.body)}"
    if page.etag:
        lines["ETag"] = page.etag
    length = len(body) if page.declared is None else page.declared
    if length >= 0:
        lines["Content-Length"] = str(length)
    if method == "HEAD" and page.head_status is not None:
        status = page.head_status
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return first, body, f"HTTP/1.1 {status} So\r\n{head}\r\n".encode()
