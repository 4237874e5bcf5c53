"""A stand-in for a Seafile server that runs as a process of its own, and fails on demand."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.servers.child import Child
from tests.servers.ports import listening, port_of
from tests.servers.seafile.traffic import How

VERSIONS: Final = ("8.0", "12.0", "13.0")
ROOT: Final = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a library."""

    id: str
    size: int
    modifier: str


class SeafServer:
    """`async with SeafServer(folder, version="8.0") as server`: calls are answered at `server.socket`."""

    def __init__(self, folder: Path, *, version: str = "12.0", threads: int = 50) -> None:
        self.version = version
        self._folder = folder
        self._threads = threads
        self._child: Child | None = None
        self.upload_port = 0
        self.web_port = 0

    @property
    def file_server(self) -> str:
        """The URL of its file server, the same after a restart."""
        return f"http://127.0.0.1:{self.upload_port}"

    @property
    def seahub(self) -> str:
        """The URL of its web site, the same after a restart."""
        return f"http://127.0.0.1:{self.web_port}"

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        # The paths of sockets are short: 107 bytes, and a test's folder may be longer.
        self._sockets = tempfile.TemporaryDirectory(prefix="seaf-")
        self.socket = Path(self._sockets.name) / "rpc"
        self._control = Path(self._sockets.name) / "control"
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()
        self._sockets.cleanup()

    # --- its life

    async def start(self) -> None:
        """Starts it, with what it knew before; returns when it answers."""
        self._control.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX) as listener,
            listening(self.upload_port) as uploads,
            listening(self.web_port) as site,
        ):
            self.upload_port, self.web_port = port_of(uploads), port_of(site)
            listener.bind(str(self._control))
            listener.listen()
            argv = [
                *(*self._program(), "--version", self.version),
                *("--threads", str(self._threads), "--control-fd", str(listener.fileno())),
                *("--file-server-fd", str(uploads.fileno()), "--web-fd", str(site.fileno())),
            ]
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            fds = [listener.fileno(), uploads.fileno(), site.fileno()]
            self._child = Child(argv, output=self._folder / "output", env=env, pass_fds=fds)
        await self._ask("ready")

    def _program(self) -> list[str]:
        """What runs it, and with which paths."""
        paths = ["--socket", str(self.socket), "--data", str(self._folder / "data")]
        return [sys.executable, "-m", "tests.servers.seafile", *paths]

    async def die(self) -> None:
        """kill -9: calls under way end without an answer, messages in its channels are lost, its socket file stays."""
        if self._child is not None:
            await self._child.kill()

    async def restart(self) -> None:
        await self.die()
        await self.start()

    # --- what it knows

    async def create_repo(self, owner: str, name: str = "Library", *, encrypted: bool = False) -> str:
        """A new library's id."""
        return str(await self._ask("create_repo", name=name, owner=owner, encrypted=encrypted))

    async def delete_repo(self, repo: str) -> None:
        await self._ask("delete_repo", repo_id=repo)

    async def set_status(self, repo: str, status: int) -> None:
        """0 normal, 1 read-only."""
        await self._ask("set_status", repo_id=repo, status=status)

    async def set_corrupted(self, repo: str, *, corrupted: bool = True, hidden: bool = False) -> None:
        """`hidden`: so badly that the server shows no object, as for a library that it does not know."""
        await self._ask("set_corrupted", repo_id=repo, corrupted=corrupted, hidden=hidden)

    async def share(self, repo: str, user: str, permission: str | None) -> None:
        """ "rw" or "r"; None ends it."""
        await self._ask("share", repo_id=repo, user=user, permission=permission)

    async def create_token(self, user: str) -> str:
        """A new API token of this user."""
        return str(await self._ask("create_token", user=user))

    async def deactivate(self, user: str) -> None:
        """Closes the account of a user, who keeps his tokens."""
        await self._ask("deactivate", user=user)

    async def make_staff(self, user: str) -> None:
        """Makes an administrator of a user."""
        await self._ask("make_staff", user=user)

    async def sign_in(self, user: str) -> str:
        """Signs a browser in at the web site; returns the value of its cookie `sessionid`."""
        return str(await self._ask("sign_in", user=user))

    async def sign_out(self, session: str) -> None:
        await self._ask("sign_out", session=session)

    async def set_quota(self, user: str, size: int) -> None:
        """Bytes; -2 is no limit."""
        await self._ask("set_quota", user=user, size=size)

    async def set_max_upload(self, size: int) -> None:
        """Bytes that the file server takes at most; 0 for any number."""
        await self._ask("set_max_upload", size=size)

    async def make_folder(self, repo: str, path: str) -> None:
        """With its parents."""
        await self._ask("make_folder", repo=repo, path=path)

    async def put(self, repo: str, path: str, content: bytes, user: str | None = None) -> None:
        """A file as if its owner (or another user) had uploaded it, replacing what has its name; its folder must be
        there."""
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            file.write(content)
            file.flush()
            await self._ask("put", repo=repo, path=path, file=file.name, user=user)

    async def delete(self, repo: str, path: str) -> None:
        """A file or a folder."""
        await self._ask("delete", repo_id=repo, path=path)

    async def files(self, repo: str) -> dict[str, Found]:
        """Every file that a path leads to, by that path."""
        return dict(await self._found("files", repo))

    async def unreachable(self, repo: str) -> list[tuple[str, Found]]:
        """What is in listings only, as 8.0 leaves it behind when two commits meet; several may have one name."""
        return await self._found("unreachable", repo)

    async def let_usage_lag(self, *, lag: bool = True) -> None:
        """While it lags, `count_usage` alone counts used bytes for the quota; else every commit does."""
        await self._ask("let_usage_lag", lag=lag)

    async def count_usage(self) -> None:
        await self._ask("count_usage")

    # --- what goes on at its socket

    async def calls(self) -> dict[str, int]:
        """How many calls have arrived since the start, by function."""
        return await self._calls("arrived")

    async def done(self) -> dict[str, int]:
        """How many of them were carried out, or refused."""
        return await self._calls("done")

    async def called(self, function: str, count: int = 1) -> None:
        """Returns when so many calls have arrived since the start."""
        await self._ask("await_calls", function=function, count=count, done=False)

    async def carried_out(self, function: str, count: int = 1) -> None:
        """Returns when so many calls were carried out since the start."""
        await self._ask("await_calls", function=function, count=count, done=True)

    async def holding(self, count: int = 1) -> None:
        """Returns when so many calls are held."""
        await self._ask("await_held", count=count)

    async def connections(self) -> int:
        return (await self._counted())["now"]

    async def most_connections(self) -> int:
        """That were open at once since the start."""
        return (await self._counted())["most"]

    async def connected(self, count: int) -> None:
        """Returns when exactly so many connections are open."""
        await self._ask("await_connections", count=count)

    # --- what shall go wrong

    async def fail(
        self, how: How, function: str = "", times: int = 1, *, code: int = 500, message: str = "Internal error"
    ) -> None:
        """The next `times` calls of a function (of any, if none is named) go wrong: see How. UPLOAD is the function of
        the file server; for it `code` is the status of the answer."""
        await self._ask("fail", how=how, function=function, times=times, code=code, message=message)

    async def release(self) -> None:
        """Lets the calls go on that are held."""
        await self._ask("release")

    async def gather(self, count: int) -> None:
        """The next `count` commits all look at their library before the first of them changes it."""
        await self._ask("gather", count=count)

    # --- the control channel

    async def _found(self, what: str, repo: str) -> list[tuple[str, Found]]:
        told = await self._ask(what, repo=repo)
        assert isinstance(told, list)
        return [(path, Found(*rest)) for path, *rest in told]

    async def _calls(self, which: str) -> dict[str, int]:
        told = await self._ask("calls")
        assert isinstance(told, dict)
        return dict(told[which])

    async def _counted(self) -> Mapping[str, int]:
        told = await self._ask("connections")
        assert isinstance(told, dict)
        return told

    async def _ask(self, wish: str, **arguments: object) -> object:
        reader, writer = await asyncio.open_unix_connection(self._control, limit=1 << 26)
        try:
            writer.write(json.dumps({"do": wish, **arguments}).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
        if not line:
            raise AssertionError(f"the server ended: {self._child.said() if self._child else ''}")
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(f"{wish}: {answer['error']}")
        return answer["ret"]
