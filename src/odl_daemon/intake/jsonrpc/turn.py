"""One message of a client, from its text to the text of its answer: who speaks, how much he may ask, and the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from odl_daemon.intake.jsonrpc.methods import Client, Methods
from odl_daemon.intake.jsonrpc.notices import NOTICES
from odl_daemon.intake.jsonrpc.options import Place
from odl_daemon.intake.jsonrpc.params import Params
from odl_daemon.intake.jsonrpc.protocol import (
    AWAY,
    FAILED,
    INVALID_REQUEST,
    Call,
    Fault,
    encode,
    fault_struct,
    fault_text,
    parse,
    result_text,
)
from odl_daemon.model.keys import Principal
from odl_daemon.ports import AccountsAway, StoreAway

Recognise = Callable[[str], Awaitable[Principal | None]]
"""Tells whose token this is; None if it is nobody's."""

MOST_CALLS: Final = 500
"""In one message, those within system.multicall counted too."""

MOST_LINKS: Final = 100
"""Calls of addUri in one message."""

LONGEST_ANSWER: Final = 8 << 20
"""Characters; what is asked for beyond them is refused."""

LONGEST_TOKEN: Final = 500

ANSWER_LIMIT: Final = 30.0
"""Seconds until a client hears of what is not done by then that there is no answer: proxies give up after a minute."""

A_MOMENT: Final = 1.0
"""Seconds that a message may wait, all its calls together, for what it asked to come true."""

_TOKEN: Final = "token:"
_ADD: Final = "aria2.addUri"
_MULTICALL: Final = "system.multicall"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said back."""

    text: str
    code: int = 0
    """Of the fault of a message that is one call."""


class Turn:
    """A client has said something, and is answered. Calls are done one after the other, in their order."""

    def __init__(self, methods: Methods, recognise: Recognise, place: Place, *, moment: float = A_MOMENT) -> None:
        self._methods = methods
        self._recognise = recognise
        self._place = place
        now = asyncio.get_running_loop().time()
        self._until, self._deadline = now + moment, now + ANSWER_LIMIT
        self._calls = self._links = self._length = 0
        self._known: dict[str, Principal | None] = {}
        self.speaker: tuple[str, Principal] | None = None
        """The last good token that was shown, and whose it is."""

    async def answer(self, said: bytes | str) -> Answer:
        """Whatever was said is answered."""
        try:
            message = parse(said)
        except Fault as fault:
            return Answer(fault_text(None, fault), fault.code)
        if message.is_batch:
            return await self._answer_batch(message.calls)
        return await self._answer(message.calls[0])

    async def _answer_batch(self, calls: Sequence[Call]) -> Answer:
        if len(calls) > MOST_CALLS:
            fault = Fault(INVALID_REQUEST, f"a batch has {MOST_CALLS} calls at most")
            return Answer(fault_text(None, fault), fault.code)
        answers = [(await self._answer(call)).text for call in calls]
        return Answer(f"[{','.join(answers)}]")

    async def _answer(self, call: Call) -> Answer:
        try:
            if call.fault is not None:
                raise call.fault
            return Answer(result_text(call.id, await self._result(call.method, call.params)))
        except Fault as fault:
            return Answer(fault_text(call.id, fault), fault.code)

    async def _result(self, method: str, params: Sequence[object]) -> str:
        """As JSON. Raises Fault."""
        self._count(method)
        match method:
            case "system.multicall":
                return await self._multicall(Params(params).structs(0))
            case "system.listMethods":
                return encode(self._methods.names)
            case "system.listNotifications":
                return encode(NOTICES)
        result = encode(await self._in_time(method, params))
        self._length += len(result)
        return result

    async def _in_time(self, method: str, params: Sequence[object]) -> object:
        if self._methods.away():
            raise Fault(AWAY, "the database does not answer: try again in a moment")
        try:
            async with asyncio.timeout_at(self._deadline):
                client, params = await self._authorise(params)
                return await self._methods.call(method, client, Params(params))
        except (StoreAway, AccountsAway) as away:
            raise Fault(AWAY, str(away)) from away
        except TimeoutError as late:  # what waits for the database is done as soon as it answers
            raise Fault(AWAY, "the database does not answer: look whether it was done before you try again") from late

    def _count(self, method: str) -> None:
        self._calls += 1
        self._links += method == _ADD
        if self._calls > MOST_CALLS:
            raise Fault(FAILED, f"a message has {MOST_CALLS} calls at most: this one was not carried out")
        if self._links > MOST_LINKS:
            raise Fault(FAILED, f"a message has {MOST_LINKS} links at most: this one was not taken")
        if self._length > LONGEST_ANSWER:
            raise Fault(FAILED, "the answer grew too long: this call was not carried out; ask in several messages")

    async def _multicall(self, calls: Sequence[object]) -> str:
        return f"[{','.join([await self._inner(call) for call in calls])}]"

    async def _inner(self, call: object) -> str:
        """The result of a call within a call, in a list; or the struct of its fault."""
        try:
            method, params = _inner_call(call)
            return f"[{await self._result(method, params)}]"
        except Fault as fault:
            return encode(fault_struct(fault))

    async def _authorise(self, params: Sequence[object]) -> tuple[Client, Sequence[object]]:
        """The client by the token in the first parameter, and the parameters after it. Raises Fault."""
        first = params[0] if params else None
        if not isinstance(first, str) or not first.startswith(_TOKEN):
            raise Fault(FAILED, "Unauthorized")
        token = first.removeprefix(_TOKEN)
        if token not in self._known:
            self._known[token] = await self._recognise(token) if _may_be_a_token(token) else None
        principal = self._known[token]
        if principal is None or not principal.owner:  # the tasks of nobody would be those of everybody
            raise Fault(FAILED, "Unauthorized")
        self.speaker = token, principal
        return Client(principal.owner, self._place, self._until), params[1:]


def _inner_call(call: object) -> tuple[str, Sequence[object]]:
    if not isinstance(call, dict):
        raise Fault(FAILED, "system.multicall expected struct.")
    method, params = call.get("methodName"), call.get("params")
    if not isinstance(method, str):
        raise Fault(FAILED, "Missing methodName.")
    if method == _MULTICALL:
        raise Fault(FAILED, "Recursive system.multicall forbidden.")
    return method, params if isinstance(params, list) else []


def _may_be_a_token(token: str) -> bool:
    return 0 < len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable()
