"""Puts one file to its place in a folder, never over another one, durable when it returns. Blocks: for threads."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from odl_daemon.library.layout import TEMPORARY
from odl_daemon.ports import NameTaken

_BLOCK = 1 << 20
"""Bytes that are hashed at a time, without the interpreter's lock."""

_COPY = 1 << 24
"""Bytes that the kernel copies in one call."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """What a file holds."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Whose copy is under way, should it need a name: files of one task have numbers, holders have epochs."""

    task: int
    number: int
    epoch: int
    copied: Callable[[int], object] = lambda _: None
    """Hears of each piece, in bytes."""

    @property
    def name(self) -> str:
        return f"{TEMPORARY}{self.task}-{self.number}-{self.epoch}"


# --- looking


def bytes_of(name: str, *, dir_fd: int, links: int = 0) -> Bytes | None:
    """Size and hash of a plain file; None if there is none, or something else lies there.

    With `links`, a file that has more names than that is something else: it is somebody else's file as well.
    """
    with _plain(name, dir_fd) as found:
        if found is None or 0 < links < found[1].st_nlink:
            return None
        return Bytes(found[1].st_size, _sha256(*found))


def holds(name: str, expected: Bytes, *, dir_fd: int) -> bool:
    """Whether a plain file with these bytes lies there; a wrong size is seen without reading."""
    with _plain(name, dir_fd) as found:
        return found is not None and found[1].st_size == expected.size and _sha256(*found) == expected.sha256


def exists(name: str, dir_fd: int) -> bool:
    """Whether anything at all has this name."""
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _plain(name: str, dir_fd: int) -> Iterator[tuple[int, os.stat_result] | None]:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise
        yield None
        return
    try:
        status = os.fstat(handle)
        yield (handle, status) if stat.S_ISREG(status.st_mode) else None
    finally:
        os.close(handle)


def _sha256(handle: int, status: os.stat_result) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(min(_BLOCK, max(status.st_size, 1))))
    while count := os.readv(handle, [block]):
        digest.update(block[:count])
    return digest.hexdigest()


# --- folders


@contextmanager
def folder(root: int, path: str, *, make: bool) -> Iterator[int]:
    """A descriptor of a folder below the descriptor `root`; no symbolic link on the way is followed, and no "..".

    `make` creates what is missing, with the parent's permissions. Raises OSError (ENOENT, ENOTDIR).
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


@contextmanager
def parent(root: int, path: str, *, make: bool) -> Iterator[tuple[int, str]]:
    """The folder that `path` lies in, like `folder`, and the last part of `path`."""
    above, _, name = path.rpartition("/")
    with folder(root, above, make=make) as here:
        yield here, name


def _enter(above: int, name: str, *, make: bool) -> int:
    if name in (".", ".."):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another commit makes it at this moment
        os.mkdir(name, 0o700, dir_fd=above)
    there = os.open(name, flags, dir_fd=above)
    os.fchmod(there, stat.S_IMODE(os.fstat(above).st_mode))
    os.fsync(above)
    return there


# --- placing


def place(source: int, own: str, target: int, name: str, expected: Bytes, copy: Copy) -> Iterator[None]:
    """Moves or copies the file `own` of the folder `source` to `name` in the folder `target`, never over anything;
    durable when `target` is flushed afterwards.

    The same bytes under that name count as placed (the crash came after the move); other bytes raise NameTaken.
    Raises OSError; FileNotFoundError if the file, or a folder, went away. Yields before its first flush: it costs
    next to nothing if another file of the same disk is flushed after that moment.
    """
    try:
        with _opened(source, own) as handle:
            _fit(handle, expected, target)
            yield
            os.fsync(handle)
        _move(source, own, target, name)
    except FileExistsError as error:
        if not holds(name, expected, dir_fd=target):
            raise NameTaken(name) from error
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, own, target, name, expected, copy)


class Touched:
    """Folders in which something was placed: `flush` makes that durable, each folder once."""

    def __init__(self) -> None:
        self._folders: dict[tuple[int, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._folders.values():
            os.close(handle)

    def add(self, target: int) -> None:
        found = os.fstat(target)
        if (found.st_dev, found.st_ino) not in self._folders:
            self._folders[found.st_dev, found.st_ino] = os.dup(target)

    def flush(self) -> None:
        """Raises OSError."""
        for handle in self._folders.values():
            os.fsync(handle)


@contextmanager
def _opened(dir_fd: int, name: str) -> Iterator[int]:
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        yield handle
    finally:
        os.close(handle)


def _fit(handle: int, expected: Bytes, target: int) -> None:
    """Gives a file the permissions of the folder that it comes into. Raises OSError."""
    found = os.fstat(handle)
    if found.st_size != expected.size or not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, "other bytes lie there than those that were planned")
    into = os.fstat(target)
    if into.st_mode & stat.S_ISGID and into.st_gid != found.st_gid:
        with suppress(PermissionError):  # a group that we are not in: the file keeps ours
            os.fchown(handle, -1, into.st_gid)
    os.fchmod(handle, stat.S_IMODE(into.st_mode) & 0o666)


def _move(source: int, own: str, target: int, name: str) -> None:
    """renameat2 with RENAME_NOREPLACE (man 2 rename); a link and an unlink where the file system does not know it."""
    if _RENAMEAT2(source, os.fsencode(own), target, os.fsencode(name), _NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(number, os.strerror(number), name)
    os.link(own, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(own, dir_fd=source)


_NOREPLACE = 1
_RENAMEAT2 = ctypes.CDLL(None, use_errno=True).renameat2
_RENAMEAT2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


# --- from another file system


def _copy(source: int, own: str, target: int, name: str, expected: Bytes, copy: Copy) -> None:
    """The copy has no name until it is whole, so that a crash leaves nothing; it has one where the file system
    knows no other way (network file systems)."""
    try:
        handle = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=target)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        _copy_by_name(source, own, target, name, expected, copy)
        return
    try:
        _pour(source, own, handle, expected, target, copy)
        os.link(f"/proc/self/fd/{handle}", name, dst_dir_fd=target, follow_symlinks=True)
    except FileExistsError as error:
        if not holds(name, expected, dir_fd=target):
            raise NameTaken(name) from error
    finally:
        os.close(handle)


def _copy_by_name(source: int, own: str, target: int, name: str, expected: Bytes, copy: Copy) -> None:
    _remove_older(target, copy)
    handle = os.open(
        copy.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target
    )
    try:
        _pour(source, own, handle, expected, target, copy)
        _move(target, copy.name, target, name)
    except FileExistsError as error:
        if not holds(name, expected, dir_fd=target):
            raise NameTaken(name) from error
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            os.unlink(copy.name, dir_fd=target)


def _pour(source: int, own: str, handle: int, expected: Bytes, target: int, copy: Copy) -> None:
    with _opened(source, own) as file:
        while count := os.sendfile(handle, file, None, _COPY):
            copy.copied(count)
    _fit(handle, expected, target)
    os.fsync(handle)


def _remove_older(target: int, copy: Copy) -> None:
    """Copies that an earlier holder of the task left half-done; never a newer holder's."""
    pattern = re.compile(rf"{re.escape(TEMPORARY)}{copy.task}-{copy.number}-([0-9]+)")
    for name in os.listdir(target) if copy.epoch > 1 else []:
        found = pattern.fullmatch(name)
        if found and int(found[1]) < copy.epoch:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=target)
