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
from broker_wf.inspector.views import EventView, RunSummary
from broker_wf.server.api.endpoint import Call, as_json
from broker_wf.server.api.models import Bulk, Events, EventsQuery, Executions, RunDetail, RunPage, RunsQuery, State
from broker_wf.server.sse import HEARTBEAT, LiveResponse, sequence_of

_QUIET_S = 15.0
_SEARCHED = 20_000
_SEARCHED_AT_ONCE = 500


async def list_runs(call: Call) -> RunPage:
    """``GET /runs``."""
    asked = call.query(RunsQuery)
    return await page_of(await call.inspector(), asked, asked.limit, asked.cursor)


async def page_of(inspector: Inspector, asked: RunsQuery | Bulk, limit: int, cursor: str | None) -> RunPage:
    """Runs that fit the filters; of a search at most so many are looked through, and ``next`` goes on from there."""
    found, looked = list[RunSummary](), 0
    at_once = limit if asked.q is None else max(limit, _SEARCHED_AT_ONCE)
    while len(found) < limit:
        page = await inspector.runs(asked.workflow, asked.status, at_once, cursor)
        for run in page:
            if asked.since is not None and (run.ended_at or run.created_at) < asked.since:
                return RunPage(runs=found, next=None)
            cursor = run.cursor
            if asked.q is None or asked.q in run.run_id or asked.q in run.workflow:
                found.append(run)
                if len(found) == limit:
                    break
        looked += len(page)
        if len(page) < at_once:
            return RunPage(runs=found, next=cursor if len(found) == limit else None)
        if looked >= _SEARCHED:
            break
    return RunPage(runs=found, next=cursor)


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
