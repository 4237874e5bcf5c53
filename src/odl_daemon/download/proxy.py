"""The egress proxy: aria2's only way out. It takes CONNECT, has the target dialled, and relays.

What it does is RFC 9110, 9.3.6. Connections are driven by callbacks, not by tasks: one file of 10 KiB is a handful
of events, and a task for each would cost more than the file. Only dialling is a task.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from contextlib import suppress
from typing import Final, Protocol

from odl_daemon.download.relay import Relay, aborted
from odl_daemon.download.tap import Tap
from odl_daemon.guard.dial import Undialled

log = logging.getLogger(__name__)

HEAD: Final = 8 * 1024
"""Bytes of a request's head, and of what a client says before it is connected, at most."""

HEAD_LIMIT: Final = 10.0
"""Seconds until a head must be here."""

IDLE_LIMIT: Final = 900.0
"""Seconds without a byte after which a tunnel is cut; aria2 itself gives up before."""

HALF_LIMIT: Final = 30.0
"""The same after one side has said its last: aria2 says that only when it leaves, whatever the other side does."""

SWEEP: Final = 2.0
"""Seconds between two looks for connections that are over their limit."""

CONNECTIONS: Final = 2048
"""Connections at once; more wait in the kernel's queue."""

BREATH: Final = 0.1
"""Seconds without accepting after there were too many connections, or no descriptors left."""

UNREACHABLE: Final = 521
"""Our own status for every target that is not connected: unresolvable, refused, forbidden or late look alike."""


class Dials(Protocol):
    """What the proxy needs of a Dialler."""

    async def dial(self, host: str, port: int, who: str) -> socket.socket: ...


class Proxy:
    """Relays for everybody who can reach its listening socket."""

    def __init__(
        self,
        dialler: Dials,
        tap: Tap | None = None,
        *,
        head_limit: float = HEAD_LIMIT,
        idle_limit: float = IDLE_LIMIT,
        half_limit: float = HALF_LIMIT,
        sweep: float = SWEEP,
    ) -> None:
        """What comes from the internet passes the tap, if there is one."""
        self._dialler = dialler
        self._tap = tap
        self._shifts: set[_Shift] = set()
        self._head_limit = head_limit
        self._idle_limit = idle_limit
        self._half_limit = half_limit
        self._sweep = sweep

    async def serve(self, listener: socket.socket) -> None:
        """Serves for ever; leaving cuts every connection. `listener` is non-blocking, and stays the caller's."""
        async with asyncio.TaskGroup() as dials:
            shift = _Shift(listener, self._dialler, self._tap, dials)
            self._shifts.add(shift)
            try:
                while True:
                    await asyncio.sleep(self._sweep)
                    shift.sweep(self._head_limit, self._idle_limit, self._half_limit)
            finally:
                self._shifts.discard(shift)
                shift.close()

    def cut(self) -> None:
        """Breaks off every connection that there is; whoever needs one asks anew, and is judged anew."""
        for shift in self._shifts:
            shift.cut()


class _Shift:
    """One listener's connections."""

    def __init__(self, listener: socket.socket, dialler: Dials, tap: Tap | None, dials: asyncio.TaskGroup) -> None:
        self.loop = asyncio.get_running_loop()
        self.dialler = dialler
        self.tap = tap
        self.dials = dials
        self.asking: set[_Asking] = set()
        self.relays: set[Relay] = set()
        self._listener = listener
        self._breath: asyncio.TimerHandle | None = None
        self._listen()

    def sweep(self, head_limit: float, idle_limit: float, half_limit: float) -> None:
        now = self.loop.time()
        for asking in [each for each in self.asking if each.dial is None and now - each.since > head_limit]:
            asking.refuse(408, "Request Timeout")
        for relay in list(self.relays):
            if now - relay.last > (half_limit if relay.half else idle_limit):
                relay.abort()

    def close(self) -> None:
        if self._breath is not None:
            self._breath.cancel()
        self.loop.remove_reader(self._listener.fileno())
        self.cut()

    def cut(self) -> None:
        for asking in list(self.asking):
            asking.abort()
        for relay in list(self.relays):
            relay.abort()

    def _listen(self) -> None:
        self._breath = None
        self.loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(16):
            if len(self.asking) + len(self.relays) >= CONNECTIONS:
                self._rest("the proxy has %d connections, more have to wait", CONNECTIONS)
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest("the proxy cannot accept: %s", error)
                return
            client.setblocking(False)
            self.asking.add(_Asking(client, self))

    def _rest(self, why: str, detail: object) -> None:
        """Accepts nothing for a moment: trying again at once would keep the loop from everything else."""
        log.warning(why, detail)
        self.loop.remove_reader(self._listener.fileno())
        self._breath = self.loop.call_later(BREATH, self._listen)


