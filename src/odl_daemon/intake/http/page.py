"""The page: files that lie beside this one, read once."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).with_name("page")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TYPES: Final = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}


def page_routes() -> list[web.AbstractRouteDef]:
    """`/` and what it needs, below /page/."""
    files = {path.name: path for path in FOLDER.iterdir() if path.is_file()} if FOLDER.is_dir() else {}
    routes: list[web.AbstractRouteDef] = [web.get(f"/page/{name}", _file(path)) for name, path in files.items()]
    if "index.html" in files:
        routes.append(web.get("/", _file(files["index.html"])))
    return routes


def _file(path: Path) -> Handler:
    """Gives out a file, with a mark by which a browser knows whether it has it already."""
    body = path.read_bytes()
    mark = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    charset = "utf-8" if kind.startswith("text/") or kind.endswith("xml") else None

    async def give(request: web.Request) -> web.StreamResponse:
        headers = {"ETag": mark, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == mark:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=kind, charset=charset, headers=headers)

    return give
