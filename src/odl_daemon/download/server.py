"""The one aria2 in its sandbox: started, watched, replaced when it dies, and kept in step with our own table."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from odl_daemon.download.conf import ARGUMENTS, Conf, misheard
from odl_daemon.download.rpc import Aria2Rpc, Call, Gone, RpcError, Silent
from odl_daemon.download.sandbox import Isolation, Sandbox, SandboxTrouble
from odl_daemon.download.transfer import State, Transfer, address_of

log = logging.getLogger(__name__)

BATCH: Final = 400
"""Calls in one message at most: aria2 answers nobody else while it works one off."""

TICK: Final = 0.5
"""Seconds between two looks at what runs."""

ROUND: Final = 30.0
"""Seconds between two reconciles."""

_KEYS: Final = ["status", "completedLength", "totalLength", "downloadSpeed", "errorCode", "errorMessage"]
_LIVE_KEYS: Final = ["gid", "completedLength", "totalLength", "downloadSpeed"]
_START: Final = "aria2.onDownloadStart"
_UNKNOWN_TO_ARIA2: Final = frozenset({"removed"})


class Aria2Server:
    """Owns aria2 and the table of our transfers.

    `add` and `closing` only write into the table and ring; one loop carries everything out in turns: each
    turn is one message to aria2 with all that is due. aria2's notifications ring too; what is true is asked.
    When aria2 dies, every transfer in the table becomes LOST, and whoever owns one may add it anew.
    """

    def __init__(
        self,
        *,
        scratch: Path,
        aria2c: str,
        isolation: Isolation,
        lock: Path,
        serve_proxy: Callable[[socket.socket], Any],
        heard: Callable[[str], None],
        last_words: Callable[[], Sequence[str]],
        slots: int,
        stall_limit: float,
        ca_bundle: str = "",
        answer_limit: float = 10.0,
        autosave: int = 10,
    ) -> None:
        """`stall_limit`: seconds without a byte before a transfer is marked as stalled. `answer_limit`: seconds
        before an aria2 that does not answer is killed. `autosave`: seconds between two saves of partial files."""
        self._scratch = scratch
        self._aria2c = aria2c
        self._isolation = isolation
        self._lock = lock
        self._serve_proxy = serve_proxy
        self._heard = heard
        self._last_words = last_words
        self._slots = slots
        self._stall_limit = stall_limit
        self._ca_bundle = ca_bundle
        self._answer_limit = answer_limit
        self._autosave = autosave
        self._table: dict[str, Transfer] = {}
        self._new: dict[str, Transfer] = {}
        self._doubtful: dict[str, Transfer] = {}
        self._finished: list[str] = []
        self._wanted_slots = slots
        self._bell = asyncio.Event()
        self._up = asyncio.Event()
        self._proxy_port = 0
        self._unanswered = False

    # --- for the owners of transfers ------------------------------------------------------------------------

    async def ready(self) -> None:
        """Waits until aria2 runs."""
        await self._up.wait()

    def proxy_for(self, owner: str) -> str:
        """The way out for transfers of `owner`; valid while aria2 is up.

        Where the network is aria2's alone, all of 127.0.0.0/8 is the proxy's, and by an address of his own the
        proxy knows the owner. Outside a sandbox it listens on one address only.
        """
        address = address_of(owner) if self._isolation is Isolation.NAMESPACE else "127.0.0.1"
        return f"http://{address}:{self._proxy_port}"

    @property
    def up(self) -> bool:
        return self._up.is_set()

    def add(self, transfer: Transfer) -> None:
        """Hands a transfer over. Its GID must be new, or its last holder `gone`."""
        self._table[transfer.gid] = transfer
        self._new[transfer.gid] = transfer
        self._bell.set()

    def closing(self, transfer: Transfer) -> None:
        """Says that its owner has left: the server ends it, and sets `gone` when that is sure."""
        if transfer.closing:
            return
        transfer.closing = True
        if transfer.ended or not transfer.sent:
            self._let_go(transfer)
        else:
            self._doubtful[transfer.gid] = transfer
            self._bell.set()

    def set_slots(self, slots: int) -> None:
        """How many transfers run at once; those above it finish."""
        self._wanted_slots = slots
        self._bell.set()

    # --- its life -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keeps an aria2 running, for ever. Raises SandboxTrouble if the very first one cannot be started."""
        pause, lived = 0.1, False
        while True:
            began = _now()
            try:
                await self._one_life()
                lived = True
            except SandboxTrouble as trouble:
                if not lived:
                    raise
                log.error("%s; trying again in %.1f s", trouble, pause)
            if _now() - began > 60:
                pause = 0.1
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10.0)

    async def _one_life(self) -> None:
        secret = secrets.token_hex(32)
        conf = Conf(
            secret=secret,
            slots=self._wanted_slots,
            silence=min(600, int(self._stall_limit) + 30),
            autosave=self._autosave,
            ca_bundle=self._ca_bundle,
        )
        self._slots = self._wanted_slots
        suspicious = False
        try:
            async with Sandbox.opened(
                scratch=self._scratch,
                aria2c=self._aria2c,
                isolation=self._isolation,
                arguments=ARGUMENTS,
                conf=conf.text(),
                lock=self._lock,
                heard=self._heard,
                ca_bundle=self._ca_bundle,
            ) as sandbox:
                self._proxy_port = sandbox.proxy_port
                suspicious = await self._until_death(sandbox, secret)
        finally:
            self._up.clear()
            self._bury(suspicious)

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
            death = await sandbox.ended()
            for other in others:
                other.cancel()
        log.warning("aria2 is gone (%s) and will be started anew; its last words: %s", death, self._quoted())
        return self._unanswered or death.signal != signal.SIGKILL

    def _quoted(self) -> str:
        return " | ".join(self._last_words()) or "none"

    def _bury(self, suspicious: bool) -> None:
        """Nothing of the dead aria2 can touch a folder any longer: all its transfers are lost, or gone."""
        self._new.clear()
        self._doubtful.clear()
        self._finished.clear()
        for transfer in list(self._table.values()):
            in_its_hands = transfer.state is State.RUNNING or (transfer.state is State.NEW and transfer.sent)
            transfer.blamed = suspicious and in_its_hands and not transfer.fed
            transfer.ends(State.LOST)
            if transfer.closing:
                self._let_go(transfer)

    # --- one connection -------------------------------------------------------------------------------------

    async def _talk(self, sandbox: Sandbox, secret: str) -> None:
        """Keeps a connection while aria2 lives; kills an aria2 that does not answer."""
        misses = 0
        while misses < 5:
            try:
                async with self._connected(sandbox, secret) as rpc, asyncio.TaskGroup() as group:
                    group.create_task(rpc.listen(), name="what aria2 says")
                    await self._introduce(rpc, sandbox.proxy_port)
                    misses = 0
                    await self._take_turns(rpc)
            except* Silent as silent:
                log.warning("%s: killing it", silent.exceptions[0])
                self._unanswered, misses = True, 5
            except* (Gone, RpcError) as lost:
                misses += 1
                log.debug("aria2: %s", lost.exceptions[0])
            await asyncio.sleep(0.05 * misses)
        sandbox.kill()
        await asyncio.Event().wait()  # whoever sees it dead ends this task

    @asynccontextmanager
    async def _connected(self, sandbox: Sandbox, secret: str) -> AsyncIterator[Aria2Rpc]:
        sockets = await sandbox.sockets(1)
        async with Aria2Rpc.connected(
            sandbox.rpc_port,
            token=secret,
            limit=self._answer_limit,
            on_event=self._on_event,
            socket_factory=sockets.pop,
        ) as rpc:
            yield rpc

    async def _introduce(self, rpc: Aria2Rpc, proxy_port: int) -> None:
        """After each connect: is it the aria2 that we meant, and what became of our transfers?"""
        await rpc.call("changeGlobalOption", {"all-proxy": f"http://127.0.0.1:{proxy_port}"})
        wrong = misheard(await rpc.call("getGlobalOption"))
        if wrong:
            raise RuntimeError(f"aria2 does not keep to its settings: {', '.join(wrong)}")
        await self._reconcile(rpc)
        self._up.set()
        log.info("aria2 is up")

    async def _reconcile(self, rpc: Aria2Rpc) -> None:
        """Ends what aria2 has and we don't; asks for everything that we have."""
        ours = set(self._table)
        live, stopped = await _known_to(rpc)
        for gid in live - ours - self._table.keys():
            log.warning("aria2 has a transfer %s that is none of ours: removing it", gid)
        await _tolerant(rpc, [Call("aria2.forceRemove", (gid,)) for gid in live - ours - self._table.keys()])
        await _tolerant(rpc, [Call("aria2.removeDownloadResult", (gid,)) for gid in stopped - ours])
        for gid in ours & self._table.keys():
            transfer = self._table[gid]
            if not transfer.ended:
                (self._doubtful if transfer.state is not State.NEW else self._new)[gid] = transfer

    # --- turns ----------------------------------------------------------------------------------------------

    async def _take_turns(self, rpc: Aria2Rpc) -> None:
        tick, reconcile = _now() + TICK, _now() + ROUND
        while True:
            await self._rung(tick)
            now = _now()
            look = now >= tick and bool(self._table)
            await self._turn(rpc, look)
            if now >= tick:
                tick = now + TICK
            if self._table and now >= reconcile:
                await self._reconcile(rpc)
                reconcile = now + ROUND

    async def _rung(self, tick: float) -> None:
        """Waits for a bell; while something is in the table no longer than until `tick`."""
        try:
            async with asyncio.timeout_at(tick if self._table else None):
                await self._bell.wait()
        except TimeoutError:
            return
        self._bell.clear()

    async def _turn(self, rpc: Aria2Rpc, look: bool) -> None:
        """One message with everything that is due, and what its answers mean."""
        await self._keep_slots(rpc)
        finished, self._finished = self._finished, []
        new = self._take(self._new, BATCH)
        doubtful = [(transfer, transfer.closing) for transfer in self._take(self._doubtful, BATCH)]
        calls = [Call("aria2.removeDownloadResult", (gid,)) for gid in finished]  # first: a GID may come again
        calls += [_add(transfer) for transfer in new]
        for transfer, closing in doubtful:
            calls += [Call("aria2.forceRemove", (transfer.gid,))] if closing else []
            calls.append(Call("aria2.tellStatus", (transfer.gid, _KEYS)))
        calls += [Call("aria2.tellActive", (_LIVE_KEYS,))] if look else []
        if not calls:
            return
        for transfer in new:
            transfer.sent = True
        answers = iter((await rpc.batch(calls))[len(finished) :])
        for transfer in new:
            self._added(transfer, next(answers))
        for transfer, closing in doubtful:
            if closing:
                next(answers)  # whether it could still be removed: its status says it better
            self._told(transfer, next(answers))
        if look:
            self._looked(next(answers))

    async def _keep_slots(self, rpc: Aria2Rpc) -> None:
        if self._wanted_slots != self._slots:
            wanted = self._wanted_slots
            await rpc.call("changeGlobalOption", {"max-concurrent-downloads": str(wanted)})
            self._slots = wanted

    def _take(self, some: dict[str, Transfer], limit: int) -> list[Transfer]:
        """Takes out up to `limit`; what remains rings for the next turn."""
        taken = list(some.values())[:limit]
        for transfer in taken:
            del some[transfer.gid]
        if some:
            self._bell.set()
        return taken

    def _added(self, transfer: Transfer, answer: Any) -> None:
        if isinstance(answer, RpcError):
            # Refused may mean: had it already, and our connection broke before we heard so. Ask.
            transfer.message = answer.message
            self._doubt(transfer)
        elif transfer.closing:
            self._doubt(transfer)
        elif transfer.state is State.NEW:  # its start is often told before the answer comes
            transfer.state = State.LINED_UP

    def _told(self, transfer: Transfer, answer: Any) -> None:
        """Takes what aria2 says of a transfer that we asked for."""
        if transfer.ended:
            return
        if isinstance(answer, RpcError):
            if transfer.state is State.NEW and transfer.message:
                self._end(transfer, State.REFUSED, message=transfer.message)
            else:
                self._end(transfer, State.LOST)
            return
        match answer["status"]:
            case "active":
                transfer.runs(_now())
                transfer.reports(*_figures(answer), _now())
            case "waiting" | "paused":
                if transfer.state is State.NEW:
                    transfer.state = State.LINED_UP
            case "complete":
                transfer.reports(*_figures(answer), _now())
                self._finished.append(transfer.gid)
                self._end(transfer, State.COMPLETE)
            case "removed":
                self._finished.append(transfer.gid)
                self._end(transfer, State.LOST)
            case _:
                transfer.reports(*_figures(answer), _now())
                self._finished.append(transfer.gid)
                self._end(transfer, State.FAILED, int(answer.get("errorCode", 1)), answer.get("errorMessage", ""))

    def _looked(self, answer: Any) -> None:
        """Takes the figures of everything that runs; doubts what we thought runs and does not."""
        if isinstance(answer, RpcError):
            return
        now, running = _now(), set()
        for item in answer:
            running.add(item["gid"])
            transfer = self._table.get(item["gid"])
            if transfer is not None and not transfer.ended:
                transfer.runs(now)
                transfer.reports(*_figures(item), now)
                self._mark_stalled(transfer, now)
        for gid, transfer in self._table.items():
            if transfer.closing or (transfer.state is State.RUNNING and gid not in running):
                self._doubt(transfer)

    def _mark_stalled(self, transfer: Transfer, now: float) -> None:
        if now - transfer.moved > self._stall_limit and not transfer.stalled:
            transfer.stalled = True
            transfer.ring()

    # --- the table ------------------------------------------------------------------------------------------

    def _on_event(self, method: str, gid: str) -> None:
        transfer = self._table.get(gid)
        if transfer is None:
            return
        if method == _START and not transfer.closing:
            transfer.runs(_now())  # the one notification that is taken at its word: it only starts a clock
        else:
            self._doubt(transfer)

    def _doubt(self, transfer: Transfer) -> None:
        self._doubtful[transfer.gid] = transfer
        self._bell.set()

    def _end(self, transfer: Transfer, state: State, code: int = 0, message: str = "") -> None:
        transfer.ends(state, code, message)
        if transfer.closing:
            self._let_go(transfer)

    def _let_go(self, transfer: Transfer) -> None:
        if self._table.get(transfer.gid) is transfer:
            del self._table[transfer.gid]
        self._new.pop(transfer.gid, None)
        transfer.gone.set()
        if self._finished:
            self._bell.set()


