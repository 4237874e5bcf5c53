"""The server's file server: uploads over HTTP, by a token that the socket gave out.

It checks what the socket's own commits do not: quota, a read-only library, the largest size. What shall go wrong with
an upload is ordered like that of a call, under the name UPLOAD.
"""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, web

from tests.servers.seafile.functions import Functions, Refusal, Token
from tests.servers.seafile.model import Model
from tests.servers.seafile.traffic import Fault, Traffic

UPLOAD: Final = "upload"
"""Its name among the calls."""

BAD_NAME: Final = 440
TOO_LARGE: Final = 442
NO_ROOM: Final = 443
INTERNAL: Final = 500

_PIECE: Final = 1 << 18


class Refused(Exception):
    """The status and the sentence of an answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass
class Form:
    """What an upload brought."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, str]] = field(default_factory=list)
    """Name, and where the bytes are."""


class FileServer:
    """One thread, and one more for each upload that must wait."""

    def __init__(self, listener: socket.socket, functions: Functions, model: Model, traffic: Traffic) -> None:
        self._listener = listener
        self._functions = functions
        self._model = model
        self._traffic = traffic
        self._no_token = 400 if model.habits.merges else 403

    def serve(self) -> None:
        """Returns at once; the thread ends with the process."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/upload-api/{token}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, self._listener).start()
        await asyncio.Event().wait()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        fault = self._traffic.asked(UPLOAD)
        if fault is not None and fault.how == "ignore":
            await _forever()
        try:
            answer = await self._taken(request, fault)
        except Refused as refused:
            answer = web.Response(status=refused.status, text=refused.sentence)
        self._traffic.carried_out(UPLOAD)
        if fault is not None and fault.how == "mute":
            await _forever()
        if fault is not None and fault.how == "drop" and request.transport is not None:
            request.transport.abort()
        return answer

    async def _taken(self, request: web.Request, fault: Fault | None) -> web.Response:
        """Raises Refused."""
        token = self._token(request)
        with tempfile.TemporaryDirectory() as folder:
            form = await _received(request, Path(folder))
            if fault is not None and fault.how == "refuse":
                raise Refused(fault.code, fault.message)
            if fault is not None and fault.how == "hold":
                await asyncio.to_thread(self._traffic.hold)
            told = await asyncio.to_thread(lambda: self._commit(token, form, request.content_length or 0))
        if request.query.get("ret-json"):
            return web.Response(text=told, content_type="application/json")
        return web.Response(text="\t".join(file["id"] for file in json.loads(told)))

    def _token(self, request: web.Request) -> Token:
        token = self._functions.tokens.get(request.match_info["token"])
        if token is None:
            raise Refused(self._no_token, "Access token not found.")
        repo = self._model.repo(token.repo)
        if repo is None or repo.status != 0:
            raise Refused(self._no_token, "Repo status not writable.")
        if token.operation != "upload":
            raise Refused(self._no_token, "Operation does not match access token.")
        return token

    def _commit(self, token: Token, form: Form, declared: int) -> str:
        """Raises Refused."""
        parent = form.fields.get("parent_dir")
        if parent is None or not form.files:
            raise Refused(400, "Invalid URL.")
        if parent.rstrip("/") != token.parent_dir.rstrip("/"):
            raise Refused(403, "Permission denied.")
        largest = self._model.max_upload
        if 0 < largest < sum(Path(path).stat().st_size for _, path in form.files):
            raise Refused(TOO_LARGE, "File size is too large.")
        if not self._model.has_room(token.repo, declared):
            raise Refused(NO_ROOM, "Out of quota.")
        names, paths = zip(*form.files, strict=True)
        replace = int(form.fields.get("replace", "0"))
        try:
            return self._functions.post_multi_files(
                token.repo, parent, json.dumps(names), json.dumps(paths), token.user, replace
            )
        except Refusal as refusal:
            status = BAD_NAME if refusal.message in names else INTERNAL
            raise Refused(status, refusal.message) from refusal


async def _received(request: web.Request, folder: Path) -> Form:
    """The whole form; its files lie in the folder under numbers. Raises Refused, also for a form without a length:
    the real server would hold the quota against nothing."""
    if request.content_length is None:
        raise Refused(400, "No Content-Length.")
    form = Form()
    try:
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                path = folder / str(len(form.files))
                await _keep(part, path)
                form.files.append((_name_in(part), str(path)))
            else:
                form.fields[part.name or ""] = await part.text()
    except ValueError as error:
        raise Refused(400, f"Bad request: {error}") from error
    return form


def _name_in(part: BodyPartReader) -> str:
    """As the file server in C reads it: not decoded, and nothing of `filename*`."""
    about = part.headers["Content-Disposition"]
    _, _, rest = about.partition('filename="')
    return rest.partition('"')[0]


async def _keep(part: BodyPartReader, path: Path) -> None:
    with path.open("wb") as file:
        while piece := await part.read_chunk(_PIECE):
            file.write(piece)


async def _forever() -> None:
    await asyncio.Event().wait()
