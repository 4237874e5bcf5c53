"""aria2's JSON-RPC over one websocket, for the life of one connection."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aioaria2 import Aria2WebsocketClient

_dumps = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_loads = json.JSONDecoder().decode


class RpcError(Exception):
    """aria2 refused a call."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message


class Gone(Exception):
    """The connection to aria2 is lost: whether the call was heard is not known."""


class Silent(Exception):
    """aria2 holds the connection but does not answer in time."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a batch: the method with its prefix, and its parameters without the token."""

    method: str
    params: tuple[Any, ...] = ()


class Aria2Rpc(Aria2WebsocketClient):  # type: ignore[misc, unused-ignore]
    """One connection. It never connects again and never sends a call twice: both are for whoever knows what
    a call means.

    `listen` must run in a task of the caller. `on_event(method, gid)` is called in the order in which aria2
    sent its notifications, and must only take a note.
    """

    def __init__(
        self,
        link: aiohttp.ClientWebSocketResponse,
        *,
        token: str,
        limit: float,
        on_event: Callable[[str, str], None],
    ) -> None:
        # The parent's own __init__ makes a session and counts ids for all connections of the program together.
        super(Aria2WebsocketClient, self).__init__("", self._next_id, "normal", token)
        self.client_session = link
        self._limit = limit
        self._on_event = on_event
        self._counted = 0
        self._pending: dict[int, asyncio.Future[Any]] = {}

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        port: int,
        *,
        token: str,
        limit: float,
        on_event: Callable[[str, str], None],
        socket_factory: Callable[[], socket.socket] | None = None,
    ) -> AsyncIterator[Aria2Rpc]:
        """Connects to aria2 on `port`; `limit` is the seconds that any call may take. Raises Gone."""
        factory = None if socket_factory is None else (lambda _address: socket_factory())
        connector = aiohttp.TCPConnector(socket_factory=factory)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with asyncio.timeout(limit):
                    # heartbeat: a frozen aria2 is noticed though nothing is asked of it
                    link = await session.ws_connect(
                        f"ws://127.0.0.1:{port}/jsonrpc", heartbeat=20, max_msg_size=0, compress=0
                    )
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                raise Gone(f"no connection to aria2: {error or type(error).__name__}") from error
            try:
                yield cls(link, token=token, limit=limit, on_event=on_event)
            finally:
                await link.close()

    async def listen(self) -> None:
        """Hears answers and notifications until the connection ends, then fails every pending call and raises
        Gone."""
        try:
            async for message in self.client_session:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(message.data)
        finally:
            self._lose()
        raise Gone("the connection to aria2 is lost")

    async def call(self, method: str, *params: Any) -> Any:
        """Calls one method of aria2 ("tellStatus"). Raises RpcError, Gone or Silent."""
        return await self.jsonrpc(method, list(params))

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Makes several calls in one message; each answer is the call's result or its RpcError, in order.
        Raises Gone or Silent."""
        token = f"token:{self.token}"
        wrapped = [{"methodName": call.method, "params": [token, *call.params]} for call in calls]
        answers = await self.send_request(
            {"jsonrpc": "2.0", "id": self._next_id(), "method": "system.multicall", "params": [wrapped]}
        )
        return [_answer(answer) for answer in answers]

    async def multicall(self, methods: list[dict[str, Any]]) -> list[Any]:
        """As the parent's, but leaves the caller's lists alone."""
        return await super().multicall([{**method, "params": list(method.get("params", ()))} for method in methods])  # type: ignore[no-any-return, unused-ignore]

    async def send_request(self, req_obj: dict[str, Any]) -> Any:
        """Sends one request, once, and returns its result. Raises RpcError, Gone or Silent."""
        if self.client_session.closed:
            raise Gone("the connection to aria2 is lost")
        number = req_obj["id"]
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            async with asyncio.timeout(self._limit):
                await self.client_session.send_str(_dumps(req_obj))
                return await answer
        except TimeoutError as error:
            raise Silent(f"aria2 did not answer within {self._limit:g} s") from error
        except (ConnectionError, aiohttp.ClientError) as error:
            raise Gone("the connection to aria2 is lost") from error
        finally:
            del self._pending[number]

    async def close(self) -> None:
        await self.client_session.close()

    def _next_id(self) -> int:
        self._counted += 1
        return self._counted

    def _hear(self, text: str) -> None:
        try:
            message = _loads(text)
        except ValueError:
            return  # aria2 sends broken text for some hostile names: the call ends as Silent, its owner asks anew
        if not isinstance(message, dict):
            return
        if "method" in message:
            for event in message.get("params") or ():
                self._on_event(message["method"], str(event.get("gid", "")))
            return
        answer = self._pending.get(message.get("id", 0))
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(_error(message["error"]))
        else:
            answer.set_result(message.get("result"))

    def _lose(self) -> None:
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(Gone("the connection to aria2 is lost"))


def _answer(answer: Any) -> Any:
    """The manual: a result comes as a list of one item, a fault as a mapping."""
    return answer[0] if isinstance(answer, list) else _error(answer)


def _error(error: Mapping[str, Any]) -> RpcError:
    return RpcError(int(error.get("code", 0)), str(error.get("message", "")))
