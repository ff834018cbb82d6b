"""The routes, as llama-agents-server 0.8 has them; errors are ``{"detail": …}``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from broker_wf.errors import (
    EncodeError,
    LimitExceededError,
    RunEndedError,
    ServerRefusedError,
    ServerUnreachableError,
    WorkflowRuntimeError,
)
from broker_wf.representation import get_workflow_representation
from broker_wf.server.llama_index.answers import json_answer
from broker_wf.server.llama_index.envelopes import EventRefusedError, read_envelope, written_event
from broker_wf.server.llama_index.handlers import handler_data, just_accepted, list_handlers, status_code
from broker_wf.server.llama_index.openapi import described
from broker_wf.server.llama_index.running import json_object, started, whole_run
from broker_wf.server.llama_index.streaming import stream
from broker_wf.server.schemas import schema_of
from broker_wf.server.segments import part_of_path
from broker_wf.server.service import ENDED, Served, Service
from broker_wf.server.sse import LiveResponse

Answer = Response | LiveResponse
Handle = Callable[["_Api", Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class _Api:
    service: Service

    def served(self, request: Request) -> Served:
        found = self.service.served.get(part_of_path(request, "name"))
        if found is None:
            raise HTTPException(404, "Workflow not found")
        return found


def routes(service: Service) -> list[Route]:
    """All of them."""
    api = _Api(service)
    return [_route(api, method, path, handle) for method, path, handle in _TABLE]


def description() -> dict[str, object]:
    """What they take and answer, as OpenAPI."""
    return described([(method, path) for method, path, _ in _TABLE])


def _route(api: _Api, method: str, path: str, handle: Handle) -> Route:
    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        answer = await handle(api, Request(scope, receive, send))
        await answer(scope, receive, send)

    return Route(path, _Endpoint(endpoint), methods=[method])


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Starlette takes objects for apps and functions for what gives a response."""

    app: Callable[[Scope, Receive, Send], Awaitable[None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def _health(api: _Api, request: Request) -> Answer:
    try:
        await (await api.service.home()).broker.pipe.command("PING")
    except (ServerUnreachableError, ServerRefusedError):
        return json_answer({"status": "unhealthy"}, 503)
    return json_answer({"status": "healthy"})


async def _workflows(api: _Api, request: Request) -> Answer:
    return json_answer({"workflows": list(api.service.served)})


async def _schema(api: _Api, request: Request) -> Answer:
    workflow = api.served(request).workflow
    return json_answer({"start": schema_of(workflow.start_event_class), "stop": schema_of(workflow.stop_event_class)})


async def _event_schemas(api: _Api, request: Request) -> Answer:
    return json_answer({"events": [schema_of(cls) for cls in api.served(request).event_classes()]})


async def _representation(api: _Api, request: Request) -> Answer:
    return json_answer({"graph": get_workflow_representation(api.served(request).workflow).model_dump(mode="json")})


async def _run(api: _Api, request: Request) -> Answer:
    return await whole_run(api.service, await started(api.service, api.served(request), request))


async def _run_nowait(api: _Api, request: Request) -> Answer:
    served = api.served(request)
    return json_answer(just_accepted(served, await started(api.service, served, request)))


async def _handlers(api: _Api, request: Request) -> Answer:
    statuses, names = _listed(request, "status"), _listed(request, "workflow_name")
    return json_answer({"handlers": await list_handlers(api.service, statuses, names)})


def _listed(request: Request, name: str) -> set[str] | None:
    """The values of a parameter that may be repeated; empty ones ask for nothing."""
    values = {one.strip() for one in request.query_params.getlist(name)} - {""}
    return values or None


async def _handler(api: _Api, request: Request) -> Answer:
    data = await handler_data(api.service, await api.service.standing(part_of_path(request, "handler_id")))
    if data["result_unreadable"]:
        raise HTTPException(422, "Stored handler result cannot be decoded")
    return json_answer(data, status_code(data))


async def _result(api: _Api, request: Request) -> Answer:
    """Deprecated there too: the result without its envelope."""
    standing = await api.service.standing(part_of_path(request, "handler_id"))
    data = await handler_data(api.service, standing)
    if data["result_unreadable"]:
        raise HTTPException(422, "Stored handler result cannot be decoded")
    if standing.status == "completed":
        envelope = read_envelope(await api.service.result_of(standing))
        value = cast("dict[str, object]", envelope["value"])
        data["result"] = value.get("result") if envelope["type"] == "StopEvent" else value
    return json_answer(data, status_code(data))


async def _events(api: _Api, request: Request) -> Answer:
    return await stream(api.service, request)


async def _send(api: _Api, request: Request) -> Answer:
    body = await json_object(request)
    given, step = body.get("event"), body.get("step")
    if not given:
        raise HTTPException(400, "Event data is required")
    standing = await api.service.standing(part_of_path(request, "handler_id"))
    if standing.status in ENDED:
        raise HTTPException(409, "Workflow already completed")
    served = api.service.served_as(standing.workflow)
    if served is None:
        raise HTTPException(404, f"Workflow {standing.workflow} is not served here")
    try:
        event = written_event(given, served.readable())
        await api.service.send(served, standing.run_id, event, step if isinstance(step, str) else None)
    except RunEndedError as error:
        raise HTTPException(409, "Workflow already completed") from error
    except (EventRefusedError, EncodeError, LimitExceededError) as error:
        raise HTTPException(400, str(error)) from error
    except WorkflowRuntimeError as error:
        raise HTTPException(500, str(error)) from error
    return json_answer({"status": "sent"})


async def _cancel(api: _Api, request: Request) -> Answer:
    standing = await api.service.standing(part_of_path(request, "handler_id"))
    purge = request.query_params.get("purge", "false").lower() == "true"
    broker = (await api.service.home()).broker
    if standing.status in ENDED:
        if not purge:
            raise HTTPException(404, "Handler not found")
    else:
        await broker.runs.cancel(standing.run_id)
    if purge:
        await broker.runs.purge(standing.run_id)
    return json_answer({"status": "deleted" if purge else "cancelled"})


_TABLE: tuple[tuple[str, str, Handle], ...] = (
    ("GET", "/health", _health),
    ("GET", "/workflows", _workflows),
    ("GET", "/workflows/{name}/schema", _schema),
    ("GET", "/workflows/{name}/events", _event_schemas),
    ("GET", "/workflows/{name}/representation", _representation),
    ("POST", "/workflows/{name}/run", _run),
    ("POST", "/workflows/{name}/run-nowait", _run_nowait),
    ("GET", "/handlers", _handlers),
    ("GET", "/handlers/{handler_id}", _handler),
    ("GET", "/results/{handler_id}", _result),
    ("GET", "/events/{handler_id}", _events),
    ("POST", "/events/{handler_id}", _send),
    ("POST", "/handlers/{handler_id}/cancel", _cancel),
)
