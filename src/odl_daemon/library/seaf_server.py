"""What we ask of a Seafile server, as typed calls; their names and their traps are the server's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Repo:
    """A library, as far as it matters to us."""

    encrypted: bool
    corrupted: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a folder."""

    name: str
    id: str
    is_folder: bool
    size: int
    """Bytes; 0 for a folder."""
    modifier: str
    """Who wrote it; "" where the server does not say."""


class SeafServer:
    """The functions of a server that the daemon needs, the same from version 8.0 to 13.0. Raises what Rpc raises."""

    def __init__(self, rpc: Rpc, *, post_limit: float = POST_LIMIT) -> None:
        """`post_limit`: seconds that the server may take for a file."""
        self._rpc = rpc
        self._post_limit = post_limit

    # --- looking

    async def repo(self, library: str) -> Repo | None:
        """None if there is none. A damaged one may show nothing but its owner."""
        found = await self._rpc.call("seafile_get_repo", library)
        if not isinstance(found, Mapping):
            return Repo(encrypted=False, corrupted=True) if await self.owner(library) else None
        return Repo(encrypted=bool(found.get("encrypted")), corrupted=bool(found.get("is-corrupted")))

    async def is_read_only(self, library: str) -> bool:
        return await self._rpc.call("get_repo_status", library) == READ_ONLY

    async def owner(self, library: str) -> str:
        """Whose quota the bytes of this library count against; "" if it is unknown."""
        return _text(await self._rpc.call("seafile_get_repo_owner", library))

    async def may_write(self, library: str, folder: str, user: str) -> bool:
        return await self._rpc.call("check_permission_by_path", library, folder, user) == "rw"

    async def has_room(self, library: str, size: int) -> bool:
        """Whether the library's owner may have so many more bytes. An unknown library has none."""
        return await self._rpc.call("check_quota", library, size) == 0

    async def folder_id(self, library: str, folder: str) -> str:
        """The id of a folder, "" if there is none."""
        return _text(await self._rpc.call("seafile_get_dir_id_by_path", library, folder))

    async def entry_at(self, library: str, path: str) -> Entry | None:
        """What lies at a path that is not the root: a file or a folder."""
        try:
            found = await self._rpc.call("seafile_get_dirent_by_path", library, path)
        except Refused as refused:
            if refused.code != NO_SUCH_PATH:
                raise
            return None
        return _entry(found) if isinstance(found, Mapping) else None

    async def entries(self, library: str, folder_id: str) -> list[Entry]:
        found = await self._rpc.call("seafile_list_dir", library, folder_id, -1, -1)
        return [_entry(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []

    # --- writing

    async def make_folder(self, library: str, folder: str, user: str) -> None:
        """Makes a folder with all above it; one that is there is fine. The server says the same if a file lies
        there: look afterwards."""
        await self._rpc.call("seafile_mkdir_with_parents", library, "/", folder.strip("/"), user)

    async def post(self, library: str, folder: str, files: Mapping[str, PurePosixPath], user: str) -> None:
        """Takes files into a folder, by name and by where the *server* finds them. It checks nothing at all, and the
        names that it says it gave may be wrong if others write too: look afterwards."""
        names, paths = list(files), [str(path) for path in files.values()]
        await self._rpc.call(
            "seafile_post_multi_files", library, folder, _list(names), _list(paths), user, 0, limit=self._post_limit
        )

    async def upload_token(self, library: str, folder: str, user: str) -> str:
        """A word that opens the file server's upload for this folder, in the name of this user."""
        where = json.dumps({"parent_dir": folder}, ensure_ascii=False)
        return _text(await self._rpc.call("seafile_web_get_access_token", library, where, "upload", user, 0))

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
