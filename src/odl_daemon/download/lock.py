"""A lock that lasts as long as any process that inherited it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def locked(path: Path, patience: float) -> AsyncIterator[int]:
    """Waits up to `patience` seconds for the lock on `path`, and yields its descriptor.

    Leaving closes our copy only: whoever got the descriptor meanwhile holds the lock on. Raises TimeoutError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(patience):
            while not _taken(fd):  # noqa: ASYNC110 (the kernel tells nobody when a lock becomes free)
                await asyncio.sleep(0.02)
        yield fd
    finally:
        os.close(fd)


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
