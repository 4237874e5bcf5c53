"""Where the daemon's log lines go; writing them never blocks the loop."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGEST = 10 << 20
"""Bytes of a log file before it is rotated."""

KEPT = 5
"""Rotated files that are kept."""


_CHATTY = ("aiohttp", "aiomysql", "aiosqlite", "asyncio", "databases")
"""Libraries whose debug lines quote whole statements, and with them users' links."""


@contextmanager
def logging_to(file: Path | None, level: str) -> Iterator[None]:
    """Sends all log lines to `file` (rotated), or to standard error, from a thread of their own."""
    target: logging.Handler = (
        logging.StreamHandler(sys.stderr)
        if file is None
        else logging.handlers.RotatingFileHandler(file, maxBytes=LARGEST, backupCount=KEPT)
    )
    target.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(lines, target)
    root = logging.getLogger()
    handler = logging.handlers.QueueHandler(lines)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for library in _CHATTY:
        logging.getLogger(library).setLevel(logging.WARNING)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        root.removeHandler(handler)
        target.close()
