"""One connection of a client: how long it may take for what, and what it hears if its words are no HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web

from odl_daemon.intake.http.answer import HEADERS, refusal
from odl_daemon.intake.http.trouble import broken, no_http, too_slow

log = logging.getLogger(__name__)

HEAD_LIMIT: Final = 30.0
"""Seconds until the head of a connection's first request must be here."""

IDLE_LIMIT: Final = 75.0
"""Seconds until the next one must be."""

TAKE_LIMIT: Final = 60.0
"""Seconds that a client may take to take an answer."""

MOST_GUESTS: Final = 4096
"""Connections at a time: half of the files that the daemon may open, the others are for downloads."""


@dataclass(slots=True)
class Room:
    """Who is in."""

    guests: int = 0


class Conversation(web.RequestHandler):
    """aiohttp's connection, with limits on what it leaves open. Of what cannot be read nothing is written down: there
    may be a key in it."""

    def __init__(self, server: web.Server, room: Room) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=cast(logging.Logger, None),  # what turns it off
            keepalive_timeout=IDLE_LIMIT,
        )
        self._room = room
        self._heard = False
        self._patience: asyncio.TimerHandle | None = None
        self._stay: asyncio.Timeout | None = None

    def hear(self) -> None:
        """The head of a request is here."""
        self._heard = True

    @asynccontextmanager
    async def staying(self) -> AsyncIterator[None]:
        """A block that ends with a TimeoutError as soon as the client leaves."""
        async with asyncio.timeout(None) as stay:
            self._stay = stay
            try:
                yield
            finally:
                self._stay = None

    # --- what aiohttp calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._room.guests += 1
        self._patience = asyncio.get_running_loop().call_later(HEAD_LIMIT, self._leave_if_silent)
        if self._room.guests > MOST_GUESTS:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._stay is not None:
            self._stay.reschedule(0.0)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            self._room.guests -= 1

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What went wrong before a request came to us, or after it left."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request at the HTTP door broke", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is out: another one would be taken for the rest of it")
        answer = refusal(_TROUBLES.get(status, broken)())
        answer.headers.update(HEADERS)
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        try:
            async with asyncio.timeout(TAKE_LIMIT):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.force_close()
            return resp, True

    def _leave_if_silent(self) -> None:
        if not self._heard:
            self.force_close()


def conversation_of(request: web.BaseRequest) -> Conversation:
    assert isinstance(request.protocol, Conversation), "no other connections are made here"
    return request.protocol


_TROUBLES: Final = {400: no_http, 504: too_slow}
