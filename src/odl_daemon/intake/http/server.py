"""The HTTP door: its socket, and the way of a request through it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from odl_daemon.engine.desk import Desk
from odl_daemon.health import Vitals
from odl_daemon.intake.http import models
from odl_daemon.intake.http.doorman import Doorman, Visitor
from odl_daemon.intake.http.endpoint import NOBODY, Endpoint, Role
from odl_daemon.intake.http.health import health_routes
from odl_daemon.intake.http.live import Live
from odl_daemon.intake.http.metrics import Metrics
from odl_daemon.intake.http.openapi import document
from odl_daemon.intake.http.page import page_routes
from odl_daemon.intake.http.people_api import PeopleApi, Place, set_session
from odl_daemon.intake.http.safety import HEADERS, LONGEST_PATH, Names, Pace, check_site, client_address
from odl_daemon.intake.http.tasks_api import TasksApi, owner_of
from odl_daemon.intake.http.trouble import Trouble, admins_only, away
from odl_daemon.ports import StoreAway

log = logging.getLogger(__name__)

LARGEST_BODY: Final = 512 * 1024
"""Bytes of a request's body."""

AGAIN: Final = 10.0
"""Seconds until a socket that could not be had is tried again."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
    ) -> None:
        self._desk = desk
        self._doorman = doorman
        self._address = address
        self._names = Names(address.public_url)
        self._pace = Pace()
        self._people = PeopleApi(desk, doorman, place)
        self.endpoints = [*TasksApi(desk).endpoints(), *self._people.endpoints()]
        self.live = Live(desk)
        self._metrics = Metrics(desk, vitals, self.live)
        self._vitals = vitals
        self._openapi = json.dumps(document([*self.endpoints, self._sign_in_endpoint()]))

    async def serve(self) -> None:
        """For ever. A socket that cannot be had is told, and tried again: downloads go on without."""
        runner = web.AppRunner(self._app(), access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.live.run(), name="live view")
                group.create_task(self._metrics.run(), name="metrics")
                await self._listen(runner)
                await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        told = False
        while True:
            try:
                await self._site(runner).start()
            except OSError as error:
                if not told:
                    why = error.strerror or error
                    log.error("the HTTP door cannot listen at %s ([http] listen): %s", self._address.listen, why)
                told = True
                await asyncio.sleep(AGAIN)
            else:
                self._open_unix_socket()
                log.info("the HTTP door listens at %s", self._address.listen)
                return

    def _site(self, runner: web.AppRunner) -> web.BaseSite:
        listen = self._address.listen
        if path := _unix_path(listen):
            with suppress(FileNotFoundError):
                if path.is_socket():
                    path.unlink()
            return web.UnixSite(runner, path)
        host, _, port = listen.rpartition(":")
        return web.TCPSite(runner, host.strip("[]"), int(port), reuse_address=True)

    def _open_unix_socket(self) -> None:
        """For whoever is in the group of the folder: a web server."""
        if path := _unix_path(self._address.listen):
            path.chmod(0o660)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._answer_safely])
        for endpoint in self.endpoints:
            app.router.add_route(endpoint.method, endpoint.path, self._handler(endpoint))
        app.router.add_post("/api/v1/session", self._sign_in)
        app.router.add_get("/api/v1/events", self._events)
        app.router.add_get("/api/v1/openapi.json", self._document)
        app.router.add_get("/metrics", self._metrics.scrape)
        app.add_routes([*page_routes(), *health_routes(self._vitals)])
        return app

    # --- the way of a request

    @web.middleware
    async def _answer_safely(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever goes wrong becomes an answer; every answer carries what keeps browsers safe."""
        try:
            self._names.check(request)
            if len(request.path_qs) > LONGEST_PATH:
                raise Trouble(HTTPStatus.REQUEST_URI_TOO_LONG, "too_long", "the address of the request is too long")
            self._pace.check(client_address(request, self._address.trusted_proxies))
            answer = await handler(request)
        except Trouble as trouble:
            answer = _json(trouble.as_json(), trouble.status)
        except StoreAway as error:
            answer = _json(away(str(error)).as_json(), HTTPStatus.SERVICE_UNAVAILABLE)
        except web.HTTPException as error:
            answer = _json(_told(error).as_json(), error.status, error.headers.get(hdrs.ALLOW))
        except (asyncio.CancelledError, ConnectionResetError):
            raise
        except Exception:  # one request that breaks must not end the daemon
            log.exception("a request at the HTTP door broke: %s %s", request.method, request.path)
            broken = Trouble(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something went wrong here", "retry")
            answer = _json(broken.as_json(), broken.status)
        if not answer.prepared:
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
        return answer

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            visitor = None if endpoint.role is Role.ANYBODY else await self._admitted(request, endpoint.role)
            asked = await endpoint.asked(request, visitor.principal if visitor else NOBODY)
            return _json(await endpoint.do(asked))

        return handle

    async def _admitted(self, request: web.Request, role: Role = Role.USER) -> Visitor:
        visitor = await self._doorman.visitor(request)
        check_site(request, visitor)
        self._pace.check(f"user {visitor.principal.owner}")
        if role is Role.ADMIN and not visitor.principal.admin:
            raise admins_only()
        return visitor

    # --- what is no plain endpoint

    def _sign_in_endpoint(self) -> Endpoint:
        async def never(asked: object) -> object:
            raise AssertionError("sign-in answers by itself")

        return Endpoint(
            "POST", "/api/v1/session", "Sign this browser in", never, models.Me, body=models.SignIn, role=Role.ANYBODY
        )

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        check_site(request, None)
        asked = await self._sign_in_endpoint().asked(request, NOBODY)
        session, principal = await self._people.sign_in(asked.body_as(models.SignIn))
        answer = _json(await self._people.shown(principal))
        parts = urlsplit(self._address.public_url)
        set_session(answer, session, path=parts.path.rstrip("/") or "/", secure=parts.scheme == "https")
        return answer

    async def _events(self, request: web.Request) -> web.StreamResponse:
        visitor = await self._admitted(request)
        owner = owner_of(visitor.principal, request.query.get("owner", ""))
        answer = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        answer.enable_chunked_encoding()
        async with self.live.watching(owner, request.headers.get("Last-Event-ID", "")) as pieces:
            await answer.prepare(request)
            await answer.write(b"retry: 2000\nevent: hello\ndata: {}\n\n")
            async for piece in pieces:
                async with asyncio.timeout(60):
                    await answer.write(piece)
        return answer

    async def _document(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self._openapi, content_type="application/json")


def _unix_path(listen: str) -> Path | None:
    return Path(listen.removeprefix("unix:")) if listen.startswith("unix:") else None


def _json(content: object, status: int = HTTPStatus.OK, allow: str | None = None) -> web.Response:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    headers = {hdrs.ALLOW: allow} if allow else None
    body = text.encode(errors="replace")
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8", headers=headers)


def _told(error: web.HTTPException) -> Trouble:
    """What the framework refuses by itself, in our form."""
    status = HTTPStatus(error.status)
    sentences = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: "this cannot be done here",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"a request may have {LARGEST_BODY:,} bytes at most",
    }
    return Trouble(status, status.name.lower(), sentences.get(status, status.phrase))
