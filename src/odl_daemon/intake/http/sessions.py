"""How a browser gets its key, and gives it back."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from odl_daemon.engine.keyring import SESSION
from odl_daemon.intake.http import models
from odl_daemon.intake.http.answer import json_answer
from odl_daemon.intake.http.doorman import COOKIE, Doorman
from odl_daemon.intake.http.endpoint import Asked, Endpoint, Role
from odl_daemon.intake.http.people_api import PeopleApi
from odl_daemon.intake.http.safety import Names
from odl_daemon.intake.http.trouble import not_signed_in

PATH: Final = "/api/v1/session"


class SessionsApi:
    """The cookie of a browser: no script can read it, and no other site can have it sent."""

    def __init__(self, doorman: Doorman, people: PeopleApi, names: Names) -> None:
        self._doorman = doorman
        self._people = people
        self._names = names

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST", PATH, "Sign this browser in", self.sign_in, models.Me, body=models.SignIn, role=Role.ANYBODY
            ),
            Endpoint("DELETE", PATH, "Sign this browser out", self.sign_out, models.Nothing),
        ]

    async def sign_in(self, asked: Asked) -> web.Response:
        """A new session for whoever shows a key. Another site shall not sign anybody in as somebody else."""
        self._names.check_site(asked.request)
        signed_in = await self._doorman.keyring.sign_in(asked.body_as(models.SignIn).token)
        if signed_in is None:
            raise not_signed_in()
        session, principal = signed_in
        answer = json_answer(await self._people.shown(self._doorman.with_role(principal)))
        path, secure = self._names.way_of_cookies(asked.request)
        answer.set_cookie(
            COOKIE,
            session,
            max_age=round(SESSION.total_seconds()),
            path=path,
            httponly=True,
            samesite="Strict",
            secure=secure,
        )
        return answer

    async def sign_out(self, asked: Asked) -> web.Response:
        await self._doorman.keyring.sign_out(asked.request.cookies.get(COOKIE, ""))
        answer = json_answer({})
        path, secure = self._names.way_of_cookies(asked.request)
        answer.del_cookie(COOKIE, path=path, httponly=True, samesite="Strict", secure=secure)
        return answer
