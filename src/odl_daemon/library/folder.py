"""The library that is a folder: the embedded default, one directory for each library."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from odl_daemon.library.placing import Bytes, bytes_of, exists, folder, place
from odl_daemon.model.names import free_name, safe_name
from odl_daemon.model.task import Fetched, FetchedFile, Intent, Placement, Reason, Task
from odl_daemon.ports import Remedy, Trouble
from odl_daemon.together import Together

RESERVED = 1000
"""Names that are remembered as chosen but not yet written; beyond, the oldest is forgotten: that costs another plan."""


SMALL = 1 << 20
"""Bytes; smaller files are planned and committed many in one thread call."""


class FolderLibrary:
    """ports.Library: `<root>/<library>/<path>/<name>`.

    A library exists if its directory exists; `create` makes one on demand. What is written gets the permissions
    of the folder that it comes into.
    """

    def __init__(self, root: Path, *, create: bool) -> None:
        self._root = root
        self._create = create
        self._choosing = threading.Lock()
        self._reserved: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._checks = Together(self._check)
        self._plans = Together(self._plan)
        self._commits = Together(self._commit, calls=2)

    async def check(self, task: Task) -> None:
        await self._checks.ask(task)

    async def plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        if fetched.size > SMALL:
            return await asyncio.to_thread(self._plan, (task, folder, fetched))
        return await self._plans.ask((task, folder, fetched))

    async def landed(self, task: Task, intent: Intent) -> bool:
        return await asyncio.to_thread(self._landed, task, intent)

    async def commit(self, task: Task, folder: str, intent: Intent) -> None:
        if intent.size > SMALL:
            await asyncio.to_thread(self._commit, (task, folder, intent))
        else:
            await self._commits.ask((task, folder, intent))

    # --- the library

    def _check(self, task: Task) -> None:
        with _sentences(task), self._open(task):
            pass

    @contextmanager
    def _open(self, task: Task) -> Iterator[int]:
        """A descriptor of the task's library. Raises Trouble."""
        name = task.library
        if not name or name.startswith(".") or "/" in name or not name.isprintable() or len(name.encode()) > 255:
            raise Trouble(Reason.BAD_TARGET, f"{name!r} cannot be the name of a library")
        path = self._root / name
        if self._create:
            with suppress(FileExistsError):
                path.mkdir(mode=0o755)
                path.chmod(0o755)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Trouble(Reason.LIBRARY_MISSING, f"there is no library {name!r}") from error
        try:
            yield handle
        finally:
            os.close(handle)

    # --- the plan

    def _plan(self, question: tuple[Task, str, Fetched]) -> Intent:
        task, scratch, fetched = question
        with _sentences(task), self._open(task) as library:
            known = [(file, _bytes_in_scratch(scratch, file)) for file in fetched.files]
            earlier = self._earlier(task, library, known)
            return earlier or self._choose(task, library, known)

    def _earlier(self, task: Task, library: int, known: list[tuple[FetchedFile, Bytes]]) -> Intent | None:
        """The intent that the task has already, if it can still be carried out or was carried out meanwhile."""
        intent = task.intent
        if intent is None:
            return None
        if self._holds(library, intent):
            return intent
        if any(_there(library, file.path) for file in intent.files):
            return intent if self._partly_ours(library, intent) else None
        if len(intent.files) != len(known):
            return None
        files = tuple(
            replace(file, source=each.name, size=found.size, sha256=found.sha256)
            for file, (each, found) in zip(intent.files, known, strict=True)
        )
        return replace(intent, files=files)

    def _partly_ours(self, library: int, intent: Intent) -> bool:
        """Whether everything that lies at the intended places is what was intended (several files, a crash between)."""
        return all(
            not _there(library, file.path) or _bytes_at(library, file.path) == Bytes(file.size, file.sha256)
            for file in intent.files
        )

    def _choose(self, task: Task, library: int, known: list[tuple[FetchedFile, Bytes]]) -> Intent:
        several = len(known) > 1
        wanted = safe_name(task.name or (_common(known) if several else known[0][0].name))
        with self._choosing:
            name = self._free(task, library, wanted)
        place = f"{task.target.rstrip('/')}/{name}"
        if not several:
            file, found = known[0]
            return Intent(place, (Placement(file.name, place, found.size, found.sha256),))
        inside = (
            Placement(
                file.name, f"{place}/{'/'.join(safe_name(part) for part in _parts(file))}", found.size, found.sha256
            )
            for file, found in known
        )
        return Intent(place, tuple(inside))

    def _free(self, task: Task, library: int, wanted: str) -> str:
        """A free name in the target folder that no other task of ours is about to write."""
        where = f"{task.library}{task.target}"
        for key in [key for key, owner in self._reserved.items() if owner == task.id]:
            del self._reserved[key]
        try:
            with folder(library, task.target, make=False) as target:
                name = free_name(wanted, _Taken(target, where, self._reserved))
        except FileNotFoundError:
            name = free_name(wanted, _Taken(None, where, self._reserved))
        self._reserved[(where, name)] = task.id
        while len(self._reserved) > RESERVED:
            self._reserved.popitem(last=False)
        return name

    # --- the commit

    def _landed(self, task: Task, intent: Intent) -> bool:
        with _sentences(task), self._open(task) as library:
            return self._holds(library, intent)

    def _holds(self, library: int, intent: Intent) -> bool:
        return all(_bytes_at(library, file.path) == Bytes(file.size, file.sha256) for file in intent.files)

    def _commit(self, question: tuple[Task, str, Intent]) -> None:
        task, scratch, intent = question
        with _sentences(task), self._open(task) as library:
            for number, file in enumerate(intent.files):
                parent, _, name = file.path.rpartition("/")
                temporary = f".odl-{task.id}-{number}-{task.epoch}"
                with folder(library, parent, make=True) as target:
                    expected = Bytes(file.size, file.sha256)
                    place(f"{scratch}/{file.source}", target, name, expected, temporary)
        with self._choosing:
            for key in [key for key, owner in self._reserved.items() if owner == task.id]:
                del self._reserved[key]


