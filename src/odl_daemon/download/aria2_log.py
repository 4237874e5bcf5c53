"""Keeps aria2's own words, without the secrets that links carry."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import re
from collections import deque
from pathlib import Path
from typing import Final, Self

log = logging.getLogger(__name__)

LAST: Final = 20
"""Lines that are remembered for quoting."""

PENDING: Final = 10_000
"""Lines that may wait for a slow disk; more are dropped."""


class Aria2Log:
    """Takes lines, never waits for a disk. Use it as a context: leaving writes what is pending."""

    def __init__(self, path: Path | None, *, max_bytes: int = 10 << 20, keep: int = 3) -> None:
        """`path` None: only the last lines are remembered. Raises OSError if the file cannot be opened."""
        self._last: deque[str] = deque(maxlen=LAST)
        self._pending: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._file = None if path is None else _Rotating(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8")
        self._writer = None if self._file is None else logging.handlers.QueueListener(self._pending, self._file)

    def __enter__(self) -> Self:
        if self._writer is not None:
            self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None and self._file is not None:
            self._writer.stop()
            self._file.close()

    def heard(self, line: str) -> None:
        """Takes one line of aria2's."""
        self._last.append(line)
        if self._writer is not None and self._pending.qsize() < PENDING:
            self._pending.put(logging.LogRecord("aria2", logging.INFO, "", 0, redacted(line), None, None))

    def tail(self) -> list[str]:
        """The last lines, oldest first."""
        return [redacted(line) for line in self._last]


def redacted(line: str) -> str:
    """The line with every link cut down to scheme, host and path, and without what headers tell in confidence."""
    return _QUERY.sub("", _LINK.sub(_bare, _CONFIDENTIAL.sub(r"\1 ***", line)))


def _bare(link: re.Match[str]) -> str:
    """The link without userinfo, query and fragment; if its host is not plain to see, without anything."""
    scheme, place = link[1], re.split(r"[?#;]", link[2], maxsplit=1)[0]
    authority, slash, path = place.partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme}{host}{slash}{path}" if _HOST.fullmatch(host) else f"{scheme}***"


class _Rotating(logging.handlers.RotatingFileHandler):
    """Says once when it cannot write, not at each line."""

    failing = False

    def emit(self, record: logging.LogRecord) -> None:
        before, self.failing = self.failing, False
        super().emit(record)
        if self.failing and not before:
            self._complain()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        self.failing = True

    def close(self) -> None:
        try:
            super().close()
        except OSError:  # its last lines
            if not self.failing:
                self._complain()

    def _complain(self) -> None:
        log.warning("the log of aria2 cannot be written to %s", self.baseFilename)


_LINK: Final = re.compile(r"([a-z][a-z0-9+.-]*:/+)(\S*)", re.IGNORECASE)
_HOST: Final = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])?(:\d{0,5})?[,)'\"\]]*")
_QUERY: Final = re.compile(r"\?\S+")
"""Also that of a request's first line, which has no scheme."""
_CONFIDENTIAL: Final = re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie2?)\s*[:=].*", re.IGNORECASE)
