"""The stream of what moves: one answer that goes on for as long as its visitor stays, and stays welcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from odl_daemon.intake.http.conversation import conversation_of
from odl_daemon.intake.http.doorman import Doorman, Visitor
from odl_daemon.intake.http.live import Live, Watch
from odl_daemon.intake.http.tasks_api import owner_of
from odl_daemon.intake.http.trouble import Trouble, too_many_streams

STREAMS: Final = 100
"""Of one user at a time."""

BREATH: Final = 15.0
"""Seconds until a word that means nothing keeps a silent connection alive."""

CHECK: Final = 5.0
"""Seconds between two looks whether the visitor is still known: together with what the keyring remembers, a key that
was taken back opens nothing after ten."""

TAKE_LIMIT: Final = 20.0
"""Seconds that a reader may take for a piece; then he is cut off, and comes back to where he was."""

STILL_HERE: Final = b": still here\n\n"


class Stream:
    """Gives out what moves."""

    def __init__(self, live: Live, doorman: Doorman, away: Callable[[], bool]) -> None:
        """`away` tells whether the database is."""
        self._live = live
        self._doorman = doorman
        self._away = away
        self._open: Counter[str] = Counter()

    async def give(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """Answers a request for events, by a visitor who was admitted. Raises Trouble."""
        owner = owner_of(visitor.principal, request.query.get("owner", ""))
        with (
            self._counted(visitor.principal.owner),
            self._live.watching(owner, request.headers.get("Last-Event-ID", "")) as watch,
        ):
            answer = _begun(request)
            await answer.prepare(request)
            try:
                async with conversation_of(request).staying():
                    await self._go_on(request, answer, watch, visitor)
            except TimeoutError:
                _cut(request)
        return answer

    async def _go_on(self, request: web.Request, answer: web.StreamResponse, watch: Watch, visitor: Visitor) -> None:
        """Until the visitor is not welcome any longer. Raises TimeoutError if he leaves, or does not take a piece."""
        now = asyncio.get_running_loop().time
        await _write(answer, watch.greeting())
        checked = spoke = now()
        while True:
            piece = await watch.next(CHECK)
            if now() - checked >= CHECK:
                if not await self._is_welcome(request, visitor):
                    return
                checked = now()
            if piece or now() - spoke >= BREATH:
                await _write(answer, piece or STILL_HERE)
                spoke = now()

    async def _is_welcome(self, request: web.Request, visitor: Visitor) -> bool:
        """Also if nobody can say just now that he is not."""
        if self._away():
            return True
        try:
            async with asyncio.timeout(CHECK):
                return await self._doorman.visitor(request) == visitor
        except TimeoutError:
            return True
        except Trouble as trouble:
            return trouble.status == HTTPStatus.SERVICE_UNAVAILABLE

    @contextmanager
    def _counted(self, owner: str) -> Iterator[None]:
        if self._open[owner] >= STREAMS:
            raise too_many_streams(STREAMS)
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


def _begun(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream", "X-Accel-Buffering": "no"})
    if request.version >= HttpVersion11:
        answer.enable_chunked_encoding()
    return answer


async def _write(answer: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(TAKE_LIMIT):
        await answer.write(piece)


def _cut(request: web.Request) -> None:
    """What he has not taken is thrown away."""
    if request.transport is not None:
        request.transport.abort()
