"""The files of a task in its scratch folder, whose names a stranger chose: opened without following any link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from odl_daemon.library.placing import parent

HANDOVER: Final = ".handover"
"""A folder in the scratch root: what lies there is for the server, and nobody in aria2's sandbox sees it."""

_NO_FILE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""What the kernel says where nothing lies, or a link, or a socket."""


def name_for_server(scratch: str, status: os.stat_result) -> str:
    """The name, in the folder HANDOVER beside the tasks' folders, by which a server gets this file."""
    return f"{Path(scratch).name}-{status.st_ino}"


@contextmanager
def opened(scratch: str, source: str, size: int) -> Iterator[BinaryIO | None]:
    """The file to read; None if no plain file of this size lies there that has no second name, but for the one that a
    server knows it by. Raises OSError."""
    handle = _handle(scratch, source)
    if handle is None:
        yield None
    elif not _is_ours_alone(handle, scratch, size):
        os.close(handle)
        yield None
    else:
        with open(handle, "rb", buffering=0) as file:
            yield file


def _handle(scratch: str, source: str) -> int | None:
    try:
        top = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            with parent(top, source, make=False) as (folder, name):
                return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(top)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None


def _is_ours_alone(handle: int, scratch: str, size: int) -> bool:
    status = os.fstat(handle)
    names = status.st_nlink
    if names == 2 and _is_handed_over(scratch, status):
        names = 1
    return stat.S_ISREG(status.st_mode) and names == 1 and status.st_size == size


def _is_handed_over(scratch: str, status: os.stat_result) -> bool:
    path = Path(scratch).parent / HANDOVER / name_for_server(scratch, status)
    try:
        return os.path.samestat(path.lstat(), status)
    except FileNotFoundError:
        return False
