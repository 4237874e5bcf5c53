"""Hands files to the server and says where they came to lie: neither its answer nor its silence is believed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from odl_daemon.library import seafile_sentences
from odl_daemon.library.seafile_search import Search, moved
from odl_daemon.library.seafile_server import Server
from odl_daemon.library.searpc import ServerAway, Unanswered
from odl_daemon.model.task import Intent, Placement, Task
from odl_daemon.ports import NameTaken, Saved

log = logging.getLogger(__name__)

LOOKS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds before each further look for a file whose commit was not answered: the server may be at it still."""


class Posting(Protocol):
    """The way that bytes take into the server."""

    async def post(self, task: Task, scratch: str, folder: str, files: Sequence[Placement], saved: Saved) -> None:
        """Hands files over; all of them are to lie directly in `folder`, which is there. Raises Trouble, and what Rpc
        raises: Unanswered if it cannot be known what came of it. `saved` hears of bytes that are sent."""


class Writing:
    """Writes what is missing of an intent. The caller has looked, and asked whether it may."""

    def __init__(self, server: Server, posting: Posting, looks: Sequence[float] = LOOKS) -> None:
        """`looks`: seconds before each further look after a silence."""
        self._server = server
        self._posting = posting
        self._search = Search(server)
        self._looks = looks

    async def write(
        self, task: Task, scratch: str, intent: Intent, missing: Sequence[Placement], saved: Saved
    ) -> Intent:
        """Returns the intent with the paths that the files have. Raises NameTaken, Trouble and what Rpc raises."""
        for folder, files in _by_folder(missing):
            await self._make_folder(task, folder)
            written = await self._write_into(task, scratch, folder, files, saved)
            intent = moved(intent, written)
        return intent

    async def _make_folder(self, task: Task, folder: str) -> None:
        if await self._server.folder_id(task, folder):
            return
        await self._server.make_folder(task, folder)
        if not await self._server.folder_id(task, folder):
            raise NameTaken(folder)

    async def _write_into(
        self, task: Task, scratch: str, folder: str, files: Sequence[Placement], saved: Saved
    ) -> Sequence[Placement]:
        part = Intent(files[0].path if len(files) == 1 else folder, tuple(files))
        try:
            await self._posting.post(task, scratch, folder, files, saved)
        except Unanswered as silence:
            log.warning("task %d: the server did not say what came of a commit: looking for it", task.id)
            return await self._look_for(task, part, silence)
        sight = await self._search.look(task, part, trusting=True)
        if sight.taken:  # two commits met: on 8.0 the later one is merged into entries that no path leads to
            raise NameTaken(sight.taken[0])
        if sight.missing:
            raise seafile_sentences.not_there()
        return sight.intent.files

    async def _look_for(self, task: Task, part: Intent, silence: Unanswered) -> Sequence[Placement]:
        """Nothing tells when a call is over whose connection is gone, nor when a server is up again."""
        for pause in (0.0, *self._looks):
            await asyncio.sleep(pause)
            with suppress(ServerAway, Unanswered):
                sight = await self._search.look(task, part)
                if sight.complete:
                    return sight.intent.files
        raise seafile_sentences.unanswered() from silence


def _by_folder(files: Sequence[Placement]) -> Iterator[tuple[str, list[Placement]]]:
    """Folders from above."""
    folders = {file.path.rpartition("/")[0] for file in files}
    for folder in sorted(folders):
        yield folder or "/", [file for file in files if file.path.rpartition("/")[0] == folder]
