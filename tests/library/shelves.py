"""Every kind of library with what a test needs around it: a user's hand in it, a scratch folder, a task."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

from odl_daemon.library.file_id import BLOCK, Digest
from odl_daemon.library.folder import FolderLibrary
from odl_daemon.library.seaf_server import Rpc, SeafServer
from odl_daemon.library.seafile import SeafileLibrary
from odl_daemon.library.seafile_http import HttpPosting, RpcUploadLinks
from odl_daemon.library.seafile_rpc import Handover, RpcPosting
from odl_daemon.library.seafile_server import Place
from odl_daemon.library.seafile_writing import Posting
from odl_daemon.library.seahub import Answer, Seahub
from odl_daemon.library.searpc import Searpc
from odl_daemon.library.tokens import Tokens
from odl_daemon.model.task import Fetched, FetchedFile, Intent, Phase, Placement, Task
from odl_daemon.ports import Library, NameTaken, Saved, unheard
from tests.servers import seafile as double

NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
ALICE: Final = "alice@example.org"
BOB: Final = "bob@example.org"

T = TypeVar("T")


class Shelf(Protocol):
    """A library and its surroundings."""

    scratch: Path
    id: str
    """Of the library."""

    def open(self) -> Library:
        """The library, as a fresh process sees it."""

    async def files(self) -> dict[str, str]:
        """Every file by its path, with the id of its bytes."""

    async def put(self, path: str, content: bytes) -> None:
        """A user's file, replacing what is there."""

    async def make_folder(self, path: str) -> None: ...

    async def delete(self, path: str) -> None: ...


class FolderShelf:
    def __init__(self, root: Path) -> None:
        self.id = "default"
        self.scratch = root / "scratch"
        self.scratch.mkdir()
        self._root = root / "library"
        self._top = self._root / "default"
        self._top.mkdir(parents=True)

    def open(self) -> FolderLibrary:
        return FolderLibrary(self._root, create=False)

    async def files(self) -> dict[str, str]:
        found = [path for path in self._top.rglob("*") if path.is_file()]
        return {f"/{path.relative_to(self._top)}": id_of(path.read_bytes()) for path in found}

    async def put(self, path: str, content: bytes) -> None:
        (self._top / path.strip("/")).write_bytes(content)

    async def make_folder(self, path: str) -> None:
        (self._top / path.strip("/")).mkdir(parents=True)

    async def delete(self, path: str) -> None:
        found = self._top / path.strip("/")
        shutil.rmtree(found) if found.is_dir() else found.unlink()


class SeafileShelf:
    """A library of ALICE in a stand-in for a Seafile server."""

    looks: Sequence[float] = (0.02, 0.05, 0.1)

    def __init__(self, root: Path, server: double.SeafServer, library: str, *, http: bool, web: bool = False) -> None:
        """`web`: all of it by the web site, with the users' tokens."""
        self.id = library
        self.server = server
        self.http = http
        self.web = web
        self.tokens = root / "tokens"
        self.scratch = root / "scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)

    def open(
        self, failpoint: Failpoint | None = None, *, limit: float = 10.0, block: int = BLOCK, file_server: str = ""
    ) -> SeafileLibrary:
        """`limit`: seconds for whatever the server does."""
        if self.web:
            return self._open_by_web(failpoint, limit, block)
        plain = Searpc(self.server.socket, limit=limit)
        rpc = plain if failpoint is None else TrippedRpc(plain, failpoint)
        server = SeafServer(rpc, post_limit=limit)
        posting = self._posting(server, failpoint, limit, file_server or self.server.file_server)
        return SeafileLibrary(server, posting, block=block, looks=self.looks)

    def _posting(self, server: SeafServer, failpoint: Failpoint | None, limit: float, file_server: str) -> Posting:
        if not self.http:
            return RpcPosting(server, Handover(self.scratch.parent / ".handover"))
        posting = HttpPosting(RpcUploadLinks(server, file_server), connect_limit=limit, silence_limit=limit)
        return posting if failpoint is None else TrippedPosting(posting, failpoint)

    def _open_by_web(self, failpoint: Failpoint | None, limit: float, block: int) -> SeafileLibrary:
        seahub = TrippedSeahub(self.server.seahub, Tokens(self.tokens), failpoint, answer_limit=limit)
        posting: Posting = HttpPosting(seahub, connect_limit=limit, silence_limit=limit)
        if failpoint is not None:
            posting = TrippedPosting(posting, failpoint)
        return SeafileLibrary(seahub, posting, block=block, looks=self.looks)

    async def let_in(self, *users: str) -> None:
        """Gives the daemon a token of each of these users."""
        lines = [f'{user} = "{await self.server.create_token(user)}"' for user in users]
        self.tokens.touch(mode=0o600)
        with self.tokens.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    async def files(self) -> dict[str, str]:
        return {path: found.id for path, found in (await self.server.files(self.id)).items()}

    async def put(self, path: str, content: bytes) -> None:
        await self.server.put(self.id, path, content, user=BOB)

    async def make_folder(self, path: str) -> None:
        await self.server.make_folder(self.id, path)

    async def delete(self, path: str) -> None:
        await self.server.delete(self.id, path)


