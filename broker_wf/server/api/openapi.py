"""The description of the API, made of the very models that it validates and answers with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from broker_wf._version import __version__
from broker_wf.server.api.endpoint import Endpoint
from broker_wf.server.api.models import Problem

_Mode = Literal["validation", "serialization"]
_Refs = dict[tuple[type[BaseModel], _Mode], dict[str, object]]
_STREAM = "text/event-stream"
_SENT: dict[str, object] = {
    "description": "One event of the stream; `id` is what `Last-Event-ID` takes.",
    "type": "object",
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_REF = "#/components/schemas/{model}"


def description(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, object]:
    """OpenAPI 3.1."""
    wanted: dict[tuple[type[BaseModel], _Mode], None] = {(Problem, "serialization"): None}
    for one in endpoints:
        wanted |= {(model, "validation"): None for model in one.body}
        wanted |= {(model, "serialization"): None for model in (*one.answers, *((one.down,) if one.down else ()))}
    found, definitions = models_json_schema([*wanted], ref_template=_REF)
    refs = cast(_Refs, found)
    paths: dict[str, dict[str, object]] = {}
    for one in endpoints:
        paths.setdefault(prefix + one.path, {})[one.method.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "broker_wf", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"bearer": []}],
    }


def _operation(one: Endpoint, refs: _Refs) -> dict[str, object]:
    operation: dict[str, object] = {
        "summary": one.summary,
        "operationId": _name(one.method, one.path),
        "parameters": [*_path_parameters(one.path), *_query_parameters(one.query)],
        "responses": _responses(one, refs),
    }
    if one.body:
        content = {"application/json": {"schema": _any_of([refs[model, "validation"] for model in one.body])}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(one: Endpoint, refs: _Refs) -> dict[str, object]:
    content: dict[str, object] = {one.media: {"schema": _SENT if one.media == _STREAM else {"type": "string"}}}
    if one.answers:
        content[one.media] = {"schema": _any_of([refs[model, "serialization"] for model in one.answers])}
    if one.streams:
        content[_STREAM] = {"schema": _SENT}
    done: dict[str, object] = {"description": "Done.", "content": content}
    if one.leads_to:
        done["links"] = {_name("get", path): _link(path) for path in one.leads_to}
    problem = {"application/json": {"schema": refs[Problem, "serialization"]}}
    found: dict[str, object] = {"200": done}
    found |= {str(status): {"description": HTTPStatus(status).phrase, "content": problem} for status in one.refusals}
    if one.down is not None:
        down = {"application/json": {"schema": refs[one.down, "serialization"]}}
        found["503"] = {"description": HTTPStatus(503).phrase, "content": down}
    return found


def _name(method: str, path: str) -> str:
    return re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_")


def _link(path: str) -> dict[str, object]:
    return {"operationId": _name("get", path), "parameters": {"run_id": "$response.body#/run_id"}}


def _any_of(schemas: Sequence[dict[str, object]]) -> dict[str, object]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": [*schemas]}


def _path_parameters(path: str) -> list[dict[str, object]]:
    names = cast("list[str]", re.findall(r"{(\w+)}", path))
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(model: type[BaseModel] | None) -> list[dict[str, object]]:
    if model is None:
        return []
    fields = cast("dict[str, dict[str, object]]", model.model_json_schema()["properties"])
    return [
        {"name": name, "in": "query", "description": schema.get("description", ""), "schema": schema}
        for name, schema in fields.items()
    ]
