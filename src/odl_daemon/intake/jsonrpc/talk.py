"""One websocket, from its opening to its end: calls and their answers, and in between what the user is told."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from odl_daemon.engine.news import News
from odl_daemon.intake.jsonrpc.methods import Methods
from odl_daemon.intake.jsonrpc.notices import Ear
from odl_daemon.intake.jsonrpc.options import Place
from odl_daemon.intake.jsonrpc.turn import Recognise, Turn
from odl_daemon.ports import AccountsAway, StoreAway

log = logging.getLogger(__name__)

NO_TOKEN_LIMIT: Final = 30.0
"""Seconds within which a client has to show a good token: until then he hears nothing, and takes room."""

SEND_LIMIT: Final = 30.0
"""Seconds that a client may take to read what is said to him."""


class Talk:
    """A client on a websocket. Nothing that he does harms anybody else; he is answered in the order of his messages."""

    def __init__(
        self, socket: web.WebSocketResponse, request: web.Request, methods: Methods, recognise: Recognise, place: Place
    ) -> None:
        self._socket = socket
        self._request = request
        self._methods = methods
        self._recognise = recognise
        self._place = place
        self._ear = Ear(self._cut_off)
        self._token = ""
        """The last good one; it must stay good for him to be told anything."""
        self._speaking = asyncio.Lock()

    async def live(self, news: News) -> None:
        """Until the client leaves, or is cut off."""
        with news.listening(self._ear.hear):
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(self._tell(), name="notifications of a websocket")
                await self._attend()
                telling.cancel()

    async def hang_up(self, code: WSCloseCode, because: bytes) -> None:
        """Ends it in order; `because` is for whoever looks at his client's log."""
        if self._socket.prepared:
            await self._socket.close(code=code, message=because)

    async def _attend(self) -> None:
        try:
            async with asyncio.timeout(NO_TOKEN_LIMIT) as patience:
                async for message in self._socket:
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        return
                    await self._answer(message.data)
                    if self._token:
                        patience.reschedule(None)
        except TimeoutError:
            await self.hang_up(WSCloseCode.POLICY_VIOLATION, b"no token was shown")

    async def _answer(self, said: bytes | str) -> None:
        turn = Turn(self._methods, self._recognise, self._place)
        answer = await turn.answer(said)
        if turn.speaker is not None:
            self._token, principal = turn.speaker
            self._ear.owner = principal.owner
        await self._say(answer.text)

    async def _tell(self) -> None:
        while True:
            texts = await self._ear.heard()
            try:
                principal = await self._recognise(self._token)
            except (StoreAway, AccountsAway):
                await self.hang_up(WSCloseCode.TRY_AGAIN_LATER, b"nobody can tell at present whose token this is")
                return
            if principal is None or principal.owner != self._ear.owner:
                await self.hang_up(WSCloseCode.POLICY_VIOLATION, b"the token is not good any longer")
                return
            for text in texts:
                await self._say(text)

    async def _say(self, text: str) -> None:
        try:
            async with self._speaking, asyncio.timeout(SEND_LIMIT):
                await self._socket.send_str(text)
        except (ConnectionError, TimeoutError) as error:
            log.debug("a websocket's client went away or does not read: %s", error)
            self._cut_off()

    def _cut_off(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()