@asynccontextmanager
async def seafile_shelf(root: Path, *, http: bool, version: str, web: bool = False) -> AsyncIterator[SeafileShelf]:
    async with double.SeafServer(root / "seafile", version=version) as server:
        shelf = SeafileShelf(root, server, await server.create_repo(ALICE), http=http, web=web)
        if web:
            await shelf.let_in(ALICE)
        yield shelf


# --- a task and its bytes


def task_of(shelf: Shelf, task_id: int = 1, **changes: object) -> Task:
    task = Task(task_id, ALICE, shelf.id, "/", "http://h/a", NOW, NOW, phase=Phase.COMMITTING, epoch=1)
    return replace(task, **changes)  # type: ignore[arg-type]  # single fields by name


def fetched(shelf: Shelf, name: str = "a.tar.gz", content: bytes = b"bytes") -> Fetched:
    """One file, as if it had been fetched."""
    return fetched_all(shelf, {name: content})


def fetched_all(shelf: Shelf, contents: dict[str, bytes]) -> Fetched:
    for name, content in contents.items():
        path = shelf.scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Fetched(tuple(FetchedFile(name, len(content)) for name, content in contents.items()))


def id_of(content: bytes) -> str:
    digest = Digest()
    digest.update(content)
    return digest.file_id()


# --- what the worker does


async def put(shelf: Shelf, task: Task, bytes_: Fetched, library: Library | None = None) -> Intent:
    """Plans, and carries the plan out."""
    library = library or shelf.open()
    intent = await library.plan(task, str(shelf.scratch), bytes_)
    return await library.commit(task, str(shelf.scratch), intent)


class Row:
    """What the table remembers of a task, over crashes."""

    def __init__(self, task: Task) -> None:
        self.task = task

    async def walk(self, library: Library, shelf: Shelf, bytes_: Fetched) -> None:
        """What the engine's worker does with bytes that are here. Raises Trouble."""
        if self.task.intent is None:
            await library.check(self.task)
        elif landed := await library.landed(self.task, self.task.intent):
            self.task = replace(self.task, intent=landed)
            return
        while True:
            intent = await library.plan(self.task, str(shelf.scratch), bytes_)
            self.task = replace(self.task, intent=intent)
            try:
                done = await library.commit(self.task, str(shelf.scratch), intent)
            except NameTaken:
                continue
            self.task = replace(self.task, intent=done)
            return

    @property
    def shown(self) -> dict[str, str]:
        """Where the row says that the task's files are, with the ids of their bytes."""
        return {} if self.task.intent is None else {file.path: file.object_id for file in self.task.intent.files}


# --- failures between any two calls


class Killed(BaseException):
    """The process ends here."""


class Failpoint:
    """Something that happens at the n-th call that passes here, before it or after it."""

    def __init__(self, at: int, what: BaseException, *, after: bool) -> None:
        self.fired = False
        self._left = at
        self._what = what
        self._after = after

    async def passed(self, call: Callable[[], Awaitable[T]]) -> T:
        self._left -= 1
        if self._left:
            return await call()
        self.fired = True
        if self._after:
            await call()
        raise self._what


class TrippedRpc:
    """seaf_server.Rpc."""

    def __init__(self, rpc: Rpc, failpoint: Failpoint) -> None:
        self._rpc = rpc
        self._failpoint = failpoint

    async def call(self, function: str, *arguments: str | int | None, limit: float | None = None) -> object:
        return await self._failpoint.passed(lambda: self._rpc.call(function, *arguments, limit=limit))


class TrippedSeahub(Seahub):
    """Every request of it may be the one."""

    def __init__(self, url: str, tokens: Tokens, failpoint: Failpoint | None, *, answer_limit: float) -> None:
        super().__init__(url, tokens, answer_limit=answer_limit)
        self._failpoint = failpoint

    async def _ask(
        self, place: Place, method: str, path: str, *expected: int, folder: str = "", form: dict[str, str] | None = None
    ) -> Answer:
        ask = super()._ask
        if self._failpoint is None:
            return await ask(place, method, path, *expected, folder=folder, form=form)
        return await self._failpoint.passed(lambda: ask(place, method, path, *expected, folder=folder, form=form))


class TrippedPosting:
    """seafile_writing.Posting."""

    def __init__(self, posting: Posting, failpoint: Failpoint) -> None:
        self._posting = posting
        self._failpoint = failpoint

    async def post(
        self, task: Task, scratch: str, folder: str, files: Sequence[Placement], saved: Saved = unheard
    ) -> None:
        await self._failpoint.passed(lambda: self._posting.post(task, scratch, folder, files, saved))