class _Taken:
    """The names in a folder, asked one by one: a folder may hold any number."""

    def __init__(self, target: int | None, where: str, reserved: OrderedDict[tuple[str, str], int]) -> None:
        self._target = target
        self._where = where
        self._reserved = reserved

    def __contains__(self, name: object) -> bool:
        if (self._where, str(name)) in self._reserved:
            return True
        return self._target is not None and exists(str(name), self._target)


def _bytes_in_scratch(scratch: str, file: FetchedFile) -> Bytes:
    found = bytes_of(f"{scratch}/{file.name}")
    if found is None or found.size != file.size:
        raise Trouble(Reason.INTERRUPTED, "the downloaded bytes are not here any longer", Remedy.WIPE)
    return found


def _bytes_at(library: int, path: str) -> Bytes | None:
    parent, _, name = path.rpartition("/")
    try:
        with folder(library, parent, make=False) as target:
            return bytes_of(name, dir_fd=target)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _there(library: int, path: str) -> bool:
    parent, _, name = path.rpartition("/")
    try:
        with folder(library, parent, make=False) as target:
            return exists(name, target)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _parts(file: FetchedFile) -> list[str]:
    return [part for part in file.name.split("/") if part]


def _common(known: list[tuple[FetchedFile, Bytes]]) -> str:
    """The folder that all files lie in at their source, or nothing."""
    tops = {_parts(file)[0] for file, _ in known}
    return tops.pop() if len(tops) == 1 else ""


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
        case errno.ENOTDIR | errno.ELOOP:
            return Trouble(Reason.BAD_TARGET, f"{task.target!r} is not a folder of the library")
        case errno.ENAMETOOLONG:
            return Trouble(Reason.BAD_TARGET, f"the folder {task.target!r} is too long for the library")
        case errno.ENOENT:
            return Trouble(Reason.INTERRUPTED, "the downloaded bytes are not here any longer", Remedy.WIPE)
        case _:
            words = error.strerror or "an error of the disk"
            return Trouble(Reason.COMMIT_FAILED, f"the library cannot be written ({words.lower()})", Remedy.RETRY)
