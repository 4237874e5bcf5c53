"""A Seafile server by its web site, where its socket cannot be reached: asked for each user with his own API token."""

from __future__ import annotations

import asyncio
import json
import logging
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final, NamedTuple

import aiohttp

from odl_daemon.library import seafile_sentences
from odl_daemon.library.seafile_server import Entry, Place, Repo
from odl_daemon.library.searpc import Refused, ServerAway, Unanswered
from odl_daemon.library.tokens import Tokens, TokensTrouble

log = logging.getLogger(__name__)

CONNECT_LIMIT: Final = 10.0
ANSWER_LIMIT: Final = 60.0
"""Seconds until a connection stands, and until an answer is here in full."""

LONGEST_ANSWER: Final = 64 << 20
"""Bytes: a folder of some 200,000 files."""

PATIENCE: Final = 60.0
"""Seconds that a server which asks for a pause is heeded in one call; it counts requests by user and minute."""

USUAL_PAUSE: Final = 5.0

ABOVE_QUOTA: Final = 443

_BUSY: Final = frozenset({429, 502, 503, 504})

_STUMBLED: Final = frozenset({500, 520})

_NEVER_ITS_PAGE: Final = frozenset({300, 301, 302, 303, 307, 308, 401, 404})
"""What the web API answers in JSON, or not at all: a page with one of these comes from something else. Not so 403,
which a filter in front may give to one user's path alone."""


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    """By names in any case: proxies spell them as they like."""
    body: bytes

    @property
    def is_json(self) -> bool:
        return self.headers.get("Content-Type", "").partition(";")[0].strip() == "application/json"

    def json(self) -> object:
        """Raises Refused if it is none."""
        try:
            found: object = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Refused(self.status, "the Seafile web site did not answer in JSON") from error
        return found

    def fields(self) -> Mapping[str, object]:
        """Raises Refused if it is no object."""
        found = self.json()
        if not isinstance(found, dict):
            raise Refused(self.status, "the Seafile web site answered with something else than an object")
        return found

    @property
    def is_to_nobody(self) -> bool:
        """Whether the token was known and its user's account is closed: then it is 403, with the words of the
        framework instead of the API's `error_msg`."""
        return self.status == HTTPStatus.FORBIDDEN and self.is_json and "detail" in self.fields()


