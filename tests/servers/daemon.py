"""The real odl-daemon as a child process, and its command line."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.servers.child import Child, program

Setting = str | int | float | bool | list[str]


class Answer(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Daemon:
    """`async with Daemon(folder) as daemon` runs a daemon until it works; all that it owns lies in `folder`.

    `database` is a URL, by default a SQLite file of its own. Any section may be given by keyword, over the defaults
    of the tests: `Daemon(folder, download={"slots": 2}, intake={"poll": 0.2})`.
    """

    def __init__(self, folder: Path, *, database: str = "", **sections: Mapping[str, Setting]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.scratch = folder / "scratch"
        self.library = folder / "library"
        self.database = database or f"sqlite:///{folder / 'odl.db'}"
        self.config = folder / "config.toml"
        self._sections = {**self._defaults(), **{name: dict(keys) for name, keys in sections.items()}}
        for name, keys in self._defaults().items():
            self._sections[name] = {**keys, **self._sections[name]}
        self._child: Child | None = None
        self._notifications: Notifications | None = None

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        self._hang_up()

    # --- its life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts it and returns when it accepts work. Raises AssertionError with its log if it ends instead."""
        self.configure()
        self._hang_up()
        heard = self._notifications = Notifications()
        self._child = self._spawn({"NOTIFY_SOCKET": heard.address})
        await _first_of(heard.ready, self._child.ended)
        if not heard.ready.is_set():
            code = self._child.code
            raise AssertionError(f"the daemon ended with {code} before it was ready; it said:\n{self.log()}")

    def configure(self, **sections: Mapping[str, Setting]) -> None:
        """Writes config.toml, with these keys changed for good; a running daemon hears of it by `reload`."""
        for name, keys in sections.items():
            self._sections[name] = {**self._sections.get(name, {}), **keys}
        self.config.write_text(toml(self._sections))

    def setting(self, section: str, key: str) -> Setting:
        """As its config has it."""
        return self._sections[section][key]

    def reload(self) -> None:
        """SIGHUP."""
        self._running.send(signal.SIGHUP)

    async def kill(self) -> None:
        """kill -9, whether it is frozen or not; aria2 dies with it."""
        if self._child is not None:
            await self._child.kill()

    async def stop(self) -> int:
        """SIGTERM, as the service manager stops it; returns its exit code."""
        return await self._running.stop(signal.SIGTERM)

    async def restart(self) -> None:
        """Stops it in order and starts it again."""
        await self.stop()
        await self.start()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing until `thaw`, and knows nothing of it."""
        self._running.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running.send(signal.SIGCONT)

    @property
    def pid(self) -> int:
        return self._running.pid

    def log(self) -> str:
        """All that every one of its lives has written so far."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    # --- its command line -----------------------------------------------------------------------------------

    async def odl(self, *arguments: str, stdin: str = "") -> Answer:
        """Runs the command line tool to its end."""
        child = await asyncio.create_subprocess_exec(
            program("odl"),
            "--config",
            str(self.config),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
        try:
            out, err = await child.communicate(stdin.encode())
        except BaseException:
            child.kill()
            await child.wait()
            raise
        assert child.returncode is not None
        return Answer(child.returncode, out.decode(), err.decode())

    async def add(self, *urls: str, arguments: tuple[str, ...] = ()) -> list[int]:
        """Adds links and returns the ids of their tasks."""
        answer = await self.odl("add", *arguments, *urls)
        assert answer.code == 0, answer
        return [int(line) for line in answer.out.split()]

    async def finish(self, *ids: int) -> list[dict[str, Any]]:
        """Waits until these tasks have ended, however they end, and shows them."""
        answer = await self.odl("watch", *map(str, ids))
        assert answer.code in (0, 1), answer
        return await self.show(*ids)

    async def show(self, *ids: int) -> list[dict[str, Any]]:
        """Tasks as `odl show --json` tells them."""
        answer = await self.odl("show", "--json", *map(str, ids))
        assert answer.code == 0, answer
        shown: list[dict[str, Any]] = json.loads(answer.out)
        return shown

    def file(self, path: str, library: str = "default") -> Path:
        """Where a path of a library lies on the disk."""
        return self.library / library / path.lstrip("/")

    # --- inside ---------------------------------------------------------------------------------------------

    def _spawn(self, env: Mapping[str, str]) -> Child:
        argv = [program("odl-daemon"), "--config", str(self.config)]
        return Child(argv, output=self._output, env={**_environment(), **env})

    def _hang_up(self) -> None:
        if self._notifications is not None:
            self._notifications.close()
            self._notifications = None

    @property
    def _running(self) -> Child:
        assert self._child is not None, "the daemon was never started"
        return self._child

    @property
    def _output(self) -> Path:
        return self.folder / "daemon.log"

    def _defaults(self) -> dict[str, dict[str, Setting]]:
        return {
            "daemon": {"state_dir": str(self.state)},
            "database": {"url": self.database},
            "download": {"temp_dir": str(self.scratch)},
            "library": {"kind": "folder", "folder": str(self.library)},
            "guard": {"allow": ["127.0.0.0/8"]},
            "intake": {"poll": 1},
            "http": {"listen": ""},
            "log": {"level": "info"},
        }


class Notifications:
    """Hears what the daemon tells its service manager (man 3 sd_notify)."""

    def __init__(self) -> None:
        name = f"odl-daemon-test-{secrets.token_hex(8)}"
        self.address = "@" + name
        self.ready = asyncio.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("\0" + name)
        asyncio.get_running_loop().add_reader(self._socket, self._hear)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _hear(self) -> None:
        if "READY=1" in self._socket.recv(4096).decode().splitlines():
            self.ready.set()


def toml(sections: Mapping[str, Mapping[str, Setting]]) -> str:
    """Sections of plain values as TOML: JSON's scalars and lists are TOML's too."""
    lines: list[str] = []
    for name, keys in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""]
    return "\n".join(lines)


def _environment() -> dict[str, str]:
    """Ours, without what would change the daemon's settings or tie it to a service manager that runs the tests."""
    left_out = ("ODL_", "NOTIFY_SOCKET", "WATCHDOG_")
    return {key: value for key, value in os.environ.items() if not key.startswith(left_out)}


async def _first_of(*events: asyncio.Event) -> None:
    """Returns when one of them is set."""
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(event.wait(), name="waiting for one of several events") for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
