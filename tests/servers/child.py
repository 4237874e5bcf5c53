"""A program under test: started, waited for without polling, and dead when it is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class Child:
    """A running program whose output goes into a file; it is asked to end if the process that runs the test dies."""

    def __init__(
        self, argv: Sequence[str], *, output: Path, env: Mapping[str, str] = os.environ, pass_fds: Sequence[int] = ()
    ) -> None:
        self.output = output
        self.ended = asyncio.Event()
        # Held open by the program and the workers that it forks: it reads as ended when all of them are dead.
        self._alive, far_end = os.pipe()
        with output.open("ab") as file:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *argv],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=dict(env),
                pass_fds=[*pass_fds, far_end],
                start_new_session=True,
            )
        os.close(far_end)
        asyncio.get_running_loop().add_reader(self._alive, self._end)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._popen.returncode

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, unless it has ended already."""
        self._popen.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        self.send(number)
        await self.ended.wait()
        return self._popen.returncode

    async def kill(self) -> None:
        """kill -9 of the program and of the workers in its process group; returns when they are dead."""
        if not self.ended.is_set():
            os.killpg(self.pid, signal.SIGKILL)
            await self.ended.wait()

    def said(self) -> str:
        """All that it has written so far."""
        return self.output.read_text(errors="replace")

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._alive)
        os.close(self._alive)
        self._popen.wait()  # all that is left of it is its exit code
        self.ended.set()


def program(name: str) -> str:
    """A program of this virtual environment."""
    return str(Path(sys.prefix) / "bin" / name)
