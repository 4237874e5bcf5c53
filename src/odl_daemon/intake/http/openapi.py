"""The OpenAPI document, made of the endpoints and the models that validate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from odl_daemon import __version__
from odl_daemon.intake.http.endpoint import LARGEST_ID, Endpoint, Role
from odl_daemon.intake.http.models import ErrorAnswer

REFS: Final = "#/components/schemas/{model}"


def document(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """OpenAPI 3.1."""
    schemas = _schemas(endpoints)
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        paths.setdefault(_path(endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint)
    paths["/api/v1/events"] = {"get": _EVENTS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "odl-daemon", "version": __version__, "license": {"name": "GPL-3.0-or-later"}},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "odl_session"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    models: dict[type[BaseModel], str] = {ErrorAnswer: "serialization"}
    for endpoint in endpoints:
        models[endpoint.answer] = "serialization"
        if endpoint.body is not None:
            models[endpoint.body] = "validation"
    pairs: Any = list(models.items())
    _, found = models_json_schema(pairs, ref_template=REFS)
    schemas: dict[str, object] = found["$defs"]
    return schemas


def _operation(endpoint: Endpoint) -> dict[str, object]:
    operation: dict[str, object] = {
        "summary": endpoint.summary,
        "operationId": _name(endpoint),
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(endpoint.query)],
        "responses": {
            "200": {"description": "Done.", "content": _content(endpoint.answer)},
            "default": {"description": "Not done, and why.", "content": _content(ErrorAnswer)},
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body)}
    if endpoint.role is Role.ANYBODY:
        operation["security"] = []
    return operation


def _content(model: type[BaseModel]) -> dict[str, object]:
    return {"application/json": {"schema": {"$ref": REFS.format(model=model.__name__)}}}


def _path(path: str) -> str:
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


def _path_parameters(path: str) -> list[dict[str, object]]:
    schemas: Mapping[str, dict[str, object]] = {
        "id": {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
        "wish": {"type": "string", "enum": ["pause", "resume", "cancel", "retry"]},
    }
    names = re.findall(r"\{(\w+)[:}]", path)
    return [{"name": name, "in": "path", "required": True, "schema": schemas[name]} for name in names]


def _query_parameters(model: type[BaseModel] | None) -> list[dict[str, object]]:
    if model is None:
        return []
    schema = model.model_json_schema(ref_template=REFS)
    defined = schema.get("$defs", {})
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _inlined(each, defined)}
        for name, each in schema["properties"].items()
    ]


def _inlined(schema: Any, defined: Mapping[str, Any]) -> Any:
    """A schema with what it refers to written out."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(defined[schema["$ref"].rpartition("/")[2]], defined)
        return {key: _inlined(value, defined) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inlined(each, defined) for each in schema]
    return schema


def _name(endpoint: Endpoint) -> str:
    words = re.findall(r"[a-z]+", _path(endpoint.path).removeprefix("/api/v1"))
    return "_".join([endpoint.method.lower(), *words])


_EVENTS: Final = {
    "summary": "What moves, as it moves (server-sent events)",
    "operationId": "get_events",
    "parameters": [
        {"name": "owner", "in": "query", "schema": {"type": "string", "maxLength": 255}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {
            "description": "Events: hello, tasks ({tasks: [...]}), counts, and reset: read the list anew.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        "default": {"description": "Not done, and why.", "content": _content(ErrorAnswer)},
    },
}
