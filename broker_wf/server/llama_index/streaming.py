"""The events of a run as a stream: server-sent, or a line of JSON each."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from broker_wf.broker.notes import NOTES
from broker_wf.events import Event, InternalDispatchEvent, StopEvent
from broker_wf.inspector.standing import Standing
from broker_wf.inspector.views import EventView
from broker_wf.server.llama_index.envelopes import read_envelope
from broker_wf.server.segments import part_of_path
from broker_wf.server.service import ENDED, Service
from broker_wf.server.sse import HEARTBEAT, LiveResponse, ascii_json, sequence_of, sse_event

_INTERNAL = frozenset({"StepStateChanged", "WorkflowIdleEvent", "UnhandledEvent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    sse: bool
    internal: bool
    qualified: bool
    after: int
    """A cursor of the feed, whose numbers begin at 1; those of that API begin at 0."""


async def stream(service: Service, request: Request) -> Response | LiveResponse:
    """``GET /events/{handler_id}``."""
    standing = await service.standing(part_of_path(request, "handler_id"))
    asked = await _asked(service, request, standing)
    feed = (await service.home()).broker.feed
    if standing.status in ENDED and not await feed.read(standing.run_id, asked.after, 1):
        return Response(status_code=204)
    if asked.internal and standing.status not in ENDED:
        await (await service.home()).broker.runs.expose(standing.run_id)
    return LiveResponse(
        _chunks(service, standing, asked),
        media_type="text/event-stream" if asked.sse else "application/x-ndjson",
        draining=service.draining,
        quiet=HEARTBEAT,
        quiet_s=service.options.heartbeat_s if asked.sse else None,
    )


async def _asked(service: Service, request: Request, standing: Standing) -> _Asked:
    query = request.query_params
    sse = query.get("sse", "true").lower() == "true"
    text = query.get("after_sequence", "-1")
    last = request.headers.get("last-event-id", "") if sse else ""
    seen, given = sequence_of(last), sequence_of(text)
    if seen is not None:
        after = seen + 1
    elif text.lower() == "now":
        newest = await (await service.home()).broker.feed.last(standing.run_id, 1)
        after = newest[0].seq if newest else 0
    elif given is not None:
        after = given + 1
    else:
        raise HTTPException(400, f"Invalid after_sequence: '{text}'")
    return _Asked(
        sse=sse,
        internal=query.get("include_internal", "false").lower() == "true",
        qualified=query.get("include_qualified_name", "true").lower() == "true",
        after=max(0, after),
    )


async def _chunks(service: Service, standing: Standing, asked: _Asked) -> AsyncGenerator[bytes, None]:
    """What one entry of the feed holds is sent at once; its number goes with the last of it."""
    async for entry in service.entries(standing.run_id, asked.after):
        if entry.name == NOTES and not asked.internal:
            continue
        events = await service.events_of(standing.run_id, standing.workflow, entry)
        shown = [one for one in events if asked.internal or not _is_internal(one)]
        lines = [ascii_json(read_envelope(one, qualified=asked.qualified)) for one in shown]
        if lines and asked.sse:
            numbers = [None] * (len(lines) - 1) + [entry.seq - 1]
            yield b"".join(map(sse_event, numbers, lines))
        elif lines:
            yield b"".join(line + b"\n" for line in lines)
        if any(_is_last(one) for one in events) or (entry.name.startswith("!") and entry.name != NOTES):
            return


def _is_internal(event: Event | EventView) -> bool:
    return event.type in _INTERNAL if isinstance(event, EventView) else isinstance(event, InternalDispatchEvent)


def _is_last(event: Event | EventView) -> bool:
    return isinstance(event, StopEvent)
