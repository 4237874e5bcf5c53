"""The server's web site: those routes of its web API that the daemon uses, answered as Seahub answers them.

What shall go wrong with a request is ordered like that of a call, under the name WEB, or WEB_WRITE if it changes
something. "refuse" answers in JSON as Seahub does, or with a page as whatever stands before it would: see PAGE.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from tests.servers.seafile.functions import Functions
from tests.servers.seafile.model import File, Folder, Model, Repo
from tests.servers.seafile.traffic import Traffic

WEB: Final = "web"
WEB_WRITE: Final = "web write"
"""Their names among the calls."""

PAGE: Final = "<html>a proxy's own page</html>"
"""A refusal with this message is no answer of Seahub's."""

_LIBRARY: Final = "{repo:[-0-9a-f]{36}}"
"""As Seahub's routes have it: an id in capitals leads nowhere."""

Route = Callable[[web.Request, str], web.Response]
"""Answers a request of a user."""


class Denied(Exception):
    """A request that is not granted."""

    def __init__(self, status: int, sentence: str, *, key: str = "error_msg") -> None:
        super().__init__(sentence)
        self.answer: web.Response = web.json_response({key: sentence}, status=status)


class Stumbled(Denied):
    """What nobody thought of: Django's page for it."""

    def __init__(self) -> None:
        super().__init__(500, "")
        self.answer = web.Response(status=500, text="<h1>Server Error (500)</h1>", content_type="text/html")


