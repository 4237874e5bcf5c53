"""Bytes into a Seafile server by name alone: the server opens the file itself."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from odl_daemon.library import fetched_files, seafile_sentences
from odl_daemon.library.seaf_server import SeafServer
from odl_daemon.library.searpc import Refused
from odl_daemon.model.task import Placement, Task
from odl_daemon.ports import Saved

LINGERING: Final = 900.0
"""Seconds for which a server that did not answer may still want to open what was laid out for it."""

PathMap = tuple[PurePath, PurePath]
"""A folder of ours, and where the server sees it: a container has paths of its own."""


def path_map_of(words: str) -> PathMap | None:
    """The map that `/our/folder=/their/folder` means; None for ""."""
    ours, _, theirs = words.partition("=")
    return (PurePath(ours), PurePath(theirs)) if ours else None


class RpcPosting:
    """seafile_writing.Posting: the server reads from our scratch folders, so it must be able to."""

    def __init__(self, server: SeafServer, handover: Handover, path_map: PathMap | None = None) -> None:
        self._server = server
        self._handover = handover
        self._path_map = path_map

    async def post(self, task: Task, scratch: str, folder: str, files: Sequence[Placement], saved: Saved) -> None:
        try:
            handed = await asyncio.to_thread(self._handover.lay_out, scratch, files)
        except OSError as error:
            raise seafile_sentences.unreadable() from error
        names = [file.path.rpartition("/")[2] for file in files]
        theirs = {name: self._seen_by_server(path) for name, path in zip(names, handed, strict=True)}
        try:
            await self._server.post(task, folder, theirs)
        except Refused:
            await asyncio.to_thread(self._handover.clear_away, handed)
            raise
        # without an answer the server may be at it still: the files stay where they were laid out, for a while
        await asyncio.to_thread(self._handover.clear_away, handed)

    def _seen_by_server(self, ours: Path) -> PurePosixPath:
        path = PurePosixPath(ours)
        if self._path_map is None or not path.is_relative_to(self._path_map[0]):
            return path
        return PurePosixPath(self._path_map[1]) / path.relative_to(self._path_map[0])


class Handover:
    """Where files lie for the server, by plain names of ours: a folder that nobody in aria2's sandbox sees. What is
    looked at and found to be a plain file is what the server opens, whoever changes names in the scratch meanwhile."""

    def __init__(self, folder: Path) -> None:
        """`folder` is beside the tasks' folders. Raises OSError."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lay_out(self, scratch: str, files: Sequence[Placement]) -> list[Path]:
        """A second name for each of these files. Raises Trouble if one of them is no plain file of its size, and
        OSError."""
        self._forget_the_old()
        top = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return [self._laid_out(top, scratch, file) for file in files]
        finally:
            os.close(top)

    def clear_away(self, handed: Sequence[Path]) -> None:
        """The server has them, or will not take them."""
        for path in handed:
            path.unlink(missing_ok=True)

    def _laid_out(self, top: int, scratch: str, file: Placement) -> Path:
        with fetched_files.opened(scratch, file.source, file.size) as found:
            if found is None:
                raise seafile_sentences.gone()
            name = fetched_files.name_for_server(scratch, os.fstat(found.fileno()))
            with suppress(FileExistsError):  # it was laid out before, and the server did not answer
                # with a folder named the link is made of what is open, and not of the name in /proc
                os.link(f"/proc/self/fd/{found.fileno()}", name, dst_dir_fd=top, follow_symlinks=True)
        return self._folder / name

    def _forget_the_old(self) -> None:
        """What an earlier life, or a server that never answered, left here."""
        over = time.time() - LINGERING
        self.clear_away([path for path in self._folder.iterdir() if path.lstat().st_ctime < over])
