"""Bytes into a Seafile server by name alone: the server opens the file itself."""

from __future__ import annotations

import asyncio
import os
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath, PurePosixPath
from typing import Final

from odl_daemon.library import fetched_files, seafile_sentences
from odl_daemon.library.seaf_server import SeafServer
from odl_daemon.model.task import Placement, Task
from odl_daemon.ports import Saved

HANDED_OVER: Final = ".handed-over-"
"""Begins the names of links to files whose own names the server would change."""

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
            handed = await asyncio.to_thread(_handed_over, scratch, files)
        except OSError as error:
            raise seafile_sentences.unreadable() from error
        theirs = {
            file.path.rpartition("/")[2]: self._seen_by_server(scratch, path)
            for file, path in zip(files, handed, strict=True)
        }
        await self._server.post(task, folder, theirs)

    def _seen_by_server(self, scratch: str, source: str) -> PurePosixPath:
        path = PurePosixPath(scratch) / source
        if self._path_map is None or not path.is_relative_to(self._path_map[0]):
            return path
        return PurePosixPath(self._path_map[1]) / path.relative_to(self._path_map[0])


def _handed_over(scratch: str, files: Sequence[Placement]) -> list[str]:
    """The paths, inside the scratch folder, by which the server gets these files. All must be plain ones of their size:
    the server would follow a stranger's link. Raises Trouble and OSError."""
    if not all(_is_plain(scratch, file) for file in files):
        raise seafile_sentences.gone()
    return [
        file.source if _is_kept_by_server(file.source) else _link_to(scratch, file.source, number)
        for number, file in enumerate(files)
    ]


def _is_kept_by_server(path: str) -> bool:
    """Whether the server opens the very path that it is told: it composes letters and their accents first, and its
    protocol carries text only."""
    return path.isascii() or (unicodedata.is_normalized("NFC", path) and _SURROGATES.search(path) is None)


def _link_to(scratch: str, source: str, number: int) -> str:
    """A link of ours with a plain name."""
    name = f"{HANDED_OVER}{number}"
    with suppress(FileNotFoundError):
        os.unlink(f"{scratch}/{name}")  # noqa: PTH108  # names may be no text
    os.symlink(source, f"{scratch}/{name}")  # noqa: PTH211
    return name


_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def _is_plain(scratch: str, file: Placement) -> bool:
    with fetched_files.opened(scratch, file.source, file.size) as found:
        return found is not None