class Seahub:
    """seafile_server.Server and seafile_http.UploadLinks over the web API, which is the same from version 8.0 to 13.0
    as far as it is used here."""

    def __init__(self, url: str, tokens: Tokens, *, answer_limit: float = ANSWER_LIMIT) -> None:
        """`url`: of the web site, for example https://seafile.example.org. Limits are in seconds."""
        self._url = url.rstrip("/")
        self._tokens = tokens
        self._limits = aiohttp.ClientTimeout(total=answer_limit, sock_connect=CONNECT_LIMIT)

    # --- the library

    async def repo(self, place: Place) -> Repo | None:
        """One that the user may not see looks like any other: `may_write` says no to him."""
        answer = await self._library(place)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        encrypted = answer.status == HTTPStatus.OK and bool(answer.fields().get("encrypted"))
        return Repo(encrypted=encrypted, corrupted=False)

    async def is_read_only(self, place: Place) -> bool:
        answer = await self._library(place)
        return answer.status == HTTPStatus.OK and answer.fields().get("status") == "read-only"

    async def payer(self, place: Place) -> str:
        answer = await self._library(place)
        return _text(answer.fields().get("owner_email")) if answer.status == HTTPStatus.OK else ""

    async def may_write(self, place: Place, folder: str) -> bool:
        """Of a folder that is not there, the one above it decides."""
        for each in _upwards(folder):
            answer = await self._upload_link(place, each)
            if answer.status != HTTPStatus.NOT_FOUND:
                return answer.status in (HTTPStatus.OK, ABOVE_QUOTA)
        return False

    async def has_room(self, place: Place, size: int) -> bool:
        """How much room somebody else has is not told: of his libraries only that there is none any longer; nor that,
        to a user who may see a part of one. The upload is refused in time."""
        answer = await self._library(place)
        if answer.status == HTTPStatus.FORBIDDEN:
            return True
        if answer.status != HTTPStatus.OK or answer.fields().get("no_quota") is True:
            return False
        account = (await self._look(place, "/api2/account/info/")).fields()
        if account.get("email") != answer.fields().get("owner_email"):
            return True
        usage, total = account.get("usage"), account.get("total")
        if not isinstance(usage, int) or not isinstance(total, int) or total < 0:
            return True
        return usage + size < total

    async def _library(self, place: Place) -> Answer:
        return await self._look(place, f"/api/v2.1/repos/{place.library.lower()}/", 403, 404)

    # --- folders

    async def folder_id(self, place: Place, folder: str) -> str:
        answer = await self._listing(place, folder)
        return answer.headers.get("oid", "") if answer.status == HTTPStatus.OK else ""

    async def entry_at(self, place: Place, path: str) -> Entry | None:
        above, _, name = path.rpartition("/")
        name = unicodedata.normalize("NFC", name)
        return next((entry for entry in await self.entries(place, above or "/") if entry.name == name), None)

    async def entries(self, place: Place, folder: str) -> list[Entry]:
        answer = await self._listing(place, folder)
        if answer.status != HTTPStatus.OK:
            return []
        found = await asyncio.to_thread(answer.json)
        return [_entry(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    async def _listing(self, place: Place, folder: str) -> Answer:
        answer = await self._told_of(place, "dir", folder)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise seafile_sentences.not_visible()
        return answer

    async def _told_of(self, place: Place, route: str, folder: str, *others: int) -> Answer:
        """The answer about a folder, of status 200, 403, 404 or one of the others. The server falls over a folder
        whose *parent* is missing: that is then asked for, and its absence is the folder's."""
        answer = await self._look(place, _route(place, route), 403, 404, *_STUMBLED, *others, folder=folder)
        if answer.status not in _STUMBLED:
            return answer
        above = folder.rstrip("/").rpartition("/")[0]
        if above and (await self._told_of(place, "dir", above)).status == HTTPStatus.NOT_FOUND:
            return answer._replace(status=HTTPStatus.NOT_FOUND)
        raise _refused(answer)

    async def make_folder(self, place: Place, folder: str) -> None:
        """One after the other from above: whoever shares a folder may not make one from the root on. The server gives a
        name that is taken a number, so only what is missing is made."""
        for each in reversed(list(_upwards(folder))):
            if each != "/" and not await self.folder_id(place, each):
                await self._ask(place, "POST", _route(place, "dir"), 201, folder=each, form={"operation": "mkdir"})

    # --- uploads

    async def upload_link(self, place: Place, folder: str) -> str:
        answer = await self._upload_link(place, folder)
        match answer.status:
            case HTTPStatus.OK:
                return _link(answer)
            case 443:
                raise seafile_sentences.over_quota()
            case 404:
                raise seafile_sentences.folder_went()
            case _:
                raise seafile_sentences.not_visible()

    async def _upload_link(self, place: Place, folder: str) -> Answer:
        return await self._told_of(place, "upload-link", folder, ABOVE_QUOTA)

    # --- asking

    async def _look(self, place: Place, path: str, *others: int, folder: str = "") -> Answer:
        """The answer, of status 200 or one of the others. A look that is not answered has done nothing."""
        try:
            return await self._ask(place, "GET", path, 200, *others, folder=folder)
        except Unanswered as silence:
            raise ServerAway(str(silence)) from silence

    async def _ask(
        self, place: Place, method: str, path: str, *expected: int, folder: str = "", form: dict[str, str] | None = None
    ) -> Answer:
        query = {"p": folder} if folder else {}
        headers = {"Authorization": f"Token {self._token(place)}", "Accept": "application/json"}
        deadline = asyncio.get_running_loop().time() + PATIENCE
        async with aiohttp.ClientSession(timeout=self._limits, trust_env=False, headers=headers) as session:
            while True:
                with self._troubles():
                    answer = await _answered(session, method, f"{self._url}{path}", query, form)
                pause = _pause_asked(answer)
                if pause is None or asyncio.get_running_loop().time() + pause > deadline:
                    break
                await asyncio.sleep(pause)
        return self._judged(answer, expected)

    def _judged(self, answer: Answer, expected: tuple[int, ...]) -> Answer:
        """Raises Refused, ServerAway and Trouble for what was not expected."""
        if answer.status in _NEVER_ITS_PAGE and not answer.is_json:
            log.warning(
                "%s answered %d as no Seafile web site does: see [library] seahub_url", self._url, answer.status
            )
            raise ServerAway(f"no Seafile web site answers at {self._url}")
        if answer.status == HTTPStatus.UNAUTHORIZED or answer.is_to_nobody:
            raise seafile_sentences.stale_token()
        if answer.status == HTTPStatus.FORBIDDEN and not answer.is_json:
            raise _refused(answer)
        if answer.status in expected:
            return answer
        if answer.status in _BUSY:
            raise ServerAway(f"the Seafile web site answered {answer.status}")
        if answer.status == HTTPStatus.FORBIDDEN:
            raise seafile_sentences.not_visible()
        raise _refused(answer)

    def _token(self, place: Place) -> str:
        try:
            token = self._tokens.of(place.owner)
        except TokensTrouble as trouble:
            log.error("%s", trouble)
            raise seafile_sentences.no_tokens() from trouble
        if token is None:
            raise seafile_sentences.no_token()
        return token

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            log.warning("the Seafile web site %s cannot be reached: %s", self._url, error)
            raise ServerAway(f"the Seafile web site {self._url} cannot be reached") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unanswered(f"the Seafile web site {self._url} broke off") from error


async def _answered(
    session: aiohttp.ClientSession, method: str, url: str, query: dict[str, str], form: dict[str, str] | None
) -> Answer:
    async with session.request(method, url, params=query, data=form, allow_redirects=False) as answer:
        body = bytearray()
        async for piece in answer.content.iter_chunked(1 << 16):
            body += piece
            if len(body) > LONGEST_ANSWER:
                raise Refused(answer.status, "the Seafile web site's answer is too long")
        return Answer(answer.status, answer.headers, bytes(body))


def _pause_asked(answer: Answer) -> float | None:
    """Seconds until the server wants to be asked again; None if it has answered."""
    if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    after = answer.headers.get("Retry-After", "")
    return float(after) if after.isascii() and after.isdecimal() else USUAL_PAUSE


def _refused(answer: Answer) -> Refused:
    return Refused(answer.status, f"the Seafile web site answered {answer.status}")


def _route(place: Place, route: str) -> str:
    """Ids are in small letters there, and nowhere else in capitals."""
    return f"/api2/repos/{place.library.lower()}/{route}/"


def _link(answer: Answer) -> str:
    """Where an upload goes. It holds a key: it is never told. Raises Refused."""
    link = _text(answer.json())
    if not link.startswith(("http://", "https://")):
        raise Refused(answer.status, "the Seafile web site gave no link for an upload")
    return link


def _upwards(folder: str) -> Iterator[str]:
    """`/a/b`, `/a`, `/`."""
    path = folder.rstrip("/")
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield "/"


def _entry(found: Mapping[str, object]) -> Entry:
    size = found.get("size")
    return Entry(
        name=_text(found.get("name")),
        id=_text(found.get("id")),
        is_folder=found.get("type") == "dir",
        size=size if isinstance(size, int) else 0,
        modifier=_text(found.get("modifier_email")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
