"""The egress proxy, against real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.guard.diallers import OpenDialler

from odl_daemon.download import cargo as cargo_module
from odl_daemon.download import proxy as proxy_module
from odl_daemon.download import relay as relay_module
from odl_daemon.download.proxy import Proxy
from odl_daemon.download.tap import Tap
from odl_daemon.guard.dial import Undialled

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(dialler: Any = None, tap: Tap | None = None, **limits: float) -> AsyncIterator[tuple[str, int]]:
    """A proxy of this test's own; when it is left, no descriptor may have been lost."""
    with socket.create_server(("0.0.0.0", 0), backlog=100) as listener, OpenDialler() as usual:
        listener.setblocking(False)
        before = descriptors()
        async with asyncio.TaskGroup() as group:
            proxy = group.create_task(Proxy(dialler or usual, tap, **limits).serve(listener))
            yield "127.0.0.1", listener.getsockname()[1]
            proxy.cancel()
        await until(lambda: descriptors() <= before)


@asynccontextmanager
async def origin(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def tunnel(proxy: tuple[str, int], port: int) -> AsyncIterator[Streams]:
    async with connected(proxy) as (reader, writer):
        writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        yield reader, writer


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


async def answer_to(proxy: tuple[str, int], said: bytes) -> bytes:
    """Everything that the proxy says to it, until it hangs up."""
    async with connected(proxy) as (reader, writer):
        with contextlib.suppress(OSError):
            writer.write(said)
            await writer.drain()
        answer = b""
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                answer += piece
        return answer


async def test_a_tunnel_carries_both_ways() -> None:
    async with origin(echo) as port, serving() as proxy, tunnel(proxy, port) as (reader, writer):
        for word in (b"one", b"two", b"three"):
            writer.write(word)
            assert await reader.readexactly(len(word)) == word


async def test_http_and_https_go_through() -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving() as proxy:
        async with origin(hello) as port, tunnel(proxy, port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.read()).endswith(b"hello")
        async with origin(hello, tls) as port, tunnel(proxy, port) as (reader, writer):
            await writer.start_tls(trusting, server_hostname="localhost")
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("pipes", [True, False])
async def test_much_is_carried_to_the_last_byte(pipes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pipes:
        monkeypatch.setattr(relay_module, "Spliced", no_pipe)
    size, block = 64 << 20, os.urandom(1 << 20)

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(size // len(block)):
            writer.write(block)
            await writer.drain()

    got, count = hashlib.sha256(), 0
    async with origin(pour) as port, serving() as proxy, tunnel(proxy, port) as (reader, _):
        while piece := await reader.read(100_000):
            got.update(piece)
            count += len(piece)
    assert count == size
    assert got.digest() == hashlib.sha256(block * (size // len(block))).digest()


@pytest.mark.parametrize("pipes", [True, False])
async def test_many_tunnels_at_once_do_not_mix(pipes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pipes:
        monkeypatch.setattr(relay_module, "Spliced", no_pipe)

    async def round_trip(proxy: tuple[str, int], port: int) -> None:
        sent = os.urandom(3 << 20)
        async with tunnel(proxy, port) as (reader, writer), asyncio.TaskGroup() as group:
            writer.write(sent)
            group.create_task(writer.drain())
            assert await reader.readexactly(len(sent)) == sent

    async with origin(echo) as port, serving() as proxy, asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(round_trip(proxy, port))


def no_pipe() -> None:
    raise PermissionError("too many pipes")


async def test_the_end_of_one_way_is_passed_on_and_the_other_goes_on() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read()))

    async with origin(count) as port, serving() as proxy, tunnel(proxy, port) as (reader, writer):
        writer.write(b"x" * 12345)
        writer.write_eof()
        assert await reader.read() == b"12345"


async def test_a_broken_connection_is_passed_on_as_broken() -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of it")
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with origin(breaks) as port, serving() as proxy, tunnel(proxy, port) as (reader, writer):
        assert await reader.readexactly(10) == b"half of it"
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()


@pytest.mark.parametrize("pipes", [True, False])
async def test_a_client_that_does_not_read_holds_the_origin_up(pipes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pipes:
        monkeypatch.setattr(relay_module, "Spliced", no_pipe)
    size = 256 << 20  # more than all buffers on the way can hold
    poured = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        while poured < size:
            writer.write(bytes(1 << 16))
            await writer.drain()
            poured += 1 << 16

    async def settled() -> int:
        """How much was poured when nothing moves any longer."""
        seen = -1
        while seen != poured:
            seen = poured
            await asyncio.sleep(0.1)
        return seen

    async with origin(pour) as port, serving() as proxy, tunnel(proxy, port) as (reader, _):
        assert await settled() < size
        count = 0
        while piece := await reader.read(1 << 20):
            count += len(piece)
        assert count == size


async def test_what_a_client_says_with_its_request_is_not_lost() -> None:
    async with origin(echo) as port, serving() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\nearly bird" % port)
        assert (await reader.readexactly(49)).endswith(b"\r\n\r\nearly bird")


async def test_the_dialler_is_told_which_address_was_called() -> None:
    asked: list[tuple[str, int, str]] = []

    class Noting:
        async def dial(self, host: str, port: int, who: str) -> socket.socket:
            asked.append((host, port, who))
            raise Undialled("no")

    async with serving(Noting()) as (_, port):
        for address in ("127.0.0.1", "127.9.8.7"):
            await answer_to((address, port), b"CONNECT Example.org:443 HTTP/1.1\r\n\r\n")
        await answer_to(("127.0.0.1", port), b"CONNECT [2001:db8::1]:8443 HTTP/1.0\r\n\r\n")
    assert asked == [
        ("Example.org", 443, "127.0.0.1"),
        ("Example.org", 443, "127.9.8.7"),
        ("2001:db8::1", 8443, "127.0.0.1"),
    ]


@pytest.mark.parametrize("trouble", [Undialled("forbidden"), Undialled("refused")])
async def test_every_target_that_is_not_connected_looks_alike(trouble: Exception) -> None:
    class Failing:
        async def dial(self, host: str, port: int, who: str) -> socket.socket:
            raise trouble

    async with serving(Failing()) as proxy:
        answer = await answer_to(proxy, b"CONNECT example.org:443 HTTP/1.1\r\n\r\n")
    assert answer == b"HTTP/1.1 521 Unreachable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\n\r\n", 405),
        (b"CONNECT example.org HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT example.org:0 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT example.org:65536 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT example.org:443 HTTP/2\r\n\r\n", 400),
        (b"CONNECT  example.org:443 HTTP/1.1\r\n\r\n", 400),
        (b"connect example.org:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT user@example.org:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT 127.0.0.1:22@example.org:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT ex\x00ample.org:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT ex\xc3\xa4mple.org:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT [fe80::1%eth0]:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT ::1:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT :443 HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"CONNECT example.org:443 HTTP/1.1\r\n" + b"x: y\r\n" * 3000 + b"\r\n", 431),
        (b"x" * (1 << 20), 431),
    ],
)
async def test_a_request_that_is_no_connect_is_refused(said: bytes, status: int) -> None:
    class Never:
        async def dial(self, host: str, port: int, who: str) -> socket.socket:
            raise AssertionError("dialled")

    async with serving(Never()) as proxy:
        answer = await answer_to(proxy, said)
    if len(said) < 10_000:
        assert answer.startswith(b"HTTP/1.1 %d " % status)
    else:  # it may hear the broken connection before the answer: it was still talking
        assert answer == b"" or answer.startswith(b"HTTP/1.1 %d " % status)


async def test_a_head_in_single_bytes_is_understood() -> None:
    async with origin(echo) as port, serving() as proxy, connected(proxy) as (reader, writer):
        for byte in b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port:
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_never_asks_is_sent_away() -> None:
    async with serving(head_limit=0.0, sweep=0.01) as proxy:
        assert (await answer_to(proxy, b"CONNECT exam")).startswith(b"HTTP/1.1 408 ")


async def test_an_idle_tunnel_is_cut() -> None:
    async with (
        origin(echo) as port,
        serving(idle_limit=0.0, sweep=0.05) as proxy,
        tunnel(proxy, port) as (reader, _),
    ):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_tunnel_that_one_side_has_left_is_cut_sooner() -> None:
    leave = asyncio.Event()

    async def stays(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await leave.wait()

    async with (
        origin(stays) as port,
        serving(half_limit=0.0, sweep=0.05) as proxy,
        tunnel(proxy, port) as (reader, writer),
    ):
        writer.write_eof()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        leave.set()


async def test_a_client_that_leaves_ends_its_dial() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    class Slow:
        async def dial(self, host: str, port: int, who: str) -> socket.socket:
            began.set()
            try:
                await asyncio.Event().wait()
                raise AssertionError("nobody sets it")
            finally:
                ended.set()

    async with serving(Slow()) as proxy:
        async with connected(proxy) as (_, writer):
            writer.write(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n")
            await began.wait()
        await ended.wait()


async def test_leaving_cuts_everything_that_is_open() -> None:
    class Slow(OpenDialler):
        async def dial(self, host: str, port: int, who: str) -> socket.socket:
            if host == "example.org":
                await asyncio.Event().wait()
            return await super().dial(host, port, who)

    with Slow() as slow:
        async with contextlib.AsyncExitStack() as clients, origin(echo) as port, serving(slow) as proxy:
            before = descriptors()
            for _ in range(3):
                await clients.enter_async_context(connected(proxy))
                await clients.enter_async_context(tunnel(proxy, port))
                _, writer = await clients.enter_async_context(connected(proxy))
                writer.write(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n")
            await until(lambda: descriptors() >= before + 9 + 9 + 6)
            await clients.aclose()


async def test_one_client_too_many_waits_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(proxy_module, "CONNECTIONS", 1)
    async with origin(echo) as port, serving() as proxy:
        async with tunnel(proxy, port):
            second = asyncio.open_connection(*proxy)
            reader, writer = await second
            writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port)
            await until(lambda: "more have to wait" in caplog.text)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


async def test_the_proxy_outlives_a_dial_that_fails_for_want_of_descriptors() -> None:
    class Poor(OpenDialler):
        poor = True

        async def dial(self, host: str, port: int, who: str) -> socket.socket:
            if self.poor:
                raise OSError(24, "Too many open files")
            return await super().dial(host, port, who)

    with Poor() as poor:
        async with origin(echo) as port, serving(poor) as proxy:
            assert await answer_to(proxy, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port) == b""
            poor.poor = False
            async with tunnel(proxy, port):
                pass


def test_a_pipe_carries_a_piece_at_once() -> None:
    left, middle = socket.socketpair()
    far, right = socket.socketpair()
    carried = cargo_module.Spliced()
    with left, middle, far, right:
        for each in (left, middle, far, right):
            each.setblocking(False)
        left.send(b"abc")
        assert carried.take(middle) == 3
        assert carried.give(far)
        assert right.recv(10) == b"abc"
        with pytest.raises(BlockingIOError):
            carried.take(middle)
        left.close()
        assert carried.take(middle) == 0
    carried.drop()
