"""What must be asked of a Seafile server for a user's library, whatever way leads to the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Place(Protocol):
    """A library as one user sees it; every task is one."""

    @property
    def library(self) -> str: ...

    @property
    def owner(self) -> str:
        """The user."""


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


class Server(Protocol):
    """Looks into a library, and makes folders there. Raises searpc.Refused, searpc.ServerAway, searpc.Unanswered; a
    way that needs to be somebody there raises Trouble for who it cannot be."""

    async def repo(self, place: Place) -> Repo | None:
        """None if there is none."""

    async def is_read_only(self, place: Place) -> bool: ...

    async def payer(self, place: Place) -> str:
        """Whose quota the bytes of this library count against; "" if it is unknown."""

    async def may_write(self, place: Place, folder: str) -> bool:
        """Whether the user may write there; of a folder that is not there it may say either."""

    async def has_room(self, place: Place, size: int) -> bool:
        """Whether the library's owner may have so many more bytes."""

    async def folder_id(self, place: Place, folder: str) -> str:
        """The id of a folder, "" if there is none."""

    async def entry_at(self, place: Place, path: str) -> Entry | None:
        """What lies at a path that is not the root: a file or a folder."""

    async def entries(self, place: Place, folder: str) -> list[Entry]:
        """What a folder holds, also what no path leads to; nothing if there is no such folder."""

    async def make_folder(self, place: Place, folder: str) -> None:
        """Makes a folder with all above it; one that is there is fine. A server may say the same if a file lies
        there: look afterwards."""
