"""The socket of the HTTP door: a port, or a file for a web server on the same host."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

LINE: Final = 1024
"""Connections that may stand in line to be accepted: after a restart all browsers come back at once."""

Protocol = Callable[[], asyncio.Protocol]


async def listen_at(listen: str, protocol: Protocol) -> asyncio.Server:
    """Listens at `host:port` or `unix:/path`. Raises OSError."""
    if listen.startswith("unix:"):
        return await _listen_at_file(Path(listen.removeprefix("unix:")), protocol)
    host, _, port = listen.rpartition(":")
    loop = asyncio.get_running_loop()
    return await loop.create_server(protocol, host.strip("[]"), int(port), reuse_address=True, backlog=LINE)


async def _listen_at_file(path: Path, protocol: Protocol) -> asyncio.Server:
    """For whoever is in the group of the file. What a dead daemon left there is replaced."""
    if _is_served(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    server = await asyncio.get_running_loop().create_unix_server(protocol, path, backlog=LINE)
    os.chmod(path, 0o660)  # noqa: PTH101  # pathlib is refused in coroutines, and this does not block
    return server


def _is_served(path: Path) -> bool:
    """Whether a living program listens there."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True
