"""A desk of our own, for when no daemon runs: it lives in a thread beside the command, until the command ends."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading

from odl_daemon import app
from odl_daemon.cli.trouble import OperatorTrouble, innermost
from odl_daemon.config import Config
from odl_daemon.intake.spoken import answer
from odl_daemon.ports import StoreAway

CLOSING_LIMIT = 5.0
"""Seconds that the database gets to let us go."""


_HINT = "look at [database] url with `odl check`"


class OwnDesk:
    """Takes the same requests as a daemon's control door, and gives the same answers. Raises OperatorTrouble."""

    def __init__(self, config: Config) -> None:
        self._asked: queue.SimpleQueue[dict[str, object] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[dict[str, object] | Exception] = queue.SimpleQueue()
        _try_file(config.database.url)
        logging.getLogger().addHandler(logging.NullHandler())  # what goes wrong is told by the answers
        self._thread = threading.Thread(target=self._live, args=(config,), name="desk of our own", daemon=True)
        self._thread.start()

    def ask(self, message: dict[str, object]) -> dict[str, object]:
        """The answer. Raises OperatorTrouble if the database cannot be used; then this desk is closed."""
        self._asked.put(message)
        heard = self._answers.get()
        if isinstance(heard, Exception):
            raise OperatorTrouble(f"{_sentence(heard)}; {_HINT}") from heard
        return heard

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join(CLOSING_LIMIT)

    def _live(self, config: Config) -> None:
        try:
            asyncio.run(self._attend(config))
        except Exception as error:  # noqa: BLE001  # whatever the database's driver raises, who asked must hear of it
            self._answers.put(error)

    async def _attend(self, config: Config) -> None:
        async with app.open_desk(config) as desk:
            while message := await asyncio.to_thread(self._asked.get):
                self._answers.put(await answer(desk, message))


def _try_file(url: str) -> None:
    """Opens a database file before the driver does, which says less of what is wrong. A file that is made now is
    for the daemon's user alone."""
    if not url.startswith("sqlite:"):
        return
    path = url.removeprefix("sqlite:///")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise OperatorTrouble(f"the database file {path} cannot be opened: {error.strerror}; {_HINT}") from error


def _sentence(error: Exception) -> str:
    cause = innermost(error)
    return str(cause) if isinstance(cause, StoreAway) else f"the database cannot be used: {cause}"
