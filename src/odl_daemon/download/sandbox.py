"""One life of aria2 in its sandbox: started, listened to, and dead when it is left."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from odl_daemon.download.conf import memory_for
from odl_daemon.download.control import Control
from odl_daemon.download.isolation import Breach, Command, Isolation, SandboxTrouble, command, hint_for
from odl_daemon.download.lines import Lines
from odl_daemon.download.lock import locked

__all__ = [
    "Breach",
    "Death",
    "Isolation",
    "Sandbox",
    "SandboxTrouble",
    "try_sandbox",
    "until_the_earlier_one_is_dead",
]

OLD_ONE_LIMIT: Final = 10.0
"""Seconds to wait until a sandbox of an earlier daemon is dead."""

START_LIMIT: Final = 20.0
"""Seconds until aria2 must answer."""

DEATH_LIMIT: Final = 10.0
"""Seconds until everything must be dead; only a disk that hangs can hold it longer."""


@dataclass(frozen=True, slots=True)
class Death:
    """How aria2 ended."""

    code: int | None
    """Its exit code, if it ended by itself."""
    signal: int | None
    """The signal that ended it, if one did."""
    sentence: str

    def __str__(self) -> str:
        return self.sentence


class Sandbox:
    """A keeper and its aria2. `opened` makes one; it is never started again: make another."""

    def __init__(self, running: subprocess.Popen[bytes], link: socket.socket, lines: Lines, scratch: Path) -> None:
        self.scratch = str(scratch)
        """The scratch root as the sandbox sees it: at its own path."""
        self._running = running
        self._lines = lines
        self._control = Control(link, distrust=self.kill)
        self._killed = False

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        *,
        scratch: Path,
        aria2c: str,
        isolation: Isolation,
        arguments: Sequence[str],
        conf: str,
        memory: int,
        lock: Path,
        heard: Callable[[str], None],
        ca_bundle: str = "",
    ) -> AsyncIterator[Sandbox]:
        """Starts aria2 and yields once it answers on its port; on leaving all of it is dead.

        `scratch` is the folder that it may write to, and must not be a link.
        `arguments` and `conf` come before and after what the keeper says itself: the conf's path and the port.
        `memory`: bytes that aria2 may have, at most.
        `heard` gets every line of aria2's. `lock` is held by the sandbox's processes: one of an earlier daemon is
        waited for. `ca_bundle` is shown to aria2 at its own path. Raises SandboxTrouble.
        """
        program, identity = _found(aria2c), _identity(scratch)
        said: deque[str] = deque(maxlen=5)

        def listen(line: str) -> None:
            said.append(line)
            heard(line)

        sandbox = await cls._spawned(scratch, program, isolation, lock, listen, ca_bundle)
        try:
            await sandbox._begin(program, isolation, arguments, conf, memory, identity, said)
            yield sandbox
        finally:
            try:
                await sandbox._die()
            finally:
                sandbox._close()

    @classmethod
    async def _spawned(
        cls, scratch: Path, program: Path, isolation: Isolation, lock: Path, heard: Callable[[str], None], bundle: str
    ) -> Sandbox:
        """Starts the keeper, with the lock in its hands."""
        async with _locked(lock) as lock_fd:
            return cls._spawn(scratch, program, isolation, lock_fd, heard, bundle)

    @classmethod
    def _spawn(
        cls, scratch: Path, program: Path, isolation: Isolation, lock_fd: int, heard: Callable[[str], None], bundle: str
    ) -> Sandbox:
        with ExitStack() as children, ExitStack() as ours:
            link, far_link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(link.close)
            children.callback(far_link.close)
            mouth, far_mouth = os.pipe()
            ours.callback(os.close, mouth)
            children.callback(os.close, far_mouth)
            wrapping = os.memfd_create("arguments")
            children.callback(os.close, wrapping)
            descriptors = (far_link.fileno(), lock_fd, wrapping)
            programs = [program, program.resolve()]
            how = command(isolation, scratch=scratch, programs=programs, bundle=bundle, descriptors=descriptors)
            running = _run(how, wrapping, descriptors, far_mouth)
            ours.pop_all()
            return cls(running, link, Lines(mouth, heard), scratch)

    # --- for its users --------------------------------------------------------------------------------------

    @property
    def listener(self) -> socket.socket:
        """Listens inside the sandbox's network, non-blocking: aria2's way out. An accepted connection's own address
        tells which of 127.0.0.0/8 was called. Closed with the sandbox."""
        return self._control.listener

    @property
    def proxy_port(self) -> int:
        """The listener's, as aria2 sees it: on all of 127.0.0.0/8, or outside of a namespace on 127.0.0.1."""
        return self._control.proxy_port

    @property
    def rpc_port(self) -> int:
        """aria2's, on 127.0.0.1."""
        return self._control.rpc_port

    async def sockets(self, count: int) -> list[socket.socket]:
        """Unconnected, non-blocking TCP (IPv4) sockets of the sandbox's network; the caller closes them.

        Raises ConnectionResetError when the sandbox is dead.
        """
        return await self._control.sockets(count)

    async def sees(self, path: str) -> bool:
        """Whether anything is at this path for whoever is in the sandbox. Raises ConnectionResetError."""
        return await self._control.sees(path)

    async def ended(self) -> Death:
        """Waits until aria2 or its keeper, and with it the other, is dead, and its last line is heard."""
        await self._lines.over.wait()
        self._control.hear_out()
        code = self._control.ended
        if code is None:
            why = "it was killed" if self._killed else "its keeper was killed, and it with its keeper"
            return Death(None, signal.SIGKILL, why)
        if code < 0:
            return Death(None, -code, f"it was ended by {_NAMES.get(-code, f'signal {-code}')}")
        return Death(code, None, f"it ended with exit code {code}")

    def kill(self) -> None:
        """Ends everything in the sandbox at once; `ended` tells when that is so."""
        if not self._lines.over.is_set():
            self._killed = True
            # The whole group, so that nobody slips through while the sandbox is still being built. The number
            # cannot belong to others yet: its leader is not waited for before everything is over.
            os.killpg(self._running.pid, signal.SIGKILL)

    # --- its beginning and its end --------------------------------------------------------------------------

    async def _begin(
        self,
        program: Path,
        isolation: Isolation,
        arguments: Sequence[str],
        conf: str,
        memory: int,
        identity: list[int],
        said: Sequence[str],
    ) -> None:
        alone = isolation is Isolation.NAMESPACE
        order = {
            "aria2c": str(program),
            "arguments": list(arguments),
            "conf": conf,
            "folder": "/tmp" if alone else tempfile.gettempdir(),
            "alone": alone,
            "memory": memory,
            "scratch": self.scratch,
            "identity": identity,
        }
        try:
            async with asyncio.timeout(START_LIMIT):
                await self._control.begin(order)
        except TimeoutError as error:
            raise SandboxTrouble(f"aria2 does not answer {START_LIMIT:.0f} s after its start{_quoted(said)}") from error
        except ConnectionError as error:
            await self._die()  # with that all that it said is heard
            death = await self.ended()
            why = "the sandbox was not made" if self._control.ended is None else death.sentence
            sentence = f"aria2 cannot be started: {self._control.failed or why}{_quoted(said)}"
            raise SandboxTrouble(sentence, hint_for(said)) from error

    async def _die(self) -> None:
        """Kills, and waits even if it is cancelled meanwhile: nothing may write to a scratch folder after this."""
        self.kill()
        cancelled = None
        limit = asyncio.get_running_loop().time() + DEATH_LIMIT
        while not self._lines.over.is_set():
            try:
                async with asyncio.timeout_at(limit):
                    await self._lines.over.wait()
            except TimeoutError:
                raise SandboxTrouble("aria2 does not die", "does the disk of the scratch folders hang?") from None
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _close(self) -> None:
        self._lines.close()
        self._control.close()
        if self._lines.over.is_set():
            self._running.wait()  # it let go of its output by exiting: this takes microseconds


