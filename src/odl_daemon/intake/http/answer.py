"""An answer on its way out: JSON, or why there is none, with what keeps browsers safe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from odl_daemon.intake.http.trouble import Trouble, too_large

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "odl-daemon",
}
"""Of every answer, whatever it is."""


def json_answer(content: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    body = text.encode(errors="replace")
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8", headers=headers)


def refusal(trouble: Trouble) -> web.Response:
    """Why a request is not carried out."""
    return json_answer(trouble.as_json(), trouble.status, trouble.headers)


def told(error: web.HTTPException) -> Trouble:
    """What the framework refuses by itself, in our form."""
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_large()
    reason, sentence = _TOLD.get(error.status, ("refused", HTTPStatus(error.status).phrase.lower()))
    headers = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    return Trouble(HTTPStatus(error.status), reason, sentence, headers=headers)


_TOLD: Final = {
    404: ("not_found", "there is nothing at this address"),
    405: ("not_allowed", "this cannot be done here"),
}
"""By their numbers: the names of some statuses differ from one Python to the next."""
