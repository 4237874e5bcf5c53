"""The library that is a folder: the embedded default, one directory for each library."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from odl_daemon.library.layout import layout, name_here, wanted_name
from odl_daemon.library.placing import Bytes, Copy, Touched, bytes_of, exists, folder, holds, parent, place
from odl_daemon.library.reserved import Reserved
from odl_daemon.model.names import free_name
from odl_daemon.model.task import Fetched, Intent, Placement, Reason, Task
from odl_daemon.ports import Remedy, Saved, Trouble, unheard
from odl_daemon.together import Together, each, in_step

SMALL = 1 << 20
"""Bytes; smaller files are planned and committed many in one thread call."""


_Order = tuple[Task, str, Intent, Callable[[int], object]]
"""A commit: the scratch folder, what to write, who hears of its bytes, in the thread."""


class FolderLibrary:
    """ports.Library: `<root>/<library>/<path>/<name>`.

    A library exists if its directory exists (the operator may make it a symbolic link; inside it none is followed);
    `create` makes one on demand. What is written gets the permissions of the folder that it comes into, and its
    group if that folder hands it on (setgid).
    """

    usual_pace = math.inf
    """Most files are moved."""

    def __init__(self, root: Path, *, create: bool, small_jobs: Executor | None = None) -> None:
        self._root = root
        self._create = create
        self._choosing = threading.Lock()
        self._reserved = Reserved()
        self._checks = Together(each(self._check), small_jobs)
        self._plans = Together(each(self._plan), small_jobs)
        self._commits = Together(self._commit, small_jobs)

    async def check(self, task: Task) -> None:
        await self._checks.ask(task)

    async def plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        if fetched.size > SMALL:
            return await asyncio.to_thread(self._plan, (task, folder, fetched))
        return await self._plans.ask((task, folder, fetched))

    async def landed(self, task: Task, intent: Intent) -> Intent | None:
        return intent if await asyncio.to_thread(self._landed, task, intent) else None

    def lock_of(self, task: Task) -> str:
        """None is needed: a move never replaces anything."""
        return ""

    def lingers(self, size: int) -> float:
        """Our own hands write, and they are gone with us."""
        return 0.0

    async def payer(self, task: Task) -> str:
        return ""

    async def fits(self, task: Task, size: int) -> None:
        """A folder has no quota."""

    async def commit(self, task: Task, folder: str, intent: Intent, saved: Saved = unheard) -> Intent:
        if intent.size > SMALL:
            loop = asyncio.get_running_loop()
            order = (task, folder, intent, lambda count: loop.call_soon_threadsafe(saved, count))
            (trouble,) = await asyncio.to_thread(self._commit, [order])
            if trouble is not None:
                raise trouble
        else:
            await self._commits.ask((task, folder, intent, unheard))
        return intent

    # --- the library

    def _check(self, task: Task) -> None:
        with (
            _sentences(task),
            self._open(task) as library,
            suppress(FileNotFoundError),
            folder(library, task.target, make=False) as target,
        ):
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=target):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    @contextmanager
    def _open(self, task: Task) -> Iterator[int]:
        """A descriptor of the task's library. Raises Trouble."""
        name = task.library
        if not name or name.startswith(".") or "/" in name or not name.isprintable() or len(name.encode()) > 255:
            raise Trouble(Reason.BAD_TARGET, f"{name[:80]!r} cannot be the name of a library")
        try:
            library = os.open(self._root / name, _FOLDER)
        except (FileNotFoundError, NotADirectoryError) as error:
            library = self._made(name, error)
        try:
            yield library
        finally:
            os.close(library)

    def _made(self, name: str, error: OSError) -> int:
        """A library that was not there. Raises Trouble."""
        try:
            root = os.open(self._root, _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            raise Trouble(Reason.HOST_TROUBLE, "the folder of all libraries is not there", Remedy.HOST) from error
        try:
            if self._create and isinstance(error, FileNotFoundError):
                with folder(root, name, make=True) as library:
                    return os.dup(library)
        finally:
            os.close(root)
        raise Trouble(Reason.LIBRARY_MISSING, f"there is no library {name!r}") from error

    # --- the plan

    def _plan(self, question: tuple[Task, str, Fetched]) -> Intent:
        task, scratch, fetched = question
        if not fetched.files:
            raise _gone()
        with _sentences(task), self._open(task) as library:
            lying = _bytes_in(scratch, fetched)
            return self._kept(task, library, fetched, lying) or self._chosen(task, library, fetched, lying)

    def _kept(self, task: Task, library: int, fetched: Fetched, lying: Sequence[Bytes | None]) -> Intent | None:
        """The task's earlier intent, if it can be carried out, or was carried out in part."""
        intent = task.intent
        if intent is None:
            return None
        if _all_there(library, intent):  # an earlier holder has written it late: that is the task's file
            return intent
        if [file.source for file in intent.files] != [file.name for file in fetched.files]:
            return None
        files: list[Placement] = []
        for file, found in zip(intent.files, lying, strict=True):
            if _there(library, file.path):
                intended = Bytes(file.size, file.sha256)
                if found not in (None, intended) or not _holds(library, file.path, intended):
                    return None
                files.append(file)
            elif found is None:
                raise _gone()
            else:
                files.append(replace(file, size=found.size, sha256=found.sha256))
        return replace(intent, files=tuple(files)) if self._still_ours(task, intent) else None

    def _still_ours(self, task: Task, intent: Intent) -> bool:
        place = f"{task.library}{intent.path}"
        with self._choosing:
            if self._reserved.by_others(task.id, place):
                return False
            self._reserved.take(task.id, place)
            return True

    def _chosen(self, task: Task, library: int, fetched: Fetched, lying: Sequence[Bytes | None]) -> Intent:
        sources = [file.name for file in fetched.files]
        several = len(sources) > 1
        place = self._free(task, library, name_here(task.name or wanted_name(task.url, sources)))
        paths = [f"{place}/{inside}" for inside in layout(sources)] if several else [place]
        files: list[Placement] = []
        for source, path, found in zip(sources, paths, lying, strict=True):
            if found is None:
                raise _gone()
            files.append(Placement(source, path, found.size, found.sha256))
        return Intent(place, tuple(files))

    def _free(self, task: Task, library: int, wanted: str) -> str:
        """A free place in the target folder that no other task of ours is about to take."""
        above = task.target.rstrip("/")

        with self._choosing:
            try:
                with folder(library, above, make=False) as target:
                    name = free_name(wanted, _Taken(task, target, self._reserved))
            except FileNotFoundError:
                name = free_name(wanted, _Taken(task, None, self._reserved))
            self._reserved.take(task.id, f"{task.library}{above}/{name}")
        return f"{above}/{name}"

    # --- the commit

    def _landed(self, task: Task, intent: Intent) -> bool:
        with _sentences(task), self._open(task) as library:
            return _all_there(library, intent)

    def _commit(self, orders: Sequence[_Order]) -> list[Exception | None]:
        with Touched() as touched:
            ends = in_step([self._put(*order, touched) for order in orders])
            try:
                touched.flush()
            except OSError as error:
                return [end or _trouble(task, error) for end, (task, *_) in zip(ends, orders, strict=True)]
        with self._choosing:
            for end, (task, *_) in zip(ends, orders, strict=True):
                if end is None:
                    self._reserved.release(task.id)
        return ends

    def _put(
        self, task: Task, scratch: str, intent: Intent, saved: Callable[[int], object], touched: Touched
    ) -> Iterator[None]:
        """Yields where files that are committed together wait for each other."""
        with _sentences(task), self._open(task) as library:
            for number, file in enumerate(intent.files):
                yield from _put_file(library, scratch, file, Copy(task.id, number, task.epoch, saved), touched)


class _Taken:
    """The names in a folder, asked one by one: a folder may hold any number."""

    def __init__(self, task: Task, target: int | None, reserved: Reserved) -> None:
        self._task = task
        self._where = f"{task.library}{task.target.rstrip('/')}/"
        self._target = target
        self._reserved = reserved

    def __contains__(self, name: object) -> bool:
        if self._reserved.by_others(self._task.id, f"{self._where}{name}"):
            return True
        return self._target is not None and exists(str(name), self._target)


def _put_file(library: int, scratch: str, file: Placement, copy: Copy, touched: Touched) -> Iterator[None]:
    expected = Bytes(file.size, file.sha256)
    with parent(library, file.path, make=True) as (target, name):
        try:
            with _in_scratch(scratch, file.source) as (source, own):
                yield from place(source, own, target, name, expected, copy)
        except FileNotFoundError as error:
            if not holds(name, expected, dir_fd=target):
                if _in_scratch_still(scratch, file):
                    raise
                raise _gone() from error
        touched.add(target)


# --- what lies in the scratch folder: a stranger chose its names


@contextmanager
def _in_scratch(scratch: str, source: str) -> Iterator[tuple[int, str]]:
    top = os.open(scratch, _FOLDER | os.O_NOFOLLOW)
    try:
        with parent(top, source, make=False) as found:
            yield found
    finally:
        os.close(top)


def _bytes_in(scratch: str, fetched: Fetched) -> list[Bytes | None]:
    """Size and hash of each file, or None: not there, another size, no plain file, or one that has a second name."""
    return [_bytes_here(scratch, file.name, file.size) for file in fetched.files]


def _bytes_here(scratch: str, name: str, size: int) -> Bytes | None:
    try:
        with _in_scratch(scratch, name) as (source, own):
            found = bytes_of(own, dir_fd=source, links=1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if found is not None and found.size == size else None


def _in_scratch_still(scratch: str, file: Placement) -> bool:
    return _bytes_here(scratch, file.source, file.size) == Bytes(file.size, file.sha256)


# --- what lies in the library


def _all_there(library: int, intent: Intent) -> bool:
    placed = (_holds(library, file.path, Bytes(file.size, file.sha256)) for file in intent.files)
    return bool(intent.files) and all(placed)


def _holds(library: int, path: str, expected: Bytes) -> bool:
    try:
        with parent(library, path, make=False) as (target, name):
            return holds(name, expected, dir_fd=target)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _there(library: int, path: str) -> bool:
    try:
        with parent(library, path, make=False) as (target, name):
            return exists(name, target)
    except (FileNotFoundError, NotADirectoryError):
        return False


# --- sentences


@contextmanager
def _sentences(task: Task) -> Iterator[None]:
    """Makes a Trouble of what the operating system says."""
    try:
        yield
    except OSError as error:
        raise _trouble(task, error) from error


def _trouble(task: Task, error: OSError) -> Trouble:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return Trouble(Reason.DISK_FULL, "the disk of the library is full", Remedy.HOST)
        case errno.EMFILE | errno.ENFILE:
            return Trouble(Reason.HOST_TROUBLE, "too many files are open on this host", Remedy.HOST)
        case errno.ENOTDIR | errno.ELOOP:
            return Trouble(Reason.BAD_TARGET, f"{task.target!r} is not a folder of the library")
        case errno.ENAMETOOLONG:
            return Trouble(Reason.BAD_TARGET, f"the folder {task.target!r} is too long for the library")
        case _:
            words = error.strerror or "an error of the disk"
            return Trouble(Reason.COMMIT_FAILED, f"the library cannot be written ({words.lower()})", Remedy.RETRY)


def _gone() -> Trouble:
    return Trouble(Reason.INTERRUPTED, "the downloaded bytes are not here any longer", Remedy.WIPE)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
