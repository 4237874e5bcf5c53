"""Calls to a Seafile server over its unix socket, in the searpc protocol.

A frame is the length of its body (four bytes, unsigned, in the machine's order) and the body, UTF-8 JSON, both ways.
The request is `{"service": ..., "request": "[function, arguments...]"}` with JSON inside a string, the reply holds
`ret`, and in case of an error `err_code` and `err_msg`. An idle connection, or half a frame, holds one of the server's
few threads: so every call has a connection of its own, writes its frame at once, and closes whatever happens.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from odl_daemon.address import address_of

SERVICE: Final = "seafserv-threaded-rpcserver"
LONGEST_REPLY: Final = 64 << 20
"""Bytes of a reply's body; the listing of a folder of 100,000 files needs 25 MiB."""

_LENGTH: Final = struct.Struct("=I")
_PIECE: Final = 256 << 10
_PAUSE: Final = 0.05


class Refused(Exception):
    """The server answered that it did not do it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        """500 and 501 have several meanings: look at the message too."""
        self.message = message


class ServerAway(Exception):
    """The call did not reach the server: it was surely not carried out."""


class Unanswered(Exception):
    """The call was sent and no answer came that can be read: it may have been carried out, or may still be."""


class Searpc:
    """A server behind one socket.

    At most `at_once` calls are under way, the others stand in line. `limit` is in seconds, for a whole call: in line,
    connecting, waiting for the answer.
    """

    def __init__(self, socket: Path, *, limit: float = 30.0, at_once: int = 8) -> None:
        self._socket = socket
        self._limit = limit
        self._turns = asyncio.Semaphore(at_once)

    async def call(
        self, function: str, *arguments: str | int | None, service: str = SERVICE, limit: float | None = None
    ) -> object:
        """What the function returns, a JSON value.

        Raises Refused, ServerAway or Unanswered, and ValueError for arguments that searpc cannot carry. A call that is
        cancelled or runs out of time goes on in the server if it was sent.
        """
        frame = _frame(service, function, arguments)
        seconds = self._limit if limit is None else limit
        deadline = asyncio.get_running_loop().time() + seconds
        async with self._connection(deadline) as sock:
            await self._send(sock, frame, deadline)
            reply = await self._reply(sock, function, deadline)
        return _ret(reply, function)

    @asynccontextmanager
    async def _connection(self, deadline: float) -> AsyncIterator[socket.socket]:
        """A connection for one call, when it is its turn. Raises ServerAway."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline):
                    await stack.enter_async_context(self._turns)
                    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                    await self._connect(sock)
            except TimeoutError as error:
                raise ServerAway(f"the Seafile server at {self._socket} did not take the call in time") from error
            except OSError as error:
                raise ServerAway(f"no Seafile server at {self._socket}: {error.strerror}") from error
            yield sock

    async def _connect(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        while True:
            try:
                # Symbolic links are followed anew each time: an upgrade of Seafile moves them.
                with address_of(self._socket) as address:
                    sock.connect(address)
            except BlockingIOError:
                # Its queue is full. The kernel tells nobody when there is room again, and asyncio's own sock_connect
                # would take this for a connection.
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _send(self, sock: socket.socket, frame: bytes, deadline: float) -> None:
        """Raises ServerAway if it is sure that the server has not got the whole frame, else Unanswered."""
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.get_running_loop().sock_sendall(sock, frame)
        except TimeoutError as error:
            raise Unanswered(f"the Seafile server at {self._socket} did not read the call in time") from error
        except OSError as error:
            raise ServerAway(f"the Seafile server at {self._socket} went away: {error.strerror}") from error

    async def _reply(self, sock: socket.socket, function: str, deadline: float) -> bytes:
        """The body of the reply. Raises Unanswered."""
        try:
            async with asyncio.timeout_at(deadline):
                (length,) = _LENGTH.unpack(await _read(sock, _LENGTH.size))
                if length > LONGEST_REPLY:
                    raise Unanswered(f"the Seafile server's answer to {function} is too long: {length} bytes")
                return await _read(sock, length)
        except TimeoutError as error:
            raise Unanswered(f"the Seafile server did not answer {function} in time") from error
        except (OSError, EOFError) as error:
            raise Unanswered(f"the Seafile server went away before it answered {function}") from error


def _frame(service: str, function: str, arguments: tuple[str | int | None, ...]) -> bytes:
    """Raises ValueError for what the server could not read, or would read as something else."""
    for value in (service, function, *arguments):
        _check(value, function)
    request = json.dumps([function, *arguments])
    body = json.dumps({"service": service, "request": request}).encode()
    return _LENGTH.pack(len(body)) + body


def _check(value: object, function: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(f"a NUL in an argument of {function}: {value[:80]!r}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"not text in an argument of {function}: {value[:80]!r}")
    elif isinstance(value, bool) or not isinstance(value, int | None):
        raise ValueError(f"neither text, number nor nothing in an argument of {function}: {value!r}")
    elif value is not None and not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"a number beyond 64 bits in an argument of {function}: {value}")


async def _read(sock: socket.socket, length: int) -> bytes:
    """Exactly so many bytes. Raises EOFError and OSError."""
    loop = asyncio.get_running_loop()
    read = bytearray()
    while len(read) < length:
        piece = await loop.sock_recv(sock, min(length - len(read), _PIECE))
        if not piece:
            raise EOFError
        read += piece
    return bytes(read)


def _ret(reply: bytes, function: str) -> object:
    """The answer in a reply. Raises Refused, and Unanswered if there is none in it."""
    try:
        answer = json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise Unanswered(f"the Seafile server's answer to {function} is not JSON") from error
    if isinstance(answer, dict):
        if "err_code" in answer:
            raise _refused(answer)
        if "ret" in answer:
            return answer["ret"]
    raise Unanswered(f"the Seafile server's answer to {function} holds no result")


def _refused(answer: dict[str, object]) -> Refused:
    code = answer["err_code"]
    return Refused(code if isinstance(code, int) else 0, str(answer.get("err_msg") or "no reason given"))
