"""The description of these routes, in the form of the original's server: OpenAPI 3.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker_wf._version import __version__

Schema = dict[str, object]
_TEXT: Schema = {"type": "string"}
_MOMENT: Schema = {"type": "string", "format": "date-time", "nullable": True}
_STATUSES = ["running", "completed", "failed", "cancelled"]


def _object(required: Sequence[str] = (), **properties: object) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str, items: Schema) -> Schema:
    return _object([name], **{name: {"type": "array", "items": items}})


_EVENT = _object(
    ["value", "type"],
    value={"type": "object"},
    types={"type": "array", "items": _TEXT},
    type=_TEXT,
    qualified_name={"type": "string", "nullable": True},
)
_HANDLER = _object(
    ["handler_id", "workflow_name", "status", "started_at"],
    handler_id=_TEXT,
    workflow_name=_TEXT,
    run_id={"type": "string", "nullable": True},
    status={"type": "string", "enum": _STATUSES},
    started_at={"type": "string", "format": "date-time"},
    updated_at=_MOMENT,
    completed_at=_MOMENT,
    error={"type": "string", "nullable": True},
    result={"allOf": [_ref("EventEnvelopeWithMetadata")], "nullable": True},
    result_unreadable={"type": "boolean"},
)
_SCHEMAS: Mapping[str, Schema] = {
    "EventEnvelopeWithMetadata": _EVENT,
    "Handler": _HANDLER,
    "HandlersList": _list("handlers", _ref("Handler")),
    "WorkflowsList": _list("workflows", _TEXT),
    "Problem": _object(["detail"], detail=_TEXT),
    "Run": _object(
        start_event={"type": "object", "description": "The fields of the start event, or an envelope."},
        context={"type": "object", "description": "A saved context, where the server takes them."},
        handler_id=_TEXT,
        kwargs={"type": "object"},
    ),
    "Sent": _object(["event"], event=_ref("EventEnvelopeWithMetadata"), step={"type": "string", "nullable": True}),
}
_ANYTHING: Schema = {"type": "object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is to be known of one route.

    Attributes:
        refuses: statuses of answers that hold a ``Problem``.
        others: statuses of further answers of the same kind, and what they say.
    """

    summary: str
    answer: Schema
    query: Mapping[str, Schema] | None = None
    body: str = ""
    refuses: Sequence[int] = ()
    others: Mapping[int, str] | None = None


_QUERY_OF_EVENTS: Mapping[str, Schema] = {
    "sse": {"type": "boolean", "default": True},
    "include_internal": {"type": "boolean", "default": False},
    "include_qualified_name": {"type": "boolean", "default": True},
    "after_sequence": {"type": "string", "description": "A number, -1 for all, or 'now'."},
}
_LISTED: Mapping[str, Schema] = {
    "status": {"type": "array", "items": {"type": "string", "enum": _STATUSES}},
    "workflow_name": {"type": "array", "items": _TEXT},
}
_STANDS = {202: "still running", 422: "its result cannot be read", 500: "it failed or was cancelled"}
_ABOUT: Mapping[tuple[str, str], Described] = {
    ("GET", "/health"): Described(summary="Whether the server works", answer=_object(status=_TEXT), refuses=(503,)),
    ("GET", "/workflows"): Described(summary="The workflows", answer=_ref("WorkflowsList")),
    ("POST", "/workflows/{name}/run"): Described(
        summary="Run it and wait", answer=_ref("Handler"), body="Run", refuses=(400, 404, 409, 500)
    ),
    ("POST", "/workflows/{name}/run-nowait"): Described(
        summary="Run it", answer=_ref("Handler"), body="Run", refuses=(400, 404, 409, 500)
    ),
    ("GET", "/workflows/{name}/schema"): Described(
        summary="Its start and stop event", answer=_object(start=_ANYTHING, stop=_ANYTHING), refuses=(404,)
    ),
    ("GET", "/workflows/{name}/events"): Described(
        summary="Its events", answer=_list("events", _ANYTHING), refuses=(404,)
    ),
    ("GET", "/workflows/{name}/representation"): Described(
        summary="Its graph", answer=_object(graph=_ANYTHING), refuses=(404,)
    ),
    ("GET", "/handlers"): Described(summary="The runs", answer=_ref("HandlersList"), query=_LISTED),
    ("GET", "/handlers/{handler_id}"): Described(
        summary="How a run stands", answer=_ref("Handler"), refuses=(404,), others=_STANDS
    ),
    ("GET", "/results/{handler_id}"): Described(
        summary="How a run stands, with its bare result", answer=_ANYTHING, refuses=(404,), others=_STANDS
    ),
    ("GET", "/events/{handler_id}"): Described(
        summary="The events of a run, as a stream",
        answer=_ref("EventEnvelopeWithMetadata"),
        query=_QUERY_OF_EVENTS,
        refuses=(400, 404),
        others={204: "nothing is left"},
    ),
    ("POST", "/events/{handler_id}"): Described(
        summary="An event for a run", answer=_object(status=_TEXT), body="Sent", refuses=(400, 404, 409, 500)
    ),
    ("POST", "/handlers/{handler_id}/cancel"): Described(
        summary="Cancel a run",
        answer=_object(status={"type": "string", "enum": ["cancelled", "deleted"]}),
        query={"purge": {"type": "boolean", "default": False}},
        refuses=(404,),
    ),
}


def described(table: Sequence[tuple[str, str]]) -> Schema:
    """All of the routes given by method and path.

    Raises:
        KeyError: nothing is known of one.
    """
    paths: dict[str, dict[str, object]] = {}
    for method, path in table:
        paths.setdefault(path, {})[method.lower()] = _operation(path, _ABOUT[method, path])
    return {
        "openapi": "3.0.0",
        "info": {"title": "Workflows API", "version": __version__},
        "components": {"schemas": dict(_SCHEMAS)},
        "paths": paths,
    }


def _operation(path: str, about: Described) -> Schema:
    is_stream = "stream" in about.summary
    kinds = ("text/event-stream", "application/x-ndjson") if is_stream else ("application/json",)
    answers: dict[str, object] = {"200": _answer("done", about.answer, *kinds)}
    answers |= {str(code): _answer("refused", _ref("Problem"), "application/json") for code in about.refuses}
    answers |= {str(code): {"description": text} for code, text in (about.others or {}).items()}
    named = [one[1:-1] for one in path.split("/") if one.startswith("{")]
    parameters: list[object] = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in named]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in (about.query or {}).items()]
    operation: Schema = {"summary": about.summary, "parameters": parameters, "responses": answers}
    if about.body:
        operation["requestBody"] = {"content": {"application/json": {"schema": _ref(about.body)}}}
    return operation


def _answer(text: str, schema: Schema, *kinds: str) -> Schema:
    return {"description": text, "content": {kind: {"schema": schema} for kind in kinds}}