class _Asking:
    """A connection that is not yet connected to where it wants to go."""

    __slots__ = ("_client", "_shift", "_text", "dial", "since")

    def __init__(self, client: socket.socket, shift: _Shift) -> None:
        self.since = shift.loop.time()
        self.dial: asyncio.Task[None] | None = None
        self._client = client
        self._shift = shift
        self._text = b""
        shift.loop.add_reader(client.fileno(), self._read)

    def refuse(self, status: int, words: str) -> None:
        """Says why not, and hangs up."""
        if not self._leave():
            return
        with suppress(OSError):
            self._client.send(f"HTTP/1.1 {status} {words}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            self._client.shutdown(socket.SHUT_WR)
        self._client.close()

    def abort(self) -> None:
        if self._leave():
            aborted(self._client)

    def _leave(self) -> bool:
        """Stops listening, and dialling; returns whether the connection was still ours to end."""
        if self not in self._shift.asking:
            return False
        self._shift.asking.discard(self)
        self._shift.loop.remove_reader(self._client.fileno())
        if self.dial is not None:
            self.dial.cancel()
        return True

    def _read(self) -> None:
        try:
            piece = self._client.recv(HEAD)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        if not piece:
            self.abort()
            return
        self._text += piece
        if self.dial is None:
            self._look()
        elif len(self._text) > HEAD:
            self.abort()

    def _look(self) -> None:
        """Whether its head is complete, and what it wants."""
        head, end, rest = self._text.partition(b"\r\n\r\n")
        if len(head) > HEAD or (not end and len(self._text) >= HEAD):
            self.refuse(431, "Request Header Fields Too Large")
        elif end:
            self._text = rest
            self._obey(head)

    def _obey(self, head: bytes) -> None:
        target = _TARGET.match(head)
        if target is not None and 0 < int(target[3]) < 65536:
            host = (target[1] or target[2]).decode("ascii")
            self.dial = self._shift.dials.create_task(self._connect(host, int(target[3])), name="dial for aria2")
        elif _OTHER.match(head):
            self.refuse(405, "Method Not Allowed")
        else:
            self.refuse(400, "Bad Request")

    async def _connect(self, host: str, port: int) -> None:
        try:
            remote = await self._shift.dialler.dial(host, port, self._client.getsockname()[0])
        except Undialled as error:
            log.debug("not connected to port %d for aria2: %s", port, error)
            self.dial = None
            self.refuse(UNREACHABLE, "Unreachable")
            return
        except OSError as error:  # no descriptors left, or the client went away: this connection's trouble only
            log.warning("the proxy cannot connect for aria2: %s", error)
            self.dial = None
            self.abort()
            return
        self.dial = None
        self._begin(remote)

    def _begin(self, remote: socket.socket) -> None:
        try:
            self._client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        except OSError:
            self.abort()
            aborted(remote)
            return
        self._shift.asking.discard(self)
        relay = Relay(self._client, remote, self._shift.tap, when_over=self._shift.relays.discard)
        self._shift.relays.add(relay)
        if self._text:
            relay.begin_with(self._text)


_TARGET: Final = re.compile(
    rb"CONNECT (?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,253})):([0-9]{1,5}) HTTP/1\.[01](?:\r\n|\Z)"
)
_OTHER: Final = re.compile(rb"(?!CONNECT )[A-Z]{1,20} \S+ HTTP/1\.[01](?:\r\n|\Z)")
