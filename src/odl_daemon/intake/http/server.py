"""The HTTP door: its socket, and the way of a request through it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from aiohttp import hdrs, web

from odl_daemon.engine.desk import Desk
from odl_daemon.health import Vitals
from odl_daemon.intake.http.answer import HEADERS, json_answer, refusal, told
from odl_daemon.intake.http.conversation import Conversation, Room, conversation_of
from odl_daemon.intake.http.doorman import Doorman, Visitor
from odl_daemon.intake.http.doorway import listen_at
from odl_daemon.intake.http.endpoint import LARGEST_BODY, NOBODY, Endpoint, Role
from odl_daemon.intake.http.health import health_routes
from odl_daemon.intake.http.live import Live
from odl_daemon.intake.http.metrics import Metrics
from odl_daemon.intake.http.openapi import document
from odl_daemon.intake.http.page import page_routes
from odl_daemon.intake.http.people_api import PeopleApi, Place
from odl_daemon.intake.http.safety import LONGEST_PATH, Names, Pace, client_address
from odl_daemon.intake.http.sessions import SessionsApi
from odl_daemon.intake.http.stream import Stream
from odl_daemon.intake.http.tasks_api import TasksApi
from odl_daemon.intake.http.trouble import (
    Trouble,
    admins_only,
    broken,
    database_away,
    no_http,
    no_word_of_it,
    too_long,
)
from odl_daemon.ports import StoreAway

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN: Final = 10.0
"""Seconds until a socket that could not be had is tried again."""

ANSWER_LIMIT: Final = 30.0
"""Seconds until whoever asks hears that there is no answer: proxies give up after a minute."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Farewell = Callable[[web.Application], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the door listens, and how it is reached."""

    listen: str
    """`host:port`, or `unix:/path`."""
    public_url: str = ""
    """As users see it, where that is another."""
    trusted_proxies: Collection[str] = ()
    """Addresses whose X-Forwarded-For is believed; "unix" for whoever comes by the unix socket."""


class HttpDoor:
    """Takes requests of browsers and programs to the desk."""

    def __init__(
        self,
        *,
        desk: Desk,
        doorman: Doorman,
        place: Place,
        address: Address,
        vitals: Vitals,
        routes: Sequence[web.AbstractRouteDef] = (),
        farewells: Sequence[Farewell] = (),
    ) -> None:
        """`routes` are further ones, by other rooms, which say farewell to their guests when the door closes."""
        self._desk = desk
        self._doorman = doorman
        self._address = address
        self._names = Names(address.public_url)
        self._pace = Pace()
        people = PeopleApi(desk, place)
        sessions = SessionsApi(doorman, people, self._names)
        self.endpoints = [
            *TasksApi(desk).endpoints(),
            *people.endpoints(),
            *sessions.endpoints(),
        ]
        self._routes = routes
        self._farewells = farewells
        self.live = Live(desk)
        self._stream = Stream(self.live, doorman, desk.away)
        self._metrics = Metrics(desk, vitals, self.live)
        self._vitals = vitals
        self._openapi = json.dumps(document(self.endpoints)).encode()

    async def serve(self) -> None:
        """For ever. A socket that cannot be had is told, and tried again: downloads go on without."""
        runner = web.AppRunner(self._app(), handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.live.run(), name="live view")
                group.create_task(self._metrics.run(), name="metrics")
                async with await self._listening(runner):
                    await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _listening(self, runner: web.AppRunner) -> asyncio.Server:
        server, room, said = runner.server, Room(), False
        assert server is not None, "the runner was set up"
        while True:
            try:
                listening = await listen_at(self._address.listen, lambda: Conversation(server, room))
            except OSError as error:
                if not said:
                    why = error.strerror or error
                    log.error("the HTTP door cannot listen at %s ([http] listen): %s", self._address.listen, why)
                said = True
                await asyncio.sleep(AGAIN)
            else:
                log.info("the HTTP door listens at %s", self._address.listen)
                return listening

    def _app(self) -> web.Application:
        # one byte more than we take: versions of aiohttp differ in whether they take the last one
        app = web.Application(client_max_size=LARGEST_BODY + 1, middlewares=[self._answer])
        app.on_response_prepare.append(_keep_browsers_safe)
        for endpoint in self.endpoints:
            app.router.add_route(endpoint.method, endpoint.path, self._handler(endpoint))
        app.router.add_get("/api/v1/events", self._events)
        app.router.add_get("/api/v1/openapi.json", self._document)
        app.router.add_get("/metrics", self._metrics.scrape)
        app.add_routes([*page_routes(), *health_routes(self._vitals), *self._routes])
        app.on_shutdown.extend(self._farewells)
        return app

    # --- the way of a request

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever goes wrong becomes an answer."""
        try:
            self._let_in(request)
            return await handler(request)
        except Trouble as trouble:
            return refusal(trouble)
        except StoreAway:
            return refusal(database_away())
        except web.RequestPayloadError:
            return refusal(no_http())
        except web.HTTPException as error:
            return refusal(told(error))
        except Exception:  # one request that breaks must not end the daemon
            if request.transport is not None:  # else the client has left in the middle of it
                log.exception("a request at the HTTP door broke: %s %s", request.method, request.path)
            return refusal(broken())

    def _let_in(self, request: web.Request) -> None:
        """Raises Trouble for what is not even looked at."""
        conversation_of(request).hear()
        self._names.check_host(request)
        if len(request.path_qs) > LONGEST_PATH:
            raise too_long()
        self._pace.check(client_address(request, self._address.trusted_proxies))

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            if self._desk.away() and not endpoint.without_database:
                raise database_away()
            visitor = await self._admitted(request, endpoint.role) if endpoint.role is not Role.ANYBODY else None
            asked = await endpoint.asked(request, visitor.principal if visitor else NOBODY)
            done = await self._in_time(endpoint.do(asked))
            return done if isinstance(done, web.StreamResponse) else json_answer(done)

        return answer

    async def _admitted(self, request: web.Request, role: Role = Role.USER) -> Visitor:
        """Who asks. Raises Trouble if he may not."""
        visitor = await self._in_time(self._doorman.visitor(request))
        if visitor.by_cookie:
            self._names.check_site(request)
        self._pace.check(f"user {visitor.principal.owner}")
        if role is Role.ADMIN and not visitor.principal.admin:
            raise admins_only()
        return visitor

    async def _in_time(self, work: Awaitable[T]) -> T:
        """Raises Trouble if the database goes away meanwhile."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                return await work
        except TimeoutError as late:
            raise no_word_of_it() from late

    # --- what is no plain endpoint

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._desk.away():
            raise database_away()
        return await self._stream.give(request, await self._admitted(request))

    async def _document(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._openapi, content_type="application/json")


async def _keep_browsers_safe(request: web.Request, answer: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers[hdrs.SERVER] = HEADERS[hdrs.SERVER]  # aiohttp has put its name and its version there
