"""Whether a task's files may go where its user wants them: asked of the server, which itself checks nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from odl_daemon.library import seafile_sentences
from odl_daemon.library.seafile_server import Server
from odl_daemon.model.task import Task

_LIBRARY_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Admission:
    """Asked at each step anew: a share may end at any time."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def admit(self, task: Task) -> None:
        """Raises Trouble. What lies in a folder is no stranger's business, so permission comes before it."""
        await self.library(task)
        if not await self._server.may_write(task, task.target):
            raise seafile_sentences.not_allowed(task)
        if not await self._server.folder_id(task, task.target):
            await self._missing_folder(task)

    async def library(self, task: Task) -> None:
        """Raises Trouble if nobody could write into this library."""
        repo = await self._server.repo(task) if _LIBRARY_ID.fullmatch(task.library) else None
        if repo is None:
            raise seafile_sentences.no_library(task)
        if repo.corrupted:
            raise seafile_sentences.damaged()
        if repo.encrypted:
            raise seafile_sentences.encrypted()
        if await self._server.is_read_only(task):
            raise seafile_sentences.read_only()

    async def _missing_folder(self, task: Task) -> None:
        for path in _way_to(task.target):
            there = await self._server.entry_at(task, path)
            if there is not None and not there.is_folder:
                raise seafile_sentences.file_in_the_way(task)
        if not task.mkdir:
            raise seafile_sentences.no_folder(task)


def _way_to(folder: str) -> Iterator[str]:
    """`/a`, `/a/b`, `/a/b/c`."""
    path = ""
    for part in folder.strip("/").split("/"):
        path = f"{path}/{part}"
        yield path
