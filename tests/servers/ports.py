"""TCP ports that nobody uses."""

from __future__ import annotations

import socket


def listening(port: int = 0) -> socket.socket:
    """A socket that listens on 127.0.0.1, on a port of the kernel's choice unless one is named. Hand it on, and no
    other program can take the port meanwhile."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(1024)
    return sock


def free_port() -> int:
    """A port that was free a moment ago, for programs that cannot take over a socket, or where nobody shall listen."""
    with listening() as sock:
        return port_of(sock)


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port
