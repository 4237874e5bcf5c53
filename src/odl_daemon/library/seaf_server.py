"""What we ask of a Seafile server, as typed calls; their names and their traps are the server's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from odl_daemon.library.seafile_server import Entry, Place, Repo
from odl_daemon.library.searpc import Refused

DIRECTORY = 0o040000
"""The bit of `mode` that makes an entry a folder."""

READ_ONLY = 1
"""The status of a library that takes nothing."""

NO_SUCH_PATH = 516
"""The code of a refusal: a folder on the way is not there."""

POST_LIMIT = 3600.0
"""Seconds that the server may take to index a file: it reads all of it (2 GiB took 5 s from memory)."""


class Rpc(Protocol):
    """One call of the server. Raises searpc.Refused, searpc.ServerAway, searpc.Unanswered."""

    async def call(self, function: str, *arguments: str | int | None, limit: float | None = None) -> object: ...


class SeafServer:
    """seafile_server.Server over the socket, and what goes only that way: the functions are the same from version 8.0
    to 13.0. Raises what Rpc raises."""

    def __init__(self, rpc: Rpc, *, post_limit: float = POST_LIMIT) -> None:
        """`post_limit`: seconds that the server may take for a file."""
        self._rpc = rpc
        self._post_limit = post_limit

    # --- looking

    async def repo(self, place: Place) -> Repo | None:
        """None if there is none. A damaged one may show nothing but its owner."""
        found = await self._rpc.call("seafile_get_repo", place.library)
        if not isinstance(found, Mapping):
            return Repo(encrypted=False, corrupted=True) if await self.payer(place) else None
        return Repo(encrypted=bool(found.get("encrypted")), corrupted=bool(found.get("is-corrupted")))

    async def is_read_only(self, place: Place) -> bool:
        return await self._rpc.call("get_repo_status", place.library) == READ_ONLY

    async def payer(self, place: Place) -> str:
        """The owner of the library; "" if it is unknown."""
        return _text(await self._rpc.call("seafile_get_repo_owner", place.library))

    async def may_write(self, place: Place, folder: str) -> bool:
        return await self._rpc.call("check_permission_by_path", place.library, folder, place.owner) == "rw"

    async def has_room(self, place: Place, size: int) -> bool:
        """An unknown library has none."""
        return await self._rpc.call("check_quota", place.library, size) == 0

    async def folder_id(self, place: Place, folder: str) -> str:
        return _text(await self._at_path("seafile_get_dir_id_by_path", place, folder))

    async def entry_at(self, place: Place, path: str) -> Entry | None:
        found = await self._at_path("seafile_get_dirent_by_path", place, path)
        return _entry(found) if isinstance(found, Mapping) else None

    async def _at_path(self, function: str, place: Place, path: str) -> object:
        """What lies there. Of a path that ends in nothing the server says so; of one that leads through nothing it
        refuses to say anything."""
        try:
            return await self._rpc.call(function, place.library, path)
        except Refused as refused:
            if refused.code != NO_SUCH_PATH:
                raise
            return None

    async def entries(self, place: Place, folder: str) -> list[Entry]:
        folder_id = await self.folder_id(place, folder)
        if not folder_id:
            return []
        found = await self._rpc.call("seafile_list_dir", place.library, folder_id, -1, -1)
        return [_entry(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []

    # --- writing

    async def make_folder(self, place: Place, folder: str) -> None:
        """The server says that it is made also if a file lies there."""
        await self._rpc.call("seafile_mkdir_with_parents", place.library, "/", folder.strip("/"), place.owner)

    async def post(self, place: Place, folder: str, files: Mapping[str, PurePosixPath]) -> None:
        """Takes files into a folder, by name and by where the *server* finds them. It checks nothing at all, and the
        names that it says it gave may be wrong if others write too: look afterwards."""
        names, paths = list(files), [str(path) for path in files.values()]
        await self._rpc.call(
            "seafile_post_multi_files",
            place.library,
            folder,
            _list(names),
            _list(paths),
            place.owner,
            0,
            limit=self._post_limit,
        )

    async def upload_token(self, place: Place, folder: str) -> str:
        """A word that opens the file server's upload for this folder, in the name of this user."""
        where = json.dumps({"parent_dir": folder}, ensure_ascii=False)
        return _text(
            await self._rpc.call("seafile_web_get_access_token", place.library, where, "upload", place.owner, 0)
        )

    # --- the message channel

    async def pop(self, channel: str) -> str | None:
        """The oldest message of a channel, which is gone from there then; None if it holds none."""
        found = await self._rpc.call("pop_event", channel)
        return _text(found.get("content")) if isinstance(found, Mapping) else None

    async def publish(self, channel: str, content: str) -> None:
        await self._rpc.call("publish_event", channel, content)


def _entry(found: Mapping[object, object]) -> Entry:
    mode, size = found.get("mode"), found.get("size")
    return Entry(
        name=_text(found.get("obj-name")),
        id=_text(found.get("obj-id")),
        is_folder=isinstance(mode, int) and bool(mode & DIRECTORY),
        size=size if isinstance(size, int) else 0,
        modifier=_text(found.get("modifier")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(words: Sequence[str]) -> str:
    return json.dumps(words, ensure_ascii=False)
