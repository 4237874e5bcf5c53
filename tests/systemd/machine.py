"""A Debian machine with its own systemd and no network, in a tree that tools/debian-machine.sh made."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.acceptance.until import until
from tests.chaos.victims import descendants
from tests.servers.child import Child
from tests.servers.daemon import Answer

TOOL: Final = "tools/debian-machine.sh"

CONFIG: Final = "/etc/odl-daemon/config.toml"

_ENV: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

_POWER_OFF: Final = signal.SIGRTMIN + 4
"""What systemd understands by it (man 1 systemd)."""

_NEW_NET: Final = 0x40000000


class Machine:
    """`async with Machine("bookworm", tree, log)`: it has booted, and is off when it is left."""

    def __init__(self, suite: str, tree: Path, log: Path) -> None:
        self.tree = tree
        self._suite = suite
        self._log = log
        self._child: Child | None = None
        self.pid = 0
        """Of its systemd, as this host counts."""

    async def __aenter__(self) -> Self:
        self._child = Child(["sh", TOOL, "boot", self._suite], output=self._log)
        try:
            self.pid = await until(self._find_systemd, what="a systemd in the machine")
            await until(self._is_up, within=60, what="the end of the machine's start")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Its own systemd is told, and never nspawn: that would leave it behind."""
        assert self._child is not None
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, _POWER_OFF)
            async with asyncio.timeout(60):
                await self._child.ended.wait()
        else:
            await self._child.kill()

    # --- from inside ----------------------------------------------------------------------------------------

    async def run(self, *argv: str, user: str = "root") -> Answer:
        """Runs a program in it to its end."""
        become = [] if user == "root" else ["runuser", "-u", user, "--"]
        return await ended([*self.enter(), *become, *argv])

    def enter(self) -> list[str]:
        """What runs the rest of a command line in it, with an environment as after a login."""
        env = [f"{name}={value}" for name, value in _ENV.items()]
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "-C", "env", "-i", "-C", "/", *env]

    async def ok(self, *argv: str, user: str = "root") -> str:
        """What a program printed that must end well."""
        answer = await self.run(*argv, user=user)
        await self.accept(answer)
        return answer.out.strip()

    async def accept(self, answer: Answer) -> None:
        """Raises AssertionError with what the service said, if a program did not end well."""
        if answer.code:
            raise AssertionError(f"code {answer.code}\n{answer.out}\n{answer.err}\n{await self.journal()}")

    async def make(self, target: str, *variables: str) -> Answer:
        """`make TARGET` in its copy of the project."""
        return await self.run("make", "--no-print-directory", "-C", "/root/project", target, *variables)

    async def shown(self, *properties: str) -> tuple[str, ...]:
        """Properties of the service."""
        wanted = [word for each in properties for word in ("-p", each)]
        told = await self.ok("systemctl", "show", "odl-daemon", *wanted)
        values = dict(line.split("=", 1) for line in told.splitlines())
        return tuple(values[each] for each in properties)

    async def journal(self) -> str:
        """The last lines of the service."""
        return (await self.run("journalctl", "-u", "odl-daemon", "-n", "30", "--no-pager", "-o", "cat")).out

    def file(self, path: str) -> Path:
        """Where a file of the machine lies on this host."""
        return self.tree / path.lstrip("/")

    # --- its tasks ------------------------------------------------------------------------------------------

    async def odl(self, *words: str) -> Answer:
        """The command line tool, as the service's user calls it."""
        (user,) = await self.shown("User")
        return await self.run("odl", "--config", CONFIG, *words, user=user)

    async def add(self, url: str, *words: str) -> int:
        answer = await self.odl("add", *words, url)
        await self.accept(answer)
        return int(answer.out)

    async def show(self, task: int) -> dict[str, Any]:
        answer = await self.odl("show", "--json", str(task))
        await self.accept(answer)
        shown: dict[str, Any] = json.loads(answer.out)[0]
        return shown

    async def done(self, task: int) -> dict[str, Any]:
        """The task once it has ended; it must have ended well."""

        async def look() -> bool:
            return (await self.show(task))["phase"] in ("done", "failed", "expired", "cancelled")

        await until(look, within=90, what=f"the end of task {task}")
        shown = await self.show(task)
        if shown["phase"] != "done":
            raise AssertionError(f"{shown}\n{await self.journal()}")
        return shown

    # --- from outside ---------------------------------------------------------------------------------------

    def pid_of(self, name: str) -> int:
        """The newest program of that name in it, as this host counts; 0 if there is none."""
        return next((pid for pid in reversed(descendants(self.pid)) if _comm(pid).startswith(name)), 0)

    async def listening(self) -> socket.socket:
        """A socket of ours that listens on the machine's own 127.0.0.1."""
        return await asyncio.to_thread(self._listen_inside)

    def _listen_inside(self) -> socket.socket:
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.pid}/ns/net") as inside:
            _move_to(inside.fileno())
            try:
                return socket.create_server(("127.0.0.1", 0), backlog=500)
            finally:
                _move_to(home.fileno())

    def _find_systemd(self) -> int:
        assert self._child is not None
        if self._child.ended.is_set():
            raise AssertionError(f"the machine did not start: {self._child.said()}")
        return next((pid for pid in descendants(self._child.pid) if _number_inside(pid) == "1"), 0)

    async def _is_up(self) -> bool:
        """systemd says `running`, or `degraded` where a unit failed that has nothing to do with us."""
        return (await self.run("systemctl", "is-system-running", "--wait")).out.strip() in ("running", "degraded")


async def ended(argv: list[str], env: dict[str, str] | None = None) -> Answer:
    """How a program ended, and what it said."""
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        start_new_session=True,
    )
    try:
        out, err = await child.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # nsenter and what it runs: a machine does not end before they do
        await child.wait()
        raise
    assert child.returncode is not None
    return Answer(child.returncode, out.decode(), err.decode())


def _move_to(network: int) -> None:
    """This thread alone; os.setns came with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _NEW_NET):
        raise OSError(ctypes.get_errno(), "setns")


def _comm(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _number_inside(pid: int) -> str:
    """What a process is called in the innermost namespace that it is in, if that is another than ours."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:") and len(line.split()) > 2:
                return line.split()[-1]
    return ""
