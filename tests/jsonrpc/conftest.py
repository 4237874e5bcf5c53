"""A house, and clients who speak to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.jsonrpc.house import House, opened


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody with a token, who says what he likes."""

    session: aiohttp.ClientSession
    url: str
    token: str

    async def post(self, said: object) -> tuple[int, Any]:
        """Status and words of the answer to a message: JSON, or these very bytes."""
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        async with self.session.post(self.url, data=body) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            return answer.status, json.loads(await answer.read())

    async def call(self, method: str, *params: object) -> Any:
        """The result of a call. Raises Refused."""
        _, answer = await self.post(self.request(method, *params))
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", "q")
        if "error" in answer:
            raise Refused(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    def request(self, method: str, *params: object) -> dict[str, object]:
        shown = [] if method.startswith("system.") else [f"token:{self.token}"]
        return {"jsonrpc": "2.0", "id": "q", "method": method, "params": [*shown, *params]}

    def inner(self, method: str, *params: object) -> dict[str, object]:
        """A call within system.multicall."""
        return {"methodName": method, "params": [f"token:{self.token}", *params]}


class Refused(Exception):
    """The answer was a fault: its code and its message."""

    @property
    def code(self) -> int:
        return int(self.args[0])

    @property
    def message(self) -> str:
        return str(self.args[1])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path) as house:
        yield house


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def ann(house: House, session: aiohttp.ClientSession) -> Client:
    return Client(session, house.url, "odl_ann")


@pytest.fixture
def bob(house: House, session: aiohttp.ClientSession) -> Client:
    return Client(session, house.url, "odl_bob")
