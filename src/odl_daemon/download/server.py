"""An aria2 in its sandbox: started, watched, and replaced when it dies."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from odl_daemon.download.conf import ARGUMENTS, Conf, memory_for, misheard
from odl_daemon.download.ledger import Ledger
from odl_daemon.download.rpc import Aria2Rpc, Gone, RpcError, Silent
from odl_daemon.download.sandbox import Breach, Isolation, Sandbox, SandboxTrouble
from odl_daemon.download.walls import breach
from odl_daemon.guard.guests import address_of

log = logging.getLogger(__name__)

WALLS_EVERY = 300.0
"""Seconds between two tests of the sandbox's walls."""

FIRST_PAUSE, LAST_PAUSE = 0.1, 10.0
"""Seconds from the death of an aria2 to its successor: they grow while none of them comes up."""

HEARING = 0.5
"""Seconds that a cancelled task gets to end before it is cancelled once more."""


class Aria2Server:
    """`run` keeps one aria2 running; `transfers` is the table of ours.

    When aria2 dies, every transfer in the table becomes LOST, and whoever owns one may add it anew.
    """

    def __init__(
        self,
        *,
        scratch: Path,
        aria2c: str,
        isolation: Isolation,
        lock: Path,
        serve_proxy: Callable[[socket.socket], Coroutine[Any, Any, None]],
        heard: Callable[[str], None],
        last_words: Callable[[], Sequence[str]],
        slots: int,
        stall_limit: float,
        ca_bundle: str = "",
        answer_limit: float = 10.0,
        autosave: int = 1,
        called: str = "aria2",
    ) -> None:
        """`stall_limit`: seconds without a byte before a transfer is marked as stalled. `answer_limit`: seconds
        before an aria2 that does not answer is killed. `autosave`: seconds between two saves of partial files.
        `called`: what the log names it.
        `heard` gets each line that aria2 writes; `last_words` returns the latest of them, for a warning."""
        self._scratch = scratch
        self._aria2c = aria2c
        self._isolation = isolation
        self._lock = lock
        self._serve_proxy = serve_proxy
        self._heard = heard
        self._last_words = last_words
        self._stall_limit = stall_limit
        self._ca_bundle = ca_bundle
        self._answer_limit = answer_limit
        self._autosave = autosave
        self._called = called
        self.transfers = Ledger(slots=slots, stall_limit=stall_limit)
        self._up = asyncio.Event()
        self.respawns = 0
        """How often it had to be started anew."""
        self._proxy_port = 0
        self._unanswered = False
        self._distrusted = ""
        self._breach = ""

    # --- for the owners of transfers ------------------------------------------------------------------------

    def set_slots(self, slots: int) -> None:
        """How many transfers run at once, from now on; those above it finish."""
        self.transfers.set_slots(slots)

    async def ready(self) -> None:
        """Waits until aria2 runs."""
        await self._up.wait()

    def proxy_for(self, owner: str) -> str:
        """The way out for transfers of `owner`; valid while aria2 is up.

        Where the network is aria2's alone, all of 127.0.0.0/8 is the proxy's, and by an address of his own the
        proxy knows the owner. Outside a sandbox it listens on one address only.
        """
        return f"http://{self.address_of(owner)}:{self._proxy_port}"

    def address_of(self, owner: str) -> str:
        """By what the proxy knows that a connection is for this owner; outside a sandbox all are alike."""
        return address_of(owner) if self._isolation is Isolation.NAMESPACE else "127.0.0.1"

    @property
    def up(self) -> bool:
        return self._up.is_set()

    # --- its life -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keeps an aria2 running, for ever. Raises SandboxTrouble if the very first one cannot be started, and Breach
        whenever a sandbox does not hold."""
        pause, lived = FIRST_PAUSE, False
        while True:
            try:
                served = await self._one_life()
                lived = True
                self.respawns += 1
            except SandboxTrouble as trouble:
                if not lived or isinstance(trouble, Breach):
                    raise
                served = False
                log.error("%s; trying again in %.1f s", trouble, pause)
            if served:  # it works; who brings it down is dealt with elsewhere, and nobody else shall wait for that
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)

    async def _one_life(self) -> bool:
        """Returns whether it ever was up."""
        secret = secrets.token_hex(32)
        conf = Conf(
            secret=secret,
            slots=self.transfers.open_anew(),
            silence=min(600, int(self._stall_limit) + 30),
            autosave=self._autosave,
            ca_bundle=self._ca_bundle,
        )
        suspicious = False
        try:
            async with Sandbox.opened(
                scratch=self._scratch,
                aria2c=self._aria2c,
                isolation=self._isolation,
                arguments=ARGUMENTS,
                conf=conf.text(),
                memory=memory_for(conf.slots),
                lock=self._lock,
                heard=self._heard,
                ca_bundle=self._ca_bundle,
            ) as sandbox:
                self._proxy_port = sandbox.proxy_port
                suspicious = await self._until_death(sandbox, secret)
        finally:
            served = self._up.is_set()
            self._up.clear()
            self.transfers.bury(suspicious)
        return served

    async def _until_death(self, sandbox: Sandbox, secret: str) -> bool:
        """Serves until aria2 is dead; returns whether that may be the fault of what it was doing.

        Somebody else's SIGKILL is nobody's fault: neither an operator's nor that of a kernel without memory.
        """
        self._unanswered = False
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._serve_proxy(sandbox.listener), name="egress proxy of aria2"),
                group.create_task(self._talk(sandbox, secret), name="talk with aria2"),
            ]
            try:
                death = await sandbox.ended()
            finally:
                await ended(others)
        if self._breach:
            raise Breach(self._breach, "the daemon does not work like this; is it a changed bwrap or kernel?")
        if self._distrusted:
            raise SandboxTrouble(
                f"{self._called} does not keep to its settings: {self._distrusted}", "a changed aria2c?"
            )
        log.warning("%s is gone (%s); its last words: %s", self._called, death, self._quoted())
        return self._unanswered or death.signal != signal.SIGKILL

    def _quoted(self) -> str:
        return " | ".join(list(self._last_words())[-5:]) or "none"

    # --- one connection -------------------------------------------------------------------------------------

    async def _talk(self, sandbox: Sandbox, secret: str) -> None:
        """Keeps a connection while aria2 lives; kills an aria2 that does not answer."""
        misses = 0
        while misses < 5:
            try:
                async with self._connected(sandbox, secret) as rpc, asyncio.TaskGroup() as group:
                    group.create_task(rpc.listen(), name="what aria2 says")
                    await self._introduce(rpc, sandbox)
                    misses = 0
                    group.create_task(self._watch_the_walls(rpc, sandbox), name="test of the sandbox's walls")
                    await self.transfers.keep(rpc)
            except* Silent as silent:
                log.warning("%s: killing it", silent.exceptions[0])
                self._unanswered, misses = True, 5
            except* (Gone, RpcError) as lost:
                misses += 1
                log.debug("aria2: %s", lost.exceptions[0])
            except* _Breached as hole:
                self._breach, misses = str(hole.exceptions[0]), 5
            except* _Distrusted as other:
                self._distrusted, misses = str(other.exceptions[0]), 5
            await asyncio.sleep(0.05 * misses)
        sandbox.kill()
        await asyncio.Event().wait()  # whoever sees it dead ends this task

    @asynccontextmanager
    async def _connected(self, sandbox: Sandbox, secret: str) -> AsyncIterator[Aria2Rpc]:
        try:
            (way,) = await sandbox.sockets(1)
        except ConnectionError as error:
            raise Gone("the sandbox is gone") from error
        async with Aria2Rpc.connected(
            sandbox.rpc_port,
            token=secret,
            limit=self._answer_limit,
            on_event=self.transfers.on_event,
            socket_factory=lambda: way,
        ) as rpc:
            yield rpc

    async def _watch_the_walls(self, rpc: Aria2Rpc, sandbox: Sandbox) -> None:
        while True:
            await asyncio.sleep(WALLS_EVERY)
            await self._test_the_walls(rpc, sandbox)

    async def _test_the_walls(self, rpc: Aria2Rpc, sandbox: Sandbox) -> None:
        if self._isolation is not Isolation.NAMESPACE:
            return  # there are none, and every start warns of it
        try:
            hole = await breach(sandbox, rpc, self._lock)
        except ConnectionResetError as error:
            raise Gone("the sandbox is gone") from error
        if hole:
            raise _Breached(hole)

    async def _introduce(self, rpc: Aria2Rpc, sandbox: Sandbox) -> None:
        """After each connect: is it the aria2 that we meant, and what became of our transfers?"""
        await rpc.call("changeGlobalOption", {"all-proxy": f"http://127.0.0.1:{sandbox.proxy_port}"})
        wrong = misheard(await rpc.call("getGlobalOption"))
        if wrong:
            raise _Distrusted(", ".join(wrong))
        await self._test_the_walls(rpc, sandbox)
        await self.transfers.reconcile(rpc)
        self._up.set()
        log.info("%s is up", self._called)


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels until it is heard: a TaskGroup before Python 3.13 loses a cancellation that comes in the moment when one
    of its children fails, and the death of aria2 is such a moment (cpython issue 116720). For that reason it goes on
    when it is cancelled itself meanwhile: a TaskGroup around it would cancel only once."""
    cancelled = None
    while going := [task for task in tasks if not task.done()]:
        for task in going:
            task.cancel()
        try:
            await asyncio.wait(going, timeout=HEARING)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class _Breached(Exception):
    """The sandbox does not hold: a sentence says how."""


class _Distrusted(Exception):
    """aria2 says that options are not as we set them."""
