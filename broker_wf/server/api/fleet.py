"""Workers, queues, dead letters, questions, workflows, and whether all that can be reached."""

from __future__ import annotations

import asyncio
import inspect

from pydantic import JsonValue
from starlette.responses import Response

from broker_wf.core.ids import WorkflowName
from broker_wf.errors import BrokerError
from broker_wf.inspector import Inspector
from broker_wf.inspector.records import record_of
from broker_wf.inspector.views import WorkflowView
from broker_wf.representation import WorkflowGraph, get_workflow_representation
from broker_wf.server.api.classes import event_classes, schema_of
from broker_wf.server.api.elsewhere import graph_of_facts
from broker_wf.server.api.endpoint import Call, Refusal, json_response
from broker_wf.server.api.metrics import prometheus_text
from broker_wf.server.api.models import (
    Backlog,
    BacklogQuery,
    DeadLetters,
    Health,
    LimitQuery,
    Question,
    Queues,
    Schemas,
    Waiting,
    WaitingQuery,
    Workers,
    WorkflowInfo,
    Workflows,
)
from broker_wf.workflow import Workflow

_READY_WITHIN_S = 2.0


async def list_workers(call: Call) -> Workers:
    """``GET /workers``."""
    return Workers(workers=await (await call.inspector()).workers())


async def list_queues(call: Call) -> Queues:
    """``GET /queues``."""
    return Queues(queues=list((await (await call.inspector()).status()).workflows))


async def backlog(call: Call) -> Backlog:
    """``GET /backlog``."""
    asked = call.query(BacklogQuery)
    views = (await (await call.inspector()).status()).workflows
    its = [view for view in views if asked.queue in (None, view.workflow)]
    waiting, running = sum(view.waiting for view in its), sum(view.running for view in its)
    oldest = max((view.oldest_waiting_ms or 0 for view in its), default=0)
    return Backlog(
        queue=asked.queue, waiting=waiting, running=running, backlog=waiting + running, oldest_waiting_ms=oldest
    )


async def list_dead_letters(call: Call) -> DeadLetters:
    """``GET /dlq``."""
    inspector = await call.inspector()
    letters = await inspector.dead_letters(call.query(LimitQuery).limit)
    return DeadLetters(dead_letters=letters, total=(await inspector.status()).dead_letters)


async def list_waiting(call: Call) -> Waiting:
    """``GET /waiting``."""
    asked = call.query(WaitingQuery)
    waits = await (await call.inspector()).waiting(asked.workflow, asked.limit)
    return Waiting(waiting=[Question(wait=one, schemas=_schemas(call, one.workflow, one.events)) for one in waits])


def _schemas(call: Call, workflow: str, names: tuple[str, ...]) -> dict[str, dict[str, JsonValue]]:
    found = call.host.workflows.get(workflow)
    known = event_classes(found) if found else {}
    return {name: schema_of(known[name]) for name in names if name in known}


async def list_workflows(call: Call) -> Workflows:
    """``GET /workflows``."""
    views = {view.workflow: view for view in (await (await call.inspector()).status()).workflows}
    names = sorted({*views, *call.host.workflows})
    return Workflows(workflows=[_info(name, views.get(name), call.host.workflows.get(name)) for name in names])


def _info(name: str, view: WorkflowView | None, here: Workflow | None) -> WorkflowInfo:
    return WorkflowInfo(
        name=name,
        class_path=here.spec.class_path if here else view.class_path if view else None,
        description=inspect.getdoc(type(here)) if here else None,
        startable=here is not None,
        workers=view.workers if view else 0,
        live_runs=view.live_runs if view else 0,
        ended_runs=view.ended_runs if view else 0,
    )


async def show_graph(call: Call) -> WorkflowGraph:
    """``GET /workflows/{workflow}/graph``: from its code, else from what its workers have told of it."""
    name = call.path("workflow")
    here = call.host.workflows.get(name)
    if here is not None:
        return get_workflow_representation(here)
    found = await _facts(await call.inspector(), name)
    return graph_of_facts(name, found)


async def show_schemas(call: Call) -> Schemas:
    """``GET /workflows/{workflow}/schemas``."""
    name = call.path("workflow")
    here = call.host.workflows.get(name)
    if here is not None:
        events = {class_name: schema_of(cls) for class_name, cls in event_classes(here).items()}
        return Schemas(workflow=name, start=here.start_event_class.__name__, events=events)
    facts = await _facts(await call.inspector(), name)
    start = facts.get("start")
    return Schemas(workflow=name, start=start.decode() if isinstance(start, bytes) else None, events={})


async def _facts(inspector: Inspector, name: str) -> dict[str, object]:
    found = await inspector.broker.roster.definition(WorkflowName(name))
    if found is None or not found[1]:
        raise Refusal(404, "WorkflowNotFound", f"nothing is known here of a workflow {name!r}")
    return dict(record_of(found[1]))


async def metrics(call: Call) -> Response:
    """``GET /metrics``."""
    text = prometheus_text(await (await call.inspector()).status())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def live(call: Call) -> Health:
    """``GET /livez``: the event loop turns, or nobody would answer."""
    return Health(status="ok")


async def ready(call: Call) -> Response:
    """``GET /readyz``: the namespace's server answers."""
    try:
        home = await asyncio.wait_for(call.host.home(), _READY_WITHIN_S)
        await asyncio.wait_for(home.broker.pipe.command("PING"), _READY_WITHIN_S)
    except (BrokerError, OSError, asyncio.TimeoutError) as error:
        return json_response(Health(status="unreachable", detail=str(error) or type(error).__name__), 503)
    return json_response(Health(status="ok"))
