"""The API does what its OpenAPI document says, whatever is asked of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.http.conftest import House, house

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

EXAMPLES: Final = 40
"""Of each operation, in each mode."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A daemon that begins nothing, with a few tasks of everybody's."""
    async with house(
        tmp_path_factory.mktemp("http"), daemon={"enabled": False}, limits={"queued": 5000, "bytes_per_day": "1 GiB"}
    ) as running:
        for client in (running.ann, running.boss):
            await client.add(*[f"https://example.com/{number}" for number in range(5)])
        yield running


async def document(still: House) -> Any:
    return await still.nobody.get("/api/v1/openapi.json")


async def test_the_document_is_openapi_3_1(still: House) -> None:
    OpenAPIV31SpecValidator(await document(still)).validate()


async def test_the_document_tells_of_every_path_and_who_may_ask(still: House) -> None:
    paths = (await document(still))["paths"]
    operations = {(method.upper(), path): each for path, methods in paths.items() for method, each in methods.items()}
    assert {("GET", "/api/v1/tasks"), ("POST", "/api/v1/session"), ("GET", "/api/v1/events")} <= set(operations)
    names = [each["operationId"] for each in operations.values()]
    assert len(names) == len(set(names))
    for (method, path), each in operations.items():
        told = await still.nobody.ask(method, path.replace("{id}", "1").replace("{wish}", "pause"))
        assert told.status in ({400, 403, 415} if each.get("security") == [] else {401}), path


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("who", ["ann", "boss"])
async def test_whatever_is_asked_is_answered_as_the_document_says(
    still: House, mode: schemathesis.GenerationMode, who: str
) -> None:
    told = await document(still)
    del told["paths"]["/api/v1/events"]  # it goes on for ever
    del told["paths"]["/api/v1/session"]  # it ends what the others need
    token = getattr(still, who).token
    await asyncio.to_thread(_ask_everything, told, still.base, token, mode)


def _ask_everything(document: Any, base: str, token: str, mode: schemathesis.GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document)))
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]  # an operation that cannot be read has no such thing
            if mode is schemathesis.GenerationMode.NEGATIVE and not (operation.query or operation.body):
                continue  # whatever stands in such a path leads elsewhere

            def ask(case: Any) -> None:
                response = case.call(base_url=base, session=session)
                case.validate_response(response, checks=CHECKS)

            _for_examples(operation.as_strategy(generation_mode=mode), ask)


def _for_examples(strategy: Any, ask: Callable[[Any], None]) -> None:
    bounded = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    bounded(given(case=strategy)(ask))()