async def until_the_earlier_one_is_dead(lock: Path) -> None:
    """Waits for the end of a sandbox that an earlier daemon had under this lock. Raises SandboxTrouble."""
    async with _locked(lock):
        pass


def _identity(folder: Path) -> list[int]:
    """Device and inode of a folder; another aria2 may be able to put something else there at any moment."""
    try:
        found = folder.lstat()
    except OSError as error:
        raise SandboxTrouble(f"the scratch folder cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise SandboxTrouble("what lies in the place of the scratch folder is no folder")
    return [found.st_dev, found.st_ino]


@asynccontextmanager
async def _locked(lock: Path) -> AsyncIterator[int]:
    try:
        async with locked(lock, OLD_ONE_LIMIT) as lock_fd:
            yield lock_fd
    except TimeoutError as error:
        hint = f"another daemon uses this state directory, or `fuser -v {lock}` names who is left: end it"
        raise SandboxTrouble(f"an earlier aria2 still runs after {OLD_ONE_LIMIT:.0f} s", hint) from error
    except OSError as error:
        raise SandboxTrouble(f"the sandbox of aria2 cannot be started: {error}") from error


def _found(aria2c: str) -> Path:
    path = shutil.which(aria2c)
    if path is None:
        raise SandboxTrouble(f"aria2c was not found as {aria2c}", "apt install aria2, or set [download] aria2c")
    return Path(path).absolute()


def _run(how: Command, wrapping: int, descriptors: Sequence[int], mouth: int) -> subprocess.Popen[bytes]:
    os.write(wrapping, how.wrapping)
    os.lseek(wrapping, 0, os.SEEK_SET)
    return subprocess.Popen(
        how.argv,
        stdin=subprocess.DEVNULL,
        stdout=mouth,
        stderr=mouth,
        pass_fds=descriptors if how.wrapping else descriptors[:2],
        env={},
        start_new_session=True,
        umask=0o077,
    )


_NAMES: Final = {each.value: each.name for each in signal.Signals}


def _quoted(said: Sequence[str]) -> str:
    return f"; it said: {' | '.join(said)}" if said else ""


async def try_sandbox(*, aria2c: str, isolation: Isolation) -> str | None:
    """None if a sandbox starts here and aria2 answers in it, else the sentence why not."""
    with tempfile.TemporaryDirectory(prefix="odl-") as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        try:
            async with Sandbox.opened(
                scratch=scratch,
                aria2c=aria2c,
                isolation=isolation,
                arguments=(),
                conf=f"enable-rpc=true\nrpc-secret={os.urandom(16).hex()}\nquiet=true\n",
                memory=memory_for(1),
                lock=Path(folder) / "lock",
                heard=lambda line: None,
            ):
                return None
        except SandboxTrouble as trouble:
            return str(trouble)
