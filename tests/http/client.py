"""A program that uses the HTTP door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from odl_daemon.health import Vitals

JSON = {"Content-Type": "application/json"}


async def _at_once() -> float:
    return 0.0


WELL = Vitals(stuck=lambda: False, troubles=list, respawns=lambda: 0, blocks=lambda: 0, database_latency=_at_once)
"""Of a daemon that nothing hinders."""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    text: str
    cookies: Mapping[str, Any]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def reason(self) -> str:
        """The word of an error."""
        return str(self.json["error"]["reason"])

    @property
    def sentence(self) -> str:
        return str(self.json["error"]["sentence"])


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream."""

    name: str
    data: Any
    id: str


@dataclass(frozen=True)
class Client:
    """Asks with one key, or with cookies; without either as nobody."""

    base: str
    token: str = ""
    cookie: str = ""
    unix: str = ""
    """A socket file to reach the door by."""

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, Any] | list[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Told:
        """`body` goes as JSON; `raw` as it is."""
        sent = raw if raw is not None or body is None else json.dumps(body).encode()
        sort = JSON if sent is not None else {}
        async with (
            self._session() as session,
            session.request(
                method,
                self.base + path,
                params=query,
                data=sent,
                headers={**self._headers(), **sort, **(headers or {})},
                allow_redirects=False,
            ) as answer,
        ):
            cookies = dict(answer.cookies.items())
            return Told(answer.status, answer.headers, await answer.text(), cookies)

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer that must be 200."""
        told = await self.ask("GET", path, query=query)
        assert told.status == 200, told
        return told.json

    async def post(self, path: str, body: object = None) -> Any:
        """The same of a POST."""
        told = await self.ask("POST", path, body)
        assert told.status == 200, told
        return told.json

    async def add(self, *urls: str, **more: object) -> list[int]:
        """Hands over links that must be taken; the ids of their tasks."""
        results = (await self.post("/api/v1/tasks", {"urls": urls, **more}))["results"]
        assert all(result["task"] for result in results), results
        return [result["task"]["id"] for result in results]

    @asynccontextmanager
    async def events(self, *, last: str = "", owner: str = "") -> AsyncIterator[AsyncIterator[Event]]:
        """The stream, from its greeting on."""
        headers = {**self._headers(), **({"Last-Event-ID": last} if last else {})}
        async with (
            self._session() as session,
            session.get(
                f"{self.base}/api/v1/events",
                params={"owner": owner} if owner else None,
                headers=headers,
                read_bufsize=8 << 20,  # a piece is one long line
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()
            yield _events(answer.content)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.UnixConnector(self.unix) if self.unix else None
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=60)
        )

    def _headers(self) -> dict[str, str]:
        shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return shown | ({"Cookie": self.cookie} if self.cookie else {})


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for each in lines:
        line = each.decode().rstrip("\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield Event(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
            fields = {"id": fields.get("id", "")}


async def until_event(events: AsyncIterator[Event], name: str) -> Event:
    """The next event of this name."""
    async for event in events:
        if event.name == name:
            return event
    raise AssertionError(f"the stream ended before {name}")