def _add(transfer: Transfer) -> Call:
    return Call("aria2.addUri", ([transfer.url], {"gid": transfer.gid, **transfer.options}))


def _figures(item: Mapping[str, str]) -> tuple[int, int | None, int]:
    """Done, total (aria2 says 0 while it does not know), speed."""
    return int(item["completedLength"]), int(item["totalLength"]) or None, int(item["downloadSpeed"])


async def _known_to(rpc: Aria2Rpc) -> tuple[set[str], set[str]]:
    """The GIDs that aria2 has, alive and stopped."""
    active, waiting, stopped = await rpc.batch(
        [
            Call("aria2.tellActive", (["gid"],)),
            Call("aria2.tellWaiting", (0, 100_000, ["gid"])),
            Call("aria2.tellStopped", (0, 100_000, ["gid"])),
        ]
    )
    for answer in (active, waiting, stopped):
        if isinstance(answer, RpcError):
            raise answer
    return {item["gid"] for item in [*active, *waiting]}, {item["gid"] for item in stopped}


async def _tolerant(rpc: Aria2Rpc, calls: Sequence[Call]) -> None:
    """Makes calls whose refusal means that they were not needed any more."""
    for start in range(0, len(calls), BATCH):
        await rpc.batch(calls[start : start + BATCH])


def _now() -> float:
    return asyncio.get_running_loop().time()
