"""/jsonrpc, by POST and by websocket.

Nobody is known here by anything but the token within a call: cookies are not looked at. That is why pages and
extensions of any origin may come in, and why no Origin is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import WSCloseCode, web

from odl_daemon.engine.desk import Desk
from odl_daemon.engine.news import News
from odl_daemon.intake.jsonrpc.methods import Methods
from odl_daemon.intake.jsonrpc.options import Place, place_of
from odl_daemon.intake.jsonrpc.protocol import AWAY, INVALID_REQUEST, NO_METHOD, Fault, fault_text
from odl_daemon.intake.jsonrpc.talk import Talk
from odl_daemon.intake.jsonrpc.turn import Answer, Recognise, Turn

PATH: Final = "/jsonrpc{tail:(/.*)?}"
"""What comes after it names a library and a folder."""

LONGEST_MESSAGE: Final = 512 << 10
"""Bytes."""

BODY_LIMIT: Final = 30.0
"""Seconds that a body may take to come."""

MOST_AT_ONCE: Final = 100
"""Messages that are being answered by POST; more are sent away, so that none pile up while the database is away."""

MOST_SOCKETS: Final = 500

HEARTBEAT: Final = 30.0
"""Seconds between two pings of a websocket: a client that has vanished is noticed."""

CLOSE_LIMIT: Final = 2.0
"""Seconds that a client may take to answer a close."""

_STATUS: Final[Mapping[int, HTTPStatus]] = {
    0: HTTPStatus.OK,
    NO_METHOD: HTTPStatus.NOT_FOUND,
    AWAY: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""As aria2 does; every other fault is a bad request."""

_OPEN: Final = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
"""No page can make a browser show credentials here: `*` forbids it."""


def routes(desk: Desk, news: News, recognise: Recognise, *, library: str = "default") -> list[web.RouteDef]:
    """The door's routes. `library` takes the links of an RPC address that names none; "" demands a name."""
    return Door(desk, news, recognise, library).routes


class Door:
    """Lets clients in and hands their messages on."""

    def __init__(self, desk: Desk, news: News, recognise: Recognise, library: str) -> None:
        self._methods = Methods(desk, news)
        self._news = news
        self._recognise = recognise
        self._library = library
        self._at_once = 0
        self._talks: set[Talk] = set()

    @property
    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(PATH, self.post),
            web.get(PATH, self.get, allow_head=False),
            web.options(PATH, self.preflight),
        ]

    @property
    def talks(self) -> int:
        """How many websockets are open."""
        return len(self._talks)

    async def hang_up(self, app: web.Application) -> None:
        """Ends every websocket in order: for `app.on_shutdown`."""
        async with asyncio.TaskGroup() as group:
            for talk in self._talks:
                group.create_task(talk.hang_up(WSCloseCode.GOING_AWAY, b"the daemon stops"), name="end of a websocket")

    async def post(self, request: web.Request) -> web.StreamResponse:
        """One message, one answer."""
        if self._at_once >= MOST_AT_ONCE:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, Fault(AWAY, "too many requests at once: try again"))
        self._at_once += 1
        try:
            place = self._place(request)
            turn = Turn(self._methods, self._recognise, place)
            return _response(await turn.answer(await _body(request)))
        except _NotRead as error:
            return _refusal(error.status, Fault(INVALID_REQUEST, str(error)))
        except Fault as fault:
            return _refusal(HTTPStatus.BAD_REQUEST, fault)
        finally:
            self._at_once -= 1

    async def get(self, request: web.Request) -> web.StreamResponse:
        """A websocket; nothing is called by GET (aria2 would take JSONP)."""
        socket = web.WebSocketResponse(
            max_msg_size=LONGEST_MESSAGE, heartbeat=HEARTBEAT, timeout=CLOSE_LIMIT, compress=False
        )
        if not socket.can_prepare(request):
            return _refusal(
                HTTPStatus.METHOD_NOT_ALLOWED,
                Fault(INVALID_REQUEST, "Invalid Request. Calls come by POST or by websocket."),
                {"Allow": "OPTIONS, POST"},
            )
        if self.talks >= MOST_SOCKETS:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, Fault(AWAY, "too many websockets: try again later"))
        try:
            place = self._place(request)
        except Fault as fault:
            return _refusal(HTTPStatus.BAD_REQUEST, fault)
        talk = Talk(socket, request, self._methods, self._recognise, place)
        self._talks.add(talk)
        try:
            await socket.prepare(request)
            await talk.live(self._news)
        finally:
            self._talks.remove(talk)
        return socket

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        """A browser asks whether a page may come in (Fetch standard; Private Network Access)."""
        allowed = {
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": "*",
            "Access-Control-Max-Age": "86400",
        }
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            allowed["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=_OPEN | allowed)

    def _place(self, request: web.Request) -> Place:
        return place_of(request.match_info["tail"], request.query, self._library)


class _NotRead(Exception):
    """The body is too long, or did not come."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def _body(request: web.Request) -> bytes:
    """Of any content type: clients send what they like."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_LIMIT):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > LONGEST_MESSAGE:
                    raise _NotRead(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a message has {LONGEST_MESSAGE} bytes at most"
                    )
    except web.RequestPayloadError as error:
        raise _NotRead(HTTPStatus.BAD_REQUEST, "the message cannot be read as it was sent") from error
    except TimeoutError as error:
        raise _NotRead(HTTPStatus.REQUEST_TIMEOUT, f"the message did not come within {BODY_LIMIT:g} s") from error
    return bytes(body)


def _response(answer: Answer) -> web.Response:
    return _json(answer.text, _STATUS.get(answer.code, HTTPStatus.BAD_REQUEST))


def _refusal(status: HTTPStatus, fault: Fault, headers: Mapping[str, str] | None = None) -> web.Response:
    return _json(fault_text(None, fault), status, headers)


def _json(text: str, status: HTTPStatus, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        text=text, status=status, content_type="application/json-rpc", headers={**_OPEN, **(headers or {})}
    )
