"""Start runs, and wait for their ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from broker_wf.broker.runs import RunState
from broker_wf.core.ids import RunId
from broker_wf.core.run_ids import new_run_id
from broker_wf.errors import ContextSerdeError, EncodeError, LimitExceededError, RunConflictError
from broker_wf.events import StartEvent
from broker_wf.inspector.standing import standing_of
from broker_wf.server.llama_index.answers import json_answer
from broker_wf.server.llama_index.envelopes import EventRefusedError, written_event
from broker_wf.server.llama_index.handlers import handler_data
from broker_wf.server.service import ENDED, Served, Service
from broker_wf.server.sse import LiveResponse, ascii_json

PATIENCE_S = 4.0
"""How long a client waits for the first byte of an answer without doubt: the original's gives up after 5 s."""
_SPACE_EVERY_S = 2.0


async def json_object(request: Request) -> dict[str, object]:
    """The body, whatever its type is said to be.

    Raises:
        HTTPException: it is no JSON object.
    """
    try:
        body = cast(object, from_json(await request.body()))
    except ValueError as error:
        raise HTTPException(400, f"Invalid JSON body: {error}") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "Error processing request body: it is no JSON object")
    return cast("dict[str, object]", body)


async def started(service: Service, served: Served, request: Request) -> RunId:
    """Start the run that a request asks for.

    Raises:
        HTTPException: it was not accepted.
    """
    body = await json_object(request)
    event = _start_event(served, body.get("start_event", body.get("kwargs", {})))
    context = body.get("context") or None
    if context is not None and not isinstance(context, dict):
        raise HTTPException(400, "Error processing request body: context is no object")
    if context is not None and not service.options.accept_context:
        raise HTTPException(400, "Context API is disabled. Set accept_context_api=True on WorkflowServer to enable it.")
    given = body.get("handler_id")
    if given is not None and not isinstance(given, str):
        raise HTTPException(400, "Error processing request body: handler_id is no text")
    run_id = given or new_run_id()
    inherited = await _inherited(service, given) if given else {}
    try:
        return await service.start(served, event, run_id, cast("dict[str, object] | None", context), inherited)
    except RunConflictError as error:
        raise HTTPException(409, f"Handler {run_id} is already in use") from error
    except (EncodeError, LimitExceededError, ContextSerdeError, ValueError) as error:
        raise HTTPException(400, f"Error processing request body: {error}") from error


async def _inherited(service: Service, run_id: str) -> dict[str, bytes]:
    """The state that a run before has left under this id; that run is forgotten.

    Raises:
        HTTPException: it goes on.
    """
    broker = (await service.home()).broker
    found = await standing_of(broker, run_id)
    if found is None:
        return {}
    if found.status not in ENDED:
        raise HTTPException(409, f"Handler {run_id} is still running")
    state = await broker.state.all(found.run_id)
    await broker.runs.purge(found.run_id)
    return {key: one.value for key, one in state.items() if one.value is not None}


def _start_event(served: Served, given: object) -> StartEvent:
    cls = served.workflow.start_event_class
    try:
        event = written_event({} if given is None else given, served.readable(), cls)
    except EventRefusedError as error:
        raise HTTPException(400, f"Validation error for 'start_event': {error}") from error
    if not isinstance(event, cls):
        raise HTTPException(400, f"Start event must be an instance of {cls}")
    return cast(StartEvent, event)


async def whole_run(service: Service, run_id: RunId) -> Response | LiveResponse:
    """The answer to a ``/run``: at its end, or, where it lasts long, begun before it."""
    ending = asyncio.ensure_future(service.ended(run_id))
    try:
        await asyncio.wait([ending], timeout=PATIENCE_S if service.options.run_keepalive else None)
        if ending.done():
            data = await _end(service, ending, run_id)
            return json_answer(data, 200 if data["status"] == "completed" else 500)
    except BaseException:
        ending.cancel()
        raise
    return LiveResponse(
        _late(service, ending, run_id),
        media_type="application/json",
        draining=service.draining,
        quiet=b" ",
        quiet_s=_SPACE_EVERY_S,
    )


async def _late(service: Service, ending: asyncio.Future[RunState], run_id: RunId) -> AsyncGenerator[bytes, None]:
    try:
        yield b" "
        yield ascii_json(await _end(service, ending, run_id))
    finally:
        ending.cancel()


async def _end(service: Service, ending: asyncio.Future[RunState], run_id: RunId) -> dict[str, object]:
    await ending
    return await handler_data(service, await service.standing(run_id))
