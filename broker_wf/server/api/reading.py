"""Runs: lists of them, how one stands, its course and what it has published."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from pydantic import JsonValue

from broker_wf.core.ids import RunId
from broker_wf.driver.watching import until_its_end
from broker_wf.errors import EventsTrimmedError
from broker_wf.inspector import Inspector
from broker_wf.inspector.searching import search
from broker_wf.inspector.views import EventView
from broker_wf.server.api.endpoint import Call, as_json
from broker_wf.server.api.models import Events, EventsQuery, Executions, RunDetail, RunPage, RunsQuery, State
from broker_wf.server.sse import HEARTBEAT, LiveResponse, sequence_of

_QUIET_S = 15.0


async def list_runs(call: Call) -> RunPage:
    """``GET /runs``."""
    asked = call.query(RunsQuery)
    found = await search(await call.inspector(), asked.wanted(), asked.limit, asked.cursor)
    return RunPage(runs=found.runs, next=found.next)


async def show_run(call: Call) -> RunDetail:
    """``GET /runs/{run_id}``."""
    run = await (await call.inspector()).run(call.path("run_id"))
    live = sum(one.queued + one.leased + one.delayed + one.waiting + one.held for one in run.steps)
    return RunDetail(run=run, done=run.done, total=run.done + live + run.backlog)


async def show_state(call: Call) -> State:
    """``GET /runs/{run_id}/state``."""
    found = await (await call.inspector()).state(call.path("run_id"))
    return State(state=cast("dict[str, JsonValue]", found))


async def list_steps(call: Call) -> Executions:
    """``GET /runs/{run_id}/steps``."""
    return Executions(steps=await (await call.inspector()).steps(call.path("run_id")))


async def list_events(call: Call) -> Events | LiveResponse:
    """``GET /runs/{run_id}/events``, once or as they come."""
    asked = call.query(EventsQuery)
    inspector = await call.inspector()
    run_id = await inspector.run_id(call.path("run_id"))
    if not asked.sse and "text/event-stream" not in call.request.headers.get("accept", ""):
        return Events(events=await inspector.events(run_id, asked.after, asked.limit))
    seen = sequence_of(call.request.headers.get("last-event-id", ""))
    after = asked.after if seen is None else max(0, seen)
    return LiveResponse(
        _streamed(call, inspector, run_id, after),
        media_type="text/event-stream",
        draining=call.host.draining,
        quiet=HEARTBEAT,
        quiet_s=_QUIET_S,
    )


async def _streamed(call: Call, inspector: Inspector, run_id: RunId, after: int) -> AsyncGenerator[bytes, None]:
    """Events as lines; at the end of the run one that is called ``end``, so that a browser does not ask again."""
    yield b": the events of a run\n\n"
    client = (await call.host.home()).client
    try:
        async with aclosing(until_its_end(client, run_id, after)) as entries:
            async for entry in entries:
                for view in await inspector.events_of(run_id, entry):
                    yield _lines(view)
        yield b"event: end\ndata: {}\n\n"
    except EventsTrimmedError as error:
        yield b"event: trimmed\ndata: " + as_json({"detail": str(error)}) + b"\n\n"


def _lines(view: EventView) -> bytes:
    return f"id: {view.seq}\n".encode() + b"data: " + as_json(view) + b"\n\n"
