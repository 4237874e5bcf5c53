"""One private folder a task under one root, for bytes on their way."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import stat
from concurrent.futures import Executor
from pathlib import Path

from odl_daemon.download.inheritance import inherit
from odl_daemon.model.task import Fetched, Progress
from odl_daemon.ports import Space
from odl_daemon.together import Together, each

log = logging.getLogger(__name__)


class ScratchFolders:
    """ports.Scratch on a local disk: `<root>/<task id>`, for the daemon's own user alone."""

    def __init__(self, *, root: Path, small_jobs: Executor | None = None) -> None:
        self._root = root
        self._wipes: Together[Path, None] = Together(each(remove), small_jobs)

    def path(self, task_id: int) -> str:
        return str(self._folder(task_id))

    async def holds(self, task_id: int, fetched: Fetched) -> bool:
        return await asyncio.to_thread(self._holds, task_id, fetched)

    async def wipe(self, task_id: int) -> None:
        await self._wipes.ask(self._folder(task_id))

    async def inherit(self, task_id: int, folder: str) -> Progress | None:
        try:
            return await asyncio.to_thread(inherit, self._root, folder, self._folder(task_id))
        except OSError as error:
            log.warning("task %d: what was begun in %s cannot be taken over: %s", task_id, folder, error.strerror)
            return None

    async def folders(self) -> list[int]:
        return await asyncio.to_thread(self._folders)

    async def space(self) -> Space:
        return await asyncio.to_thread(_space, self._root)

    def _folder(self, task_id: int) -> Path:
        return self._root / str(task_id)

    def _holds(self, task_id: int, fetched: Fetched) -> bool:
        folder = self._folder(task_id)
        return all(_has(folder / file.name, file.size) for file in fetched.files)

    def _folders(self) -> list[int]:
        try:
            names = [entry.name for entry in os.scandir(self._root) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal() and name == str(int(name)))


def _space(path: Path) -> Space:
    usage = shutil.disk_usage(path)
    return Space(usage.free, usage.total)


def remove(path: Path) -> None:
    """Deletes whatever lies at `path`; a tree of any depth, links never followed. Nothing there is fine.

    It walks with file descriptors and keeps one open at a time: a stranger's tree may be deeper than the
    longest path, the stack of Python or the limit of open files.
    """
    try:
        if not _is_directory(path):
            path.unlink()
            return
        if _removed_empty(path):
            return
        _flatten(path)
        path.rmdir()
    except FileNotFoundError:
        return


def _removed_empty(path: Path) -> bool:
    """Most folders are empty when they are deleted: their file was moved to its place."""
    try:
        path.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def empty(folder: Path) -> None:
    """Deletes everything in `folder`, and leaves the folder; something else in its place goes altogether."""
    if _is_directory(folder):
        _flatten(folder)
    else:
        folder.unlink(missing_ok=True)


def _flatten(top: Path) -> None:
    """Deletes what is in `top`: every folder found is moved up to `top` first, so nothing is ever deep."""
    top_fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(top_fd, 0o700)
        moved = 0
        while folders := _unlink_files(top_fd):
            for name in folders:
                moved = _lift(name, top_fd, moved)
                os.rmdir(name, dir_fd=top_fd)
    finally:
        os.close(top_fd)


def _unlink_files(fd: int) -> list[str]:
    """Deletes every entry that is no folder, and returns the names of the folders."""
    folders = []
    for name in os.listdir(fd):
        if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            folders.append(name)
        else:
            os.unlink(name, dir_fd=fd)
    return folders


def _lift(name: str, top_fd: int, moved: int) -> int:
    """Empties the folder `name` of `top_fd`: its files go, its folders move up to `top_fd` under new names."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top_fd)
    try:
        os.fchmod(fd, 0o700)
        for inner in _unlink_files(fd):
            moved = _move_up(inner, fd, top_fd, moved)
    finally:
        os.close(fd)
    return moved


def _move_up(inner: str, fd: int, top_fd: int, moved: int) -> int:
    while True:
        moved += 1
        try:
            os.rename(inner, f".lifted-{moved}", src_dir_fd=fd, dst_dir_fd=top_fd)
        except OSError as error:
            if error.errno in _TAKEN:  # by a name of the stranger's; an empty folder there is simply replaced
                continue
            raise
        return moved


_TAKEN = frozenset({errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY})


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _has(path: Path, size: int) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size
