"""All entries of the API in one table, from which come its routes and its description."""

from __future__ import annotations

from starlette.routing import Route

from broker_wf.representation import WorkflowGraph
from broker_wf.server.api import acting, fleet, logs, reading
from broker_wf.server.api.changes import Changes
from broker_wf.server.api.endpoint import Call, Endpoint, routes_of
from broker_wf.server.api.host import Host
from broker_wf.server.api.models import (
    Backlog,
    BacklogQuery,
    Bulk,
    BulkDone,
    DeadLetters,
    Done,
    Dropped,
    Events,
    EventsQuery,
    Executions,
    Health,
    Letters,
    LimitQuery,
    Logs,
    LogsQuery,
    Queues,
    Rerun,
    Retried,
    RunDetail,
    RunPage,
    RunsQuery,
    Schemas,
    SentEvent,
    Started,
    StartedRuns,
    State,
    Waiting,
    WaitingQuery,
    Workers,
    Workflows,
)
from broker_wf.server.api.openapi import description
from broker_wf.server.api.starting import NewRun, NewRuns

PREFIX = "/api/v1"

_RUN = (
    "/runs/{run_id}",
    "/runs/{run_id}/steps",
    "/runs/{run_id}/state",
    "/runs/{run_id}/events",
    "/runs/{run_id}/logs",
)

_RUNS = (
    Endpoint(
        method="GET",
        path="/runs",
        summary="List runs, newest first",
        handle=reading.list_runs,
        query=RunsQuery,
        answers=(RunPage,),
    ),
    Endpoint(
        method="POST",
        path="/runs",
        summary="Start a run, or several",
        handle=acting.start_runs,
        body=(NewRun, NewRuns),
        answers=(Started, StartedRuns),
        refuses=(400, 404, 409),
        leads_to=_RUN,
    ),
    Endpoint(
        method="POST",
        path="/runs:bulk",
        summary="Cancel many runs, or do them again",
        handle=acting.bulk,
        body=(Bulk,),
        answers=(BulkDone,),
    ),
    Endpoint(
        method="GET", path="/runs/{run_id}", summary="All about a run", handle=reading.show_run, answers=(RunDetail,)
    ),
    Endpoint(
        method="GET",
        path="/runs/{run_id}/steps",
        summary="The rows of its waterfall",
        handle=reading.list_steps,
        answers=(Executions,),
    ),
    Endpoint(
        method="GET",
        path="/runs/{run_id}/state",
        summary="Its Context's state",
        handle=reading.show_state,
        answers=(State,),
    ),
    Endpoint(
        method="GET",
        path="/runs/{run_id}/events",
        summary="What it has published; followed as server-sent events",
        handle=reading.list_events,
        query=EventsQuery,
        answers=(Events,),
        refuses=(410,),
        streams=True,
    ),
    Endpoint(
        method="GET",
        path="/runs/{run_id}/logs",
        summary="What its steps have logged; followed as server-sent events",
        handle=logs.list_logs,
        query=LogsQuery,
        answers=(Logs,),
        streams=True,
    ),
    Endpoint(
        method="POST",
        path="/runs/{run_id}/events",
        summary="Send it an event",
        handle=acting.send_event,
        body=(SentEvent,),
        answers=(Done,),
        refuses=(409,),
    ),
    Endpoint(
        method="POST",
        path="/runs/{run_id}/rerun",
        summary="Do it again, whole or from a step",
        handle=acting.rerun_run,
        body=(Rerun,),
        answers=(Started,),
        refuses=(409,),
        leads_to=_RUN,
    ),
    Endpoint(
        method="POST", path="/runs/{run_id}/cancel", summary="Cancel it", handle=acting.cancel_run, answers=(Done,)
    ),
)
_FLEET = (
    Endpoint(method="GET", path="/workers", summary="Live workers", handle=fleet.list_workers, answers=(Workers,)),
    Endpoint(method="GET", path="/queues", summary="Load by workflow", handle=fleet.list_queues, answers=(Queues,)),
    Endpoint(
        method="GET",
        path="/backlog",
        summary="What there is to do, as a number to scale by",
        handle=fleet.backlog,
        query=BacklogQuery,
        answers=(Backlog,),
    ),
    Endpoint(
        method="GET",
        path="/dlq",
        summary="What was given up on",
        handle=fleet.list_dead_letters,
        query=LimitQuery,
        answers=(DeadLetters,),
    ),
    Endpoint(
        method="POST",
        path="/dlq:drop",
        summary="Drop dead letters",
        handle=acting.drop_letters,
        body=(Letters,),
        answers=(Dropped,),
    ),
    Endpoint(
        method="POST",
        path="/dlq:retry",
        summary="Let runs go on from dead letters",
        handle=acting.retry_letters,
        body=(Letters,),
        answers=(Retried,),
    ),
    Endpoint(
        method="GET",
        path="/waiting",
        summary="Questions that wait for an answer",
        handle=fleet.list_waiting,
        query=WaitingQuery,
        answers=(Waiting,),
    ),
    Endpoint(
        method="GET", path="/workflows", summary="All workflows", handle=fleet.list_workflows, answers=(Workflows,)
    ),
    Endpoint(
        method="GET",
        path="/workflows/{workflow}/graph",
        summary="Its steps and events, and what leads to what",
        handle=fleet.show_graph,
        answers=(WorkflowGraph,),
        refuses=(404,),
    ),
    Endpoint(
        method="GET",
        path="/workflows/{workflow}/schemas",
        summary="JSON schemas of its events",
        handle=fleet.show_schemas,
        answers=(Schemas,),
        refuses=(404,),
    ),
)
_PROBES = (
    Endpoint(
        method="GET", path="/metrics", summary="For Prometheus", handle=fleet.metrics, media="text/plain; version=0.0.4"
    ),
    Endpoint(
        method="GET",
        path="/livez",
        summary="Whether the process lives",
        handle=fleet.live,
        answers=(Health,),
        probe=True,
    ),
    Endpoint(
        method="GET",
        path="/readyz",
        summary="Whether the namespace answers",
        handle=fleet.ready,
        answers=(Health,),
        probe=True,
        down=Health,
    ),
)


def routes(host: Host) -> list[Route]:
    """The routes, with their prefix."""
    stream = Endpoint(
        method="GET",
        path="/stream",
        summary="What changes: newest runs and load, as server-sent events",
        handle=Changes(host).stream,
        media="text/event-stream",
    )
    listed = (*_RUNS, *_FLEET, stream, *_PROBES)
    shown = description(listed, PREFIX)

    async def describe(call: Call) -> dict[str, object]:
        return shown

    own = Endpoint(method="GET", path="/openapi.json", summary="This description", handle=describe)
    return routes_of((*listed, own), PREFIX, host)


def probe_routes(host: Host) -> list[Route]:
    """What machines look for at the root: ``/metrics``, ``/livez``, ``/readyz``."""
    return routes_of(_PROBES, "", host)
