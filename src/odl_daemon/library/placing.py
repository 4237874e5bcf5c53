"""Puts one file to its place in a folder, never over another one, durable when it returns. Blocks: for threads."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from odl_daemon.ports import NameTaken

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Bytes:
    """What a file holds."""

    size: int
    sha256: str


def bytes_of(path: str, *, dir_fd: int | None = None) -> Bytes | None:
    """Size and hash of a plain file; None if there is none, or something else lies there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            return None
        raise
    with open(handle, "rb", buffering=0) as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None
        digest = hashlib.sha256()
        block = memoryview(bytearray(min(_BLOCK, max(status.st_size, 1))))
        while count := file.readinto(block):
            digest.update(block[:count])
        return Bytes(status.st_size, digest.hexdigest())


def exists(name: str, dir_fd: int) -> bool:
    """Whether anything at all has this name."""
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def folder(root: int, path: str, *, make: bool) -> Iterator[int]:
    """A descriptor of a folder below the descriptor `root`; no symbolic link on the way is followed.

    `make` creates what is missing, with the parent's permissions. Raises OSError (ENOENT, ENOTDIR, ELOOP).
    """
    here = os.dup(root)
    try:
        for part in path.strip("/").split("/"):
            if part:
                there = _enter(here, part, make=make)
                os.close(here)
                here = there
        yield here
    finally:
        os.close(here)


def _enter(parent: int, name: str, *, make: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another commit makes it at this moment
        os.mkdir(name, 0o700, dir_fd=parent)
    there = os.open(name, flags, dir_fd=parent)
    os.fchmod(there, stat.S_IMODE(os.fstat(parent).st_mode))
    os.fsync(parent)
    return there


def place(source: str, target: int, name: str, expected: Bytes, temporary: str) -> None:
    """Moves or copies `source` to `name` in the folder `target`, never over anything.

    The same bytes under that name count as placed (the crash came after the move); other bytes raise NameTaken.
    `temporary` names a copy under way from another file system; those of earlier holders are removed.
    """
    try:
        _durable(source, stat.S_IMODE(os.fstat(target).st_mode) & 0o666)
        _move(source, target, name)
    except FileExistsError as error:
        if bytes_of(name, dir_fd=target) != expected:
            raise NameTaken(name) from error
    except FileNotFoundError:
        if bytes_of(name, dir_fd=target) != expected:
            raise
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target, name, expected, temporary)
    os.fsync(target)


def _durable(path: str, mode: int) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(source: str, target: int, name: str, expected: Bytes, temporary: str) -> None:
    _remove_older(target, temporary)
    mode = stat.S_IMODE(os.fstat(target).st_mode) & 0o666
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
    try:
        with open(source, "rb") as file, open(handle, "wb", buffering=0) as copy:
            while os.sendfile(copy.fileno(), file.fileno(), None, 1 << 24):
                pass
            os.fchmod(copy.fileno(), mode)
            os.fsync(copy.fileno())
        _move(temporary, target, name, source_fd=target)
    except FileExistsError as error:
        if bytes_of(name, dir_fd=target) != expected:
            raise NameTaken(name) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=target)


def _remove_older(target: int, temporary: str) -> None:
    """Copies that an earlier holder of the task left half-done."""
    prefix = temporary.rpartition("-")[0] + "-"
    for name in os.listdir(target):
        if name.startswith(prefix):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=target)


def _move(source: str, target: int, name: str, *, source_fd: int = -100) -> None:
    """renameat2 with RENAME_NOREPLACE; a link and an unlink where the file system does not know it."""
    if _RENAMEAT2(source_fd, os.fsencode(source), target, os.fsencode(name), 1) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(number, os.strerror(number), name)
    from_fd = None if source_fd < 0 else source_fd
    os.link(source, name, src_dir_fd=from_fd, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(source, dir_fd=from_fd)


_RENAMEAT2 = ctypes.CDLL(None, use_errno=True).renameat2
_RENAMEAT2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
