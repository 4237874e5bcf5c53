"""Finds what a task has written, whatever became of the answer: by name, or under the number that the server gave."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from odl_daemon.library.seafile_server import Entry, Server
from odl_daemon.model.task import Intent, Placement, Task

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is in the library of all that was intended."""

    intent: Intent
    """With the paths that the files have which are there."""
    missing: tuple[Placement, ...]
    """Files that are not there."""
    taken: tuple[str, ...]
    """Paths of missing files that something else stands in the way of."""

    @property
    def complete(self) -> bool:
        return bool(self.intent.files) and not self.missing


class Search:
    """Looks; raises what Rpc raises."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def look(self, task: Task, intent: Intent, *, trusting: bool = False) -> Sight:
        """`trusting`: the places were free before, and the server says that it has written; see `_trusted`."""
        intended = {file.path for file in intent.files}
        blocked = await self._blocked(task, intent)
        listings: dict[str, list[Entry]] = {}
        found: list[Placement] = []
        missing: list[Placement] = []
        taken: list[str] = []
        for file in intent.files:
            there = await self._server.entry_at(task, file.path)
            if is_file(there, file):
                found.append(file)
                continue
            twins = await self._twins(task, file, listings)
            written = await self._numbered(task, file, twins - intended)
            if written is None and trusting and not twins:
                written = _trusted(task, file, there)
            if written is not None:
                found.append(written)
                continue
            missing.append(file)
            if there is not None or blocked:
                taken.append(file.path)
        return Sight(moved(intent, found), tuple(missing), tuple(taken))

    async def entries(self, task: Task, folder: str) -> list[Entry]:
        """What a folder holds; nothing if there is none."""
        return await self._server.entries(task, folder or "/")

    async def _twins(self, task: Task, file: Placement, listings: dict[str, list[Entry]]) -> set[str]:
        """Paths in the same folder with the same bytes. A listing shows what no path leads to as well."""
        folder = file.path.rpartition("/")[0]
        if folder not in listings:
            listings[folder] = await self.entries(task, folder)
        return {f"{folder}/{entry.name}" for entry in listings[folder] if entry.id == file.object_id}

    async def _numbered(self, task: Task, file: Placement, twins: Collection[str]) -> Placement | None:
        """The file as it is if its name was taken when the server wrote it. A listing does not tell who wrote it."""
        name = file.path.rpartition("/")[2]
        for path in twins:
            if is_numbered(path.rpartition("/")[2], name):
                there = await self._server.entry_at(task, path)
                if there is not None and is_file(there, file) and there.modifier == task.owner:
                    return replace(file, path=path)
        return None

    async def _blocked(self, task: Task, intent: Intent) -> bool:
        """Whether a file lies where a folder of several files is to be."""
        for folder in _folders(intent):
            there = await self._server.entry_at(task, folder)
            if there is not None and not there.is_folder:
                return True
        return False


def is_file(there: Entry | None, file: Placement) -> bool:
    """Whether these are the bytes."""
    return there is not None and there.id == file.object_id and not there.is_folder


def is_numbered(found: str, name: str) -> bool:
    """Whether the server makes this of a name that is taken: `a.tar (1).gz`, ` (1).bashrc`, `README (1)`."""
    stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
    return re.fullmatch(rf"{re.escape(stem)} \([0-9]+\){re.escape(dot + ending)}", found) is not None


def _folders(intent: Intent) -> list[str]:
    """The folder of several files and those in it, from above; none for a single file."""
    folders: set[str] = set()
    for file in intent.files:
        above = file.path.rpartition("/")[0]
        while above.startswith(intent.path):
            folders.add(above)
            above = above.rpartition("/")[0]
    return sorted(folders)


def moved(intent: Intent, files: Iterable[Placement]) -> Intent:
    """The intent with these files as they are; a single one carries the path of the intent along."""
    now = {file.source: file for file in files}
    single = any(file.path == intent.path for file in intent.files)
    placed = tuple(now.get(file.source, file) for file in intent.files)
    return replace(intent, path=placed[0].path if single else intent.path, files=placed)


def _trusted(task: Task, file: Placement, there: Entry | None) -> Placement | None:
    """The file, if what lies in its place is of its size and its user: a server that cuts files into other blocks
    gives them other ids, and each further try would be one more file."""
    if there is None or there.is_folder or (there.size, there.modifier) != (file.size, task.owner):
        return None
    log.warning(
        "task %d: the server cuts files into other blocks than we think: see [fileserver] fixed_block_size "
        "in its seafile.conf",
        task.id,
    )
    return replace(file, object_id=there.id)
