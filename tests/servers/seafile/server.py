"""The server's socket: frames, and the few threads that answer them.

A half frame holds a thread of all versions. Up to 11 an open connection holds one as long as it is open; later ones
hold one from a request's first byte to its answer.
"""

from __future__ import annotations

import json
import queue
import re
import select
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.servers.seafile.functions import Functions, Refusal
from tests.servers.seafile.traffic import Fault, Traffic

SERVICE: Final = "seafserv-threaded-rpcserver"
BACKLOG: Final = 10

_LENGTH: Final = struct.Struct("=I")


class Server:
    """Listens from the start; a connection has an answer as soon as `serve` has been called."""

    def __init__(self, path: Path, functions: Functions, traffic: Traffic, *, threads: int, idle_pins: bool) -> None:
        self._functions = functions
        self._traffic = traffic
        self._idle_pins = idle_pins
        self._work: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._idle = select.epoll()
        self._threads = threads
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o700)
        self._listener.listen(BACKLOG)

    def serve(self) -> None:
        """Returns at once; the threads end with the process."""
        for _ in range(self._threads):
            threading.Thread(target=self._answer_all, daemon=True).start()
        threading.Thread(target=self._accept_and_watch, daemon=True).start()

    # --- the one who listens

    def _accept_and_watch(self) -> None:
        open_: dict[int, socket.socket] = {}
        self._idle.register(self._listener, select.EPOLLIN)
        while True:
            for number, _ in self._idle.poll():
                if number != self._listener.fileno():
                    self._work.put(open_[number])
                    continue
                connection, _ = self._listener.accept()
                self._traffic.came()
                if self._idle_pins:
                    self._work.put(connection)
                else:
                    open_[connection.fileno()] = connection
                    self._idle.register(connection, select.EPOLLIN | select.EPOLLONESHOT)

    # --- the ones who answer

    def _answer_all(self) -> None:
        while True:
            connection = self._work.get()
            if self._idle_pins:
                while self._answer_one(connection):
                    pass
                self._close(connection)
            elif self._answer_one(connection):
                self._idle.modify(connection, select.EPOLLIN | select.EPOLLONESHOT)
            else:
                self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        connection.close()
        self._traffic.left()

    def _answer_one(self, connection: socket.socket) -> bool:
        """Reads a frame and answers it; whether the connection stays."""
        try:
            (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
            request = _request(_read(connection, length)) if length else None
            if request is None:
                return False
            reply = self._reply(connection, *request)
            if reply is None:
                return False
            body = json.dumps(reply, ensure_ascii=False).encode()
            connection.sendall(_LENGTH.pack(len(body)))
            connection.sendall(body)
            return True
        except (EOFError, OSError):  # the client has left
            return False

    def _reply(self, connection: socket.socket, service: str, call: str) -> dict[str, object] | None:
        """The reply's object, or None for an end without a word."""
        if service != SERVICE:
            return _error(501, f"cannot find service {service}.")
        try:
            name, arguments = _call(call)
        except ValueError as error:
            return _error(511, f"failed to load RPC call: {error}\n")
        fault = self._traffic.asked(name)
        if fault is not None and fault.how == "ignore":
            _await_end(connection)
            return None
        if fault is not None and fault.how == "hold":
            self._traffic.hold()
        reply = self._carried_out(name, arguments, fault)
        self._traffic.carried_out(name)
        if fault is not None and fault.how == "mute":
            _await_end(connection)
        return None if fault is not None and fault.how in ("mute", "drop") else reply

    def _carried_out(self, name: str, arguments: list[object], fault: Fault | None) -> dict[str, object]:
        function = self._functions.by_name.get(name)
        if function is None:
            return _error(500, f"cannot find function {name}.")
        try:
            if fault is not None and fault.how == "refuse":
                raise Refusal(fault.code, fault.message)
            return {"ret": function.run(*function.coerced(arguments))}
        except Refusal as refusal:
            return {"ret": function.failed, **_error(refusal.code, refusal.message)}


def _read(connection: socket.socket, length: int) -> bytes:
    read = bytearray()
    while len(read) < length:
        piece = connection.recv(length - len(read))
        if not piece:
            raise EOFError
        read += piece
    return bytes(read)


def _await_end(connection: socket.socket) -> None:
    """Returns when the client closes."""
    with suppress(OSError):
        while connection.recv(4096):
            pass


def _request(body: bytes) -> tuple[str, str] | None:
    """Service and call; None for what the server closes the connection at."""
    try:
        request = json.loads(body)
    except ValueError:
        return None
    match request:
        case {"service": str(service), "request": str(call)}:
            return service, call
    return None


def _call(text: str) -> tuple[str, list[object]]:
    """The name of a function, and the arguments. Raises ValueError in the words of the real server's JSON reader."""
    if nul := re.search(r'"[^"]*\\u0000[^"]*"', text):
        raise ValueError(f"\\u0000 is not allowed without JSON_ALLOW_NUL near '{nul[0]}'")
    if surrogate := _lone_surrogate(text):
        raise ValueError(f"invalid Unicode '\\u{ord(surrogate):04X}'")
    match json.loads(text):
        case [str(name), *arguments]:
            return name, arguments
    raise ValueError("not a call")


def _lone_surrogate(text: str) -> str | None:
    found = re.search("[\ud800-\udfff]", json.dumps(json.loads(text), ensure_ascii=False))
    return found[0] if found else None


def _error(code: int, message: str) -> dict[str, object]:
    return {"err_code": code, "err_msg": message}
