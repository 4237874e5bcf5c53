"""Whether the daemon is alive, and whether it can work: for load balancers, and for whoever restarts it."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from odl_daemon.health import Vitals

STUCK = "the dispatcher does not go round: restart the daemon"


def health_routes(vitals: Vitals) -> list[web.AbstractRouteDef]:
    """/healthz is not ok where only a restart helps; /readyz also for what passes by itself, like a database away."""

    async def healthz(request: web.Request) -> web.StreamResponse:
        return _answer([STUCK] if vitals.stuck() else [])

    async def readyz(request: web.Request) -> web.StreamResponse:
        return _answer(([STUCK] if vitals.stuck() else []) + vitals.troubles())

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]


def _answer(troubles: list[str]) -> web.Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
    return web.json_response({"ok": not troubles, "troubles": troubles}, status=status)
