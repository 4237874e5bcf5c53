"""Carries bytes between two connected sockets, both ways, until both ways have ended."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from odl_daemon.download.cargo import Cargo, Copied, Spliced
from odl_daemon.download.tap import Tap

MUCH: Final = 1 << 20
"""Bytes one way after which it is worth to have the kernel carry them."""


class Relay:
    """Owns both sockets and closes them.

    What one side cannot take yet stays with the relay (one piece at most), and nothing more is read from the
    other side until it is gone. The end of one way is passed on (half-close); a broken connection is passed on as
    one that is broken, for a body without a length would else look complete. `when_over(relay)` is called once. What
    comes from `remote` passes the tap, if there is one.
    """

    __slots__ = ("_back", "_forth", "_when_over", "last")

    def __init__(
        self, client: socket.socket, remote: socket.socket, tap: Tap | None, *, when_over: Callable[[Relay], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.last = loop.time()
        """When the last byte came, on the loop's clock."""
        self._when_over: Callable[[Relay], None] | None = when_over
        self._forth = _Way(client, remote, self, loop, None)
        self._back = _Way(remote, client, self, loop, tap)

    @property
    def half(self) -> bool:
        """Whether one way has ended."""
        return self._forth.done or self._back.done

    def begin_with(self, early: bytes) -> None:
        """Takes what the client has said already."""
        self._forth.begin_with(early)

    def abort(self) -> None:
        """Breaks both connections off. Safe to call twice."""
        if self._end():
            aborted(self._forth.source)
            aborted(self._back.source)

    def over(self) -> bool:
        """Closes both if both ways have ended, and returns whether that is so."""
        if not (self._forth.done and self._back.done):
            return False
        if self._end():
            self._forth.source.close()
            self._back.source.close()
        return True

    def _end(self) -> bool:
        when_over, self._when_over = self._when_over, None
        if when_over is None:
            return False
        self._forth.stop()
        self._back.stop()
        when_over(self)
        return True


class _Way:
    """One direction."""

    __slots__ = (
        *("_cargo", "_carried", "_from", "_full", "_held", "_loop", "_relay", "_tap", "_to"),
        *("done", "sink", "source"),
    )

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        relay: Relay,
        loop: asyncio.AbstractEventLoop,
        tap: Tap | None,
    ) -> None:
        self.source = source
        self.sink = sink
        self.done = False
        self._relay = relay
        self._loop = loop
        self._cargo: Cargo = Copied()
        self._carried = 0
        self._full = False  # whether the sink must take something before more is read
        self._tap = tap
        self._held = False  # whether the tap must open before more is read
        # The loop gets numbers: asked for a socket that it does not watch, it describes it at length first.
        self._from, self._to = source.fileno(), sink.fileno()
        loop.add_reader(self._from, self._read)

    def begin_with(self, early: bytes) -> None:
        cargo = Copied()
        cargo.load(early)
        self._cargo = cargo
        self._give()

    def stop(self) -> None:
        if self._full:
            self._loop.remove_writer(self._to)
        elif self._held and self._tap is not None:
            self._tap.release(self)
        elif not self.done:
            self._loop.remove_reader(self._from)
        self._cargo.drop()

    def go_on(self) -> None:
        """The tap is open again."""
        self._held = False
        self._relay.last = self._loop.time()
        self._loop.add_reader(self._from, self._read)

    def _read(self) -> None:
        self._relay.last = self._loop.time()
        if self._tap is not None and self._tap.closed:
            self._hold(self._tap)
            return
        try:
            count = self._cargo.take(self.source)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._relay.abort()
            return
        if not count:
            self._finish()
            return
        self._carried += count
        if self._tap is not None:
            self._tap.flow(count)
        self._give()

    def _hold(self, tap: Tap) -> None:
        self._held = True
        self._loop.remove_reader(self._from)
        tap.hold(self)

    def _give(self) -> None:
        try:
            empty = self._cargo.give(self.sink)
        except OSError:
            self._relay.abort()
            return
        if empty is self._full:
            self._turn()
        if empty and self._carried > MUCH:
            self._carry_much()

    def _turn(self) -> None:
        """From reading to waiting for the sink, or back."""
        self._full = not self._full
        if self._full:
            self._loop.remove_reader(self._from)
            self._loop.add_writer(self._to, self._flush)
        else:
            self._loop.remove_writer(self._to)
            self._loop.add_reader(self._from, self._read)

    def _flush(self) -> None:
        self._relay.last = self._loop.time()
        self._give()

    def _carry_much(self) -> None:
        self._carried = 0
        if isinstance(self._cargo, Copied):
            with suppress(OSError):  # then it stays as it is
                self._cargo = Spliced()

    def _finish(self) -> None:
        """Passes the end on."""
        self.done = True
        self._loop.remove_reader(self._from)
        if not self._relay.over():
            with suppress(OSError):  # the other side may be gone already
                self.sink.shutdown(socket.SHUT_WR)


def aborted(link: socket.socket) -> None:
    """Closes it so that the other side sees it broken, not ended."""
    with suppress(OSError):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    link.close()


_AT_ONCE: Final = struct.pack("ii", 1, 0)
