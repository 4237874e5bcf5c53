"""How a unix socket is named to the kernel: by its path, or a shorter way to it if that is too long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LONGEST: Final = 107
"""Bytes of a path that fit into a socket address (man 7 unix: sun_path, and a NUL)."""


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """What to bind or to connect to, as long as the block lasts. Raises OSError if the folder is not there."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
