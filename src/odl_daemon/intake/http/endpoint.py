"""One operation of the API: what it takes, who may ask, what it answers; and how a request becomes its answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar, cast

from aiohttp import web
from pydantic import BaseModel, ValidationError

from odl_daemon.intake.http.trouble import bad_request, no_json_type, no_task, too_large, too_slow
from odl_daemon.model.keys import Principal

M = TypeVar("M", bound=BaseModel)

LARGEST_ID: Final = 2**63 - 1

LARGEST_BODY: Final = 512 * 1024
"""Bytes of a request's body."""

BODY_LIMIT: Final = 30.0
"""Seconds until the body of a request must be here."""


class Role(Enum):
    """Who may ask."""

    ANYBODY = "anybody"
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has been checked."""

    principal: Principal
    """Of an operation that anybody may ask for: nobody."""
    query: BaseModel | None
    body: BaseModel | None
    request: web.Request

    @property
    def id(self) -> int:
        """The task in the path."""
        number = int(self.request.match_info["id"])
        if not 0 < number <= LARGEST_ID:
            raise no_task(number)
        return number

    def query_as(self, model: type[M]) -> M:
        return self.query if isinstance(self.query, model) else _never(model)

    def body_as(self, model: type[M]) -> M:
        return self.body if isinstance(self.body, model) else _never(model)


def _never(model: type[M]) -> M:
    raise AssertionError(f"the endpoint does not take {model.__name__}")


Do = Callable[[Asked], Awaitable[object]]
"""Carries out what was asked; returns what `answer` describes, for JSON or as a whole answer. Raises Trouble."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    summary: str
    do: Do
    answer: type[BaseModel]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    role: Role = Role.USER
    without_database: bool = False
    """It is answered also while the database is away. Of others nothing is begun then: it would be done later."""

    async def asked(self, request: web.Request, principal: Principal) -> Asked:
        """The request, checked. Raises Trouble."""
        query = None if self.query is None else _checked(self.query, _query(request, self.query))
        body = None if self.body is None else _checked(self.body, await _json(request))
        return Asked(principal, query, body, request)


NOBODY: Final = Principal("")


def _query(request: web.Request, model: type[BaseModel]) -> dict[str, object]:
    lists = {name for name, field in model.model_fields.items() if "list" in str(field.annotation)}
    given: dict[str, object] = {}
    for name in request.query:
        values = request.query.getall(name)
        if name not in lists and len(values) > 1:
            raise bad_request(f"{name}: expected once")
        given[name] = values if name in lists else values[0]
    return given


async def _json(request: web.Request) -> object:
    if request.content_type != "application/json":
        raise no_json_type()
    try:
        async with asyncio.timeout(BODY_LIMIT):
            text = await request.read()
    except TimeoutError as late:
        raise too_slow() from late
    if len(text) > LARGEST_BODY:
        raise too_large()
    try:
        return cast(object, json.loads(text, parse_constant=_no_number, object_pairs_hook=_named_once))
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is no JSON that can be read") from error


def _no_number(word: str) -> None:
    raise ValueError(word)


def _named_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A program between us and the client may read another one of two."""
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("a name occurs twice")
    return named


def _checked(model: type[M], given: object) -> M:
    if not isinstance(given, Mapping):
        raise bad_request("expected a JSON object")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise bad_request("; ".join(_mistake(dict(each)) for each in error.errors()[:5])) from error


def _mistake(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part)[:40] for part in error["loc"]) or "the body"
    return f"{place}: {str(error['msg']).removeprefix('Value error, ')}"
