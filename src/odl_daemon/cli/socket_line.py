"""The line to a running daemon: its control socket, read and written without a loop, for a quick start."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Final

from odl_daemon.address import address_of
from odl_daemon.cli.trouble import OperatorTrouble

GREETING_LIMIT: Final = 2.0
"""Seconds until a daemon that is well has greeted."""

ANSWER_LIMIT: Final = 60.0
"""Seconds until an answer must begin to come; the daemon waits for a database that is away, a user does not."""


class LineDead(Exception):
    """The daemon went away in the middle of a request: it may have been carried out, or not."""


class SocketLine:
    """An open talk with a daemon."""

    def __init__(self, talk: socket.socket) -> None:
        self._talk = talk
        self._heard = talk.makefile("rb")

    def ask(self, message: dict[str, object]) -> dict[str, object]:
        """Sends a request and returns its answer. Raises LineDead."""
        try:
            self._talk.settimeout(ANSWER_LIMIT)
            self._talk.sendall(json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n")
            answer = json.loads(self._heard.readline())
        except (OSError, ValueError) as error:
            raise LineDead("the daemon went away before it answered") from error
        if not isinstance(answer, dict):
            raise LineDead("the daemon answered with something that is no answer")
        return answer

    def close(self) -> None:
        self._heard.close()
        self._talk.close()


def line_to_daemon(state_dir: Path) -> SocketLine | None:
    """The line to the daemon that works in this folder; None if none greets. Raises OperatorTrouble if this
    user may not talk to it."""
    talk = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        talk.settimeout(GREETING_LIMIT)
        with address_of(state_dir / "control.sock") as address:
            talk.connect(address)
        line = SocketLine(talk)
        if line._heard.readline().startswith(b'{"odl-daemon":'):
            return line
    except PermissionError as error:
        talk.close()
        sentence = f"the daemon's folder {state_dir} is closed to this user: run odl as the user of the daemon"
        raise OperatorTrouble(sentence) from error
    except OSError:  # no socket, a dead daemon's, or one that does not answer: the caller goes to the table
        pass
    talk.close()
    return None
