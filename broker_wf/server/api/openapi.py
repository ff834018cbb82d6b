"""The description of the API, made of the very models that it validates and answers with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from broker_wf._version import __version__
from broker_wf.server.api.endpoint import Endpoint
from broker_wf.server.api.models import Problem

_Mode = Literal["validation", "serialization"]
_Refs = dict[tuple[type[BaseModel], _Mode], dict[str, object]]
_REF = "#/components/schemas/{model}"


def description(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, object]:
    """OpenAPI 3.1."""
    wanted: dict[tuple[type[BaseModel], _Mode], None] = {(Problem, "serialization"): None}
    for one in endpoints:
        if one.body is not None:
            wanted[one.body, "validation"] = None
        if one.answers is not None:
            wanted[one.answers, "serialization"] = None
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
    shown = {"schema": refs[one.answers, "serialization"]} if one.answers else {"schema": {"type": "string"}}
    problem = {"application/json": {"schema": refs[Problem, "serialization"]}}
    operation: dict[str, object] = {
        "summary": one.summary,
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{one.path}").strip("_"),
        "parameters": [*_path_parameters(one.path), *_query_parameters(one.query)],
        "responses": {
            str(one.status): {"description": "Done.", "content": {one.media: shown}},
            "default": {"description": "Refused.", "content": problem},
        },
    }
    if one.body is not None:
        content = {"application/json": {"schema": refs[one.body, "validation"]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


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
