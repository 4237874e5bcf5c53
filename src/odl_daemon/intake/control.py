"""The command line's door: newline-delimited JSON over a unix socket.

The door speaks first: `{"odl-daemon": "<version>"}`. A client sends nothing before that greeting. If it does
not come in time (the daemon is stopped, or hangs), the client closes the connection and may write to the
table itself; the daemon then finds the connection closed and empty, and nothing is done twice. Neither is a
request carried out whose client has closed its connection by the time that the daemon comes to it: nobody would
hear the answer, and its user was told that it may not have been done.
"""

from __future__ import annotations

import asyncio
import json
import logging
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from odl_daemon import __version__
from odl_daemon.address import address_of
from odl_daemon.engine.desk import Desk
from odl_daemon.intake.spoken import REFUSED, answer

log = logging.getLogger(__name__)

LONGEST_LINE: Final = 4 << 20
"""Bytes of one message."""

MOST_GUESTS: Final = 64
"""Connections at a time; more wait in the socket's queue."""

SILENCE_LIMIT: Final = 60.0
"""Seconds that a client may take to send its next request, or to take its answer."""

NO_ROOM_PAUSE: Final = 0.5
"""Seconds until the next accept when the process has no file descriptor left."""


class ControlDoor:
    """Takes the command line's requests to the desk."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self._desk = desk
        self._path = path
        self._room = asyncio.Semaphore(MOST_GUESTS)
        self.open = asyncio.Event()
        """Clients find it."""

    async def serve(self) -> None:
        """For ever. Raises OSError if the socket cannot be made; the state folder must be ours alone."""
        with _listening(self._path) as listener:
            self.open.set()
            async with asyncio.TaskGroup() as guests:
                while True:
                    await self._room.acquire()
                    guest = await _next_guest(listener)
                    guests.create_task(self._attend(guest), name="a guest at the control door")

    async def _attend(self, guest: socket.socket) -> None:
        """One client, from the greeting to its leaving; nothing that it does harms anybody else."""
        try:
            with guest:
                await self._talk(guest)
        except (OSError, TimeoutError) as error:
            log.debug("a client of the control door went away: %s", error)
        except Exception:  # whatever a stranger's bytes may bring about, it ends here
            log.exception("a talk at the control door broke")
        finally:
            self._room.release()

    async def _talk(self, guest: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=guest, limit=LONGEST_LINE)
        try:
            await _say(writer, {"odl-daemon": __version__})
            while line := await _heard(reader):
                if writer.is_closing() or _has_left(guest):
                    log.info("a client of the control door left before its request was read: it is not carried out")
                    return
                await _say(writer, await self._answer(line))
        except ValueError:  # by StreamReader.readline
            await _say(writer, {"error": f"a line may have {LONGEST_LINE} bytes at most", "kind": REFUSED})
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "expected a line of JSON", "kind": REFUSED}
        return await answer(self._desk, message)


async def _heard(reader: asyncio.StreamReader) -> bytes:
    """The next whole line; nothing if the client is gone or has left half a line."""
    async with asyncio.timeout(SILENCE_LIMIT):
        line = await reader.readline()
    return line if line.endswith(b"\n") else b""


def _has_left(guest: socket.socket) -> bool:
    """Whether the client has closed its connection. One that only has nothing more to say (shutdown of its writing
    half) still listens: poll(2) tells them apart by POLLHUP."""
    look = select.poll()
    look.register(guest, 0)
    return bool(look.poll(0))


async def _say(writer: asyncio.StreamWriter, message: dict[str, object]) -> None:
    writer.write(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n")
    async with asyncio.timeout(SILENCE_LIMIT):
        await writer.drain()


# --- the socket -------------------------------------------------------------------------------------------


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """The listening socket, for its owner alone. It takes the place of a dead daemon's in one step, and is
    removed in the end if it is still the one that stands there."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        with address_of(fresh) as address:
            listener.bind(address)
        try:
            fresh.chmod(0o600)
            listener.listen(socket.SOMAXCONN)
            ours = fresh.stat().st_ino
            fresh.rename(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        try:
            yield listener
        finally:
            with suppress(FileNotFoundError):
                if path.stat().st_ino == ours:
                    path.unlink()


async def _next_guest(listener: socket.socket) -> socket.socket:
    loop = asyncio.get_running_loop()
    while True:
        try:
            guest, _ = await loop.sock_accept(listener)
        except OSError as error:
            log.warning("the control door cannot let anybody in: %s", error.strerror)
            await asyncio.sleep(NO_ROOM_PAUSE)
        else:
            guest.setblocking(False)
            return guest
