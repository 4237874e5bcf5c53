"""Bytes into a Seafile server by name alone: the server opens the file itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath

from odl_daemon.library import fetched_files, seafile_sentences
from odl_daemon.library.seaf_server import SeafServer
from odl_daemon.model.task import Placement, Task
from odl_daemon.ports import Saved

PathMap = tuple[PurePath, PurePath]
"""A folder of ours, and where the server sees it: a container has paths of its own."""


def path_map_of(words: str) -> PathMap | None:
    """The map that `/our/folder=/their/folder` means; None for ""."""
    ours, _, theirs = words.partition("=")
    return (PurePath(ours), PurePath(theirs)) if ours else None


class RpcPosting:
    """seafile_writing.Posting: the server reads from our scratch folder, so it must be able to."""

    def __init__(self, server: SeafServer, path_map: PathMap | None = None) -> None:
        self._server = server
        self._path_map = path_map

    async def post(self, task: Task, scratch: str, folder: str, files: Sequence[Placement], saved: Saved) -> None:
        try:
            plain = await asyncio.to_thread(_are_plain, scratch, files)
        except OSError as error:
            raise seafile_sentences.unreadable() from error
        if not plain:
            raise seafile_sentences.gone()
        theirs = {file.path.rpartition("/")[2]: self._seen_by_server(scratch, file.source) for file in files}
        await self._server.post(task, folder, theirs)

    def _seen_by_server(self, scratch: str, source: str) -> PurePosixPath:
        path = PurePosixPath(scratch) / source
        if self._path_map is None or not path.is_relative_to(self._path_map[0]):
            return path
        return PurePosixPath(self._path_map[1]) / path.relative_to(self._path_map[0])


def _are_plain(scratch: str, files: Sequence[Placement]) -> bool:
    """Whether all are plain files of their size: the server would follow a link."""
    return all(_is_plain(scratch, file) for file in files)


def _is_plain(scratch: str, file: Placement) -> bool:
    with fetched_files.opened(scratch, file.source, file.size) as found:
        return found is not None
