"""The daemon's end of its talk with the keeper; keeper.py tells what is said."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

log = logging.getLogger(__name__)

AT_ONCE: Final = 100
"""Sockets in one packet; the kernel passes 253 at most."""


class Control:
    """Hears the keeper, and asks it for sockets. Owns `link`, and the listener that comes over it."""

    listener: socket.socket
    proxy_port: int
    rpc_port: int

    def __init__(self, link: socket.socket, *, distrust: Callable[[], None]) -> None:
        """`distrust` is called when the keeper talks nonsense: somebody else has taken it over."""
        link.setblocking(False)
        self.ended: int | None = None
        """How aria2 ended: its exit code, or minus the signal; None while it lives, and when nobody could tell."""
        self.failed = ""
        """Why it could not be started, in the keeper's words."""
        self._link = link
        self._distrust = distrust
        self._asking: deque[asyncio.Future[list[socket.socket]]] = deque()
        self._looking: deque[asyncio.Future[bool]] = deque()
        self._hearing = True
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(link.fileno(), self._hear)

    async def begin(self, order: Mapping[str, object]) -> None:
        """Has aria2 started, and waits until it answers. Raises ConnectionError if it dies before that."""
        self._link.send(json.dumps(order).encode())
        await self._ready

    async def sockets(self, count: int) -> list[socket.socket]:
        """Unconnected, non-blocking TCP sockets of the sandbox's network. Raises ConnectionResetError."""
        got: list[socket.socket] = []
        try:
            while len(got) < count:
                got += await self._ask(min(AT_ONCE, count - len(got)))
        except BaseException:
            _close(got)
            raise
        return got

    async def sees(self, path: str) -> bool:
        """Whether anything is at a path, as the sandbox sees it. Raises ConnectionResetError."""
        self._send({"sees": path})
        seen: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._looking.append(seen)
        return await seen

    def hear_out(self) -> None:
        """Takes what a dead keeper said last."""
        while self._hearing and self._hear():
            pass

    def close(self) -> None:
        self._stop_hearing()
        self._link.close()
        if hasattr(self, "listener"):
            self.listener.close()

    async def _ask(self, count: int) -> list[socket.socket]:
        self._send({"sockets": count})
        got: asyncio.Future[list[socket.socket]] = asyncio.get_running_loop().create_future()
        self._asking.append(got)
        try:
            return await got
        except asyncio.CancelledError:
            if not got.cancelled() and got.exception() is None:  # they came at the same moment
                _close(got.result())
            raise

    def _send(self, wish: Mapping[str, object]) -> None:
        try:
            self._link.send(json.dumps(wish).encode())
        except OSError as error:
            raise ConnectionResetError(_GONE) from error

    def _hear(self) -> bool:
        """Takes one packet; returns whether there was one."""
        try:
            packet, fds, _, _ = socket.recv_fds(self._link, 64 * 1024, AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:  # reset: the keeper died before it read our last words
            packet, fds = b"", []
        if not packet:
            self._stop_hearing()
            return False
        sockets: list[socket.socket] = []
        try:
            sockets += map(_received, fds)
            self._take(json.loads(packet), sockets)
        except (ValueError, LookupError, OSError) as error:
            _close(sockets)
            log.error("the keeper of aria2 talks nonsense and is killed: %s", error)
            self._distrust()
        return True

    def _take(self, said: Mapping[str, object], sockets: list[socket.socket]) -> None:
        match said:
            case {"listening": _, "proxy_port": int(proxy_port), "rpc_port": int(rpc_port)} if not hasattr(
                self, "listener"
            ):
                self.listener, self.proxy_port, self.rpc_port = sockets[0], proxy_port, rpc_port
            case {"ready": _} if self._ready.cancelled():
                pass  # whoever wanted to know has left
            case {"ready": _} if not self._ready.done():
                self._ready.set_result(None)
            case {"sockets": _}:
                self._give(sockets)
            case {"seen": bool(seen)}:
                looking = self._looking.popleft()
                if not looking.done():
                    looking.set_result(seen)
            case {"ended": int(code)}:
                self.ended = code
            case {"failed": str(why)}:
                self.failed = why
            case _:
                raise ValueError(f"a packet that nobody expects: {list(said)[:3]}")

    def _give(self, sockets: list[socket.socket]) -> None:
        got = self._asking.popleft()
        if got.done():  # whoever asked has left
            _close(sockets)
        else:
            got.set_result(sockets)

    def _stop_hearing(self) -> None:
        """Nothing comes any longer: tells those who wait for something. Safe to call twice."""
        if not self._hearing:
            return
        self._hearing = False
        asyncio.get_running_loop().remove_reader(self._link.fileno())
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._asking, *self._looking]
        self._asking.clear()
        self._looking.clear()
        for each in waiting:
            if not each.done():
                each.set_exception(ConnectionResetError(_GONE))
                each.exception()  # whoever waits hears it; if nobody does, that is no oversight


def _received(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    received = socket.socket(fileno=fd)
    received.setblocking(False)
    return received


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


_GONE: Final = "the sandbox of aria2 is gone"