class WebSite:
    """One thread for all requests."""

    def __init__(
        self,
        listener: socket.socket,
        functions: Functions,
        model: Model,
        traffic: Traffic,
        *,
        version: str,
        file_server: str,
    ) -> None:
        self._listener = listener
        self._functions = functions
        self._model = model
        self._traffic = traffic
        self._version = version
        self._file_server = file_server
        self._id_header = "oid" if model.habits.merges else "Oid"  # as it is, or as it comes through Caddy

    def serve(self) -> None:
        """Returns at once; the thread ends with the process."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/api2/server-info/", self._server_info)
        app.router.add_get("/api2/account/info/", self._for_user(self._account))
        app.router.add_get(f"/api/v2.1/repos/{_LIBRARY}/", self._for_user(self._library))
        app.router.add_get(f"/api2/repos/{_LIBRARY}/dir/", self._for_user(self._listing))
        app.router.add_post(f"/api2/repos/{_LIBRARY}/dir/", self._for_user(self._make_folder))
        app.router.add_get(f"/api2/repos/{_LIBRARY}/upload-link/", self._for_user(self._upload_link))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, self._listener).start()
        await asyncio.Event().wait()

    async def _server_info(self, request: web.Request) -> web.Response:
        return web.json_response({"version": f"{self._version}.7", "encrypted_library_version": 2, "features": []})

    def _for_user(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            name = WEB if request.method == "GET" else WEB_WRITE
            fault = self._traffic.asked(name)
            if fault is not None and fault.how == "ignore":
                await asyncio.Event().wait()
            if fault is not None and fault.how == "refuse":
                return _refusal(fault.code, fault.message)
            if fault is not None and fault.how == "hold":
                await asyncio.to_thread(self._traffic.hold)
            form = await request.post()
            request["operation"] = form.get("operation", "")
            try:
                told = route(request, self._user(request))
            except Denied as denied:
                told = denied.answer
            self._traffic.carried_out(name)
            if fault is not None and fault.how == "mute":
                await asyncio.Event().wait()
            if fault is not None and fault.how == "drop" and request.transport is not None:
                request.transport.abort()
            return told

        return answer

    def _user(self, request: web.Request) -> str:
        """By a token, or by the session of a browser. Raises Denied."""
        word, _, token = request.headers.get("Authorization", "").partition(" ")
        if word == "Token" and self._model.user_of_token(token) is None:
            raise Denied(401, "Invalid token", key="detail")
        session = request.cookies.get("sessionid", "")
        user = self._model.user_of_token(token) if word == "Token" else self._model.user_of_session(session)
        if user is None or user in self._model.inactive:
            raise Denied(403, "Authentication credentials were not provided.", key="detail")
        return user

    # --- the routes

    def _account(self, request: web.Request, user: str) -> web.Response:
        used, quota = self._model.usage(user)
        return web.json_response({"email": user, "usage": used, "total": quota, "is_staff": user in self._model.staff})

    def _library(self, request: web.Request, user: str) -> web.Response:
        repo = self._repo(request)
        permission = self._permission(repo, user)
        if permission is None:
            raise Denied(403, "Permission denied.")
        shown = {
            "repo_id": repo.id,
            "owner_email": repo.owner,
            "encrypted": repo.encryption is not None,
            "permission": permission,
            "no_quota": not self._model.has_room(repo.id, 0),
            "status": "read-only" if repo.status == 1 else "normal",
        }
        return web.json_response(shown)

    def _listing(self, request: web.Request, user: str) -> web.Response:
        repo = self._repo(request)
        path = request.query.get("p", "/")
        folder = self._folder(repo, path)
        if self._permission(repo, user) is None:
            raise Denied(403, "Permission denied.")
        entries = [self._entry(name, entry) for name, entry in folder.listed()]
        headers = {self._id_header: self._model.id_of(folder), "dir_perm": self._permission(repo, user) or ""}
        return web.Response(text=json.dumps(entries), content_type="application/json", headers=headers)

    def _entry(self, name: str, entry: File | Folder) -> dict[str, object]:
        about: dict[str, object] = {"name": name, "id": self._model.id_of(entry), "mtime": entry.mtime}
        if isinstance(entry, Folder):
            return about | {"type": "dir", "permission": "rw"}
        return about | {"type": "file", "size": entry.size, "modifier_email": entry.modifier, "permission": "rw"}

    def _make_folder(self, request: web.Request, user: str) -> web.Response:
        repo = self._repo(request)
        above, _, name = request.query.get("p", "").rstrip("/").rpartition("/")
        if request["operation"] != "mkdir" or not name:
            raise Denied(400, "Operation not supported.")
        folder = self._folder(repo, above or "/")
        if self._permission(repo, user) != "rw":
            raise Denied(403, "Permission denied.")
        name = self._model.free_name(name, set(folder.entries))
        self._functions.post_dir(repo.id, above or "/", name, user)
        return web.json_response("success", status=201)

    def _upload_link(self, request: web.Request, user: str) -> web.Response:
        repo = self._repo(request)
        folder = request.query.get("p", "/")
        self._folder(repo, folder)
        if self._permission(repo, user) != "rw":
            raise Denied(403, "You do not have permission to access this folder.")
        if not self._model.has_room(repo.id, 0):
            raise Denied(443, "Out of quota.")
        about = json.dumps({"parent_dir": folder})
        token = self._functions.web_get_access_token(repo.id, about, "upload", user, 0)
        return web.json_response(f"{self._file_server}/upload-api/{token}")

    def _folder(self, repo: Repo, path: str) -> Folder:
        """Raises Denied: of a folder whose *parent* is missing the server has an error to tell, and Seahub falls over
        it (haiwen/seafile issue 1926)."""
        path = unicodedata.normalize("NFC", path).rstrip("/")
        folder = self._model.folder(repo.id, path or "/")
        if folder is None:
            above = path.rpartition("/")[0]
            raise Stumbled if self._model.folder(repo.id, above or "/") is None else Denied(404, "Folder not found.")
        return folder

    def _repo(self, request: web.Request) -> Repo:
        """Raises Denied."""
        repo = self._model.repo(request.match_info["repo"])
        if repo is None or repo.hidden:
            raise Denied(404, "Library not found.")
        return repo

    def _permission(self, repo: Repo, user: str) -> str | None:
        permission = self._model.permission(repo.id, user)
        return "r" if permission and repo.status == 1 else permission


def _refusal(status: int, message: str) -> web.Response:
    if message == PAGE:
        return web.Response(status=status, text=PAGE, content_type="text/html", headers={"Location": "https://h/"})
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.json_response({"error_msg": message}, status=status, headers=headers)
