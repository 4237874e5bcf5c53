"""Our transfers and aria2's, kept in step over one connection: in turns, one message a turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from odl_daemon.download.rpc import Aria2Rpc, Call, RpcError
from odl_daemon.download.transfer import Part, State, Transfer

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


class Ledger:
    """The table of our transfers.

    `add` and `closing` only write into it and ring. `keep` carries everything out in turns, one message to aria2
    with all that is due; it is awaited before the next, so that what is asked and what is told never cross.
    aria2's notifications ring too; what is true is asked.
    """

    def __init__(self, *, slots: int, stall_limit: float) -> None:
        self.slots = slots
        self._told_slots = slots
        self._stall_limit = stall_limit
        self._table: dict[str, Transfer] = {}
        self._new: dict[str, Transfer] = {}
        self._doubtful: dict[str, Transfer] = {}
        self._finished: list[str] = []
        self._bell = asyncio.Event()

    # --- for the owners of transfers ------------------------------------------------------------------------

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

    async def over(self) -> None:
        """Waits until all transfers that are here now are gone."""
        for transfer in list(self._table.values()):
            await transfer.gone.wait()

    def set_slots(self, slots: int) -> None:
        """How many transfers run at once; those above it finish."""
        self.slots = slots
        self._bell.set()

    # --- for the server -------------------------------------------------------------------------------------

    def open_anew(self) -> int:
        """A new aria2 is about to begin; returns the slots that it must be told."""
        self._told_slots = self.slots
        return self.slots

    def bury(self, suspicious: bool) -> None:
        """Nothing of the dead aria2 can touch a folder any longer: all its transfers are lost, or gone. `suspicious`:
        it crashed or froze, and one of them may be the cause."""
        if suspicious:
            _give_parts(self._table.values())
        self._new.clear()
        self._doubtful.clear()
        self._finished.clear()
        for transfer in list(self._table.values()):
            transfer.ends(State.LOST)
            if transfer.closing:
                self._let_go(transfer)

    async def reconcile(self, rpc: Aria2Rpc) -> None:
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
        self._bell.set()

    # --- turns ----------------------------------------------------------------------------------------------

    async def keep(self, rpc: Aria2Rpc) -> None:
        """Takes turns for ever. Raises Gone or Silent."""
        tick, reconcile = _now() + TICK, _now() + ROUND
        while True:
            await self._rung(tick)
            now = _now()
            look = now >= tick and bool(self._table)
            await self._turn(rpc, look)
            if now >= tick:
                tick = now + TICK
            if self._table and now >= reconcile:
                await self.reconcile(rpc)
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
        if self.slots != self._told_slots:
            wanted = self.slots
            await rpc.call("changeGlobalOption", {"max-concurrent-downloads": str(wanted)})
            self._told_slots = wanted

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
        else:
            transfer.lines_up()

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
                transfer.lines_up()
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

    def on_event(self, method: str, gid: str) -> None:
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


def _give_parts(transfers: Iterable[Transfer]) -> None:
    """Who is to blame for a crash: those that aria2 had in its hands and of which nothing new had come, for it is an
    answer's head that kills; where there are none, all that it had in its hands."""
    present = []
    for transfer in transfers:
        transfer.part = Part.PRESENT if transfer.in_hands else Part.BYSTANDER
        if transfer.in_hands:
            present.append(transfer)
    for transfer in [each for each in present if not each.grew] or present:
        transfer.part = Part.BLAMED


def _add(transfer: Transfer) -> Call:
    position = (0,) if transfer.first else ()
    return Call("aria2.addUri", ([transfer.url], {"gid": transfer.gid, **transfer.options}, *position))


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
