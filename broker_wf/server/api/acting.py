"""What the API changes: runs are started, told something, cancelled."""

from __future__ import annotations

import secrets

from pydantic import ValidationError

from broker_wf.again import Again, ended_badly, letters_like, live, rerun, rerun_each, retry_each
from broker_wf.core.ids import EventId, RunId, StepName
from broker_wf.core.run_ids import checked_run_id, new_run_id
from broker_wf.engine.program import Program
from broker_wf.errors import BrokerError
from broker_wf.launching import submit
from broker_wf.server.api.classes import event_classes
from broker_wf.server.api.endpoint import Call, Refusal, faults_of
from broker_wf.server.api.models import (
    Bulk,
    BulkDone,
    Done,
    Dropped,
    Letters,
    Rerun,
    Retried,
    SentEvent,
    Started,
    StartedRuns,
)
from broker_wf.server.api.starting import NewRun, NewRuns
from broker_wf.workflow import Workflow


def workflow_here(call: Call, name: str) -> Workflow:
    """A workflow whose code this process has.

    Raises:
        Refusal: it has not.
    """
    found = call.host.workflows.get(name)
    if found is None:
        known = ", ".join(sorted(call.host.workflows)) or "none"
        raise Refusal(404, "WorkflowNotServed", f"this server has not the code of workflow {name!r}; it has: {known}")
    return found


def program_here(call: Call, workflow: Workflow) -> Program:
    """What the namespace of this server executes of a workflow, whichever namespace the workflow itself names."""
    return workflow.program(is_open=call.host.settings.url is None)


async def start_runs(call: Call) -> StartedRuns | Started:
    """``POST /runs``: one run, or ``{"runs": […]}``."""
    raw = await call.request.body()
    if raw.lstrip()[:1] == b"{" and b'"runs"' in raw:
        try:
            many = await call.body(NewRuns)
        except ValidationError:
            many = None
        if many is not None:
            return StartedRuns(runs=[await _start_or_say(call, one) for one in many.runs])
    return await _start(call, await call.body(NewRun))


async def _start(call: Call, asked: NewRun) -> Started:
    workflow = workflow_here(call, asked.workflow)
    event = workflow.start_event_class.model_validate(asked.event)
    run_id = new_run_id() if asked.run_id is None else checked_run_id(asked.run_id)
    options, token = asked.options(), asked.request_id or ""
    await submit(call.host.settings, program_here(call, workflow), run_id, event, {}, options, token)
    return Started(run_id=run_id, workflow=asked.workflow)


async def _start_or_say(call: Call, asked: NewRun) -> Started:
    try:
        return await _start(call, asked)
    except ValidationError as error:
        why = faults_of(error)
    except (Refusal, ValueError, BrokerError) as error:
        why = str(error)
    return Started(run_id=None, workflow=asked.workflow, error=why)


async def cancel_run(call: Call) -> Done:
    """``POST /runs/{run_id}/cancel``."""
    run_id = await (await call.inspector()).run_id(call.path("run_id"))
    return Done(run_id=run_id, status=await (await call.host.home()).broker.runs.cancel(run_id))


async def send_event(call: Call) -> Done:
    """``POST /runs/{run_id}/events``."""
    asked = await call.body(SentEvent)
    run = await (await call.inspector()).run(call.path("run_id"))
    workflow = workflow_here(call, run.workflow)
    classes = event_classes(workflow)
    cls = classes.get(asked.type)
    if cls is None:
        raise Refusal(400, "UnknownEvent", f"{asked.type!r} is none of the workflow's events: {', '.join(classes)}")
    event, program = cls.model_validate(asked.value), program_here(call, workflow)
    route = program.router.sent_route(cls, None if asked.step is None else StepName(asked.step))
    encoded = program.codec.at(run.run_id).encode_event(event)
    event_id = EventId(f"x{asked.event_id or secrets.token_hex(8)}")
    await (await call.host.home()).broker.runs.send(RunId(run.run_id), event_id, event, encoded, route)
    return Done(run_id=run.run_id, status="sent")


async def rerun_run(call: Call) -> Started:
    """``POST /runs/{run_id}/rerun``."""
    asked = await call.body(Rerun)
    run = await (await call.inspector()).run(call.path("run_id"))
    broker = (await call.host.home()).broker
    made = await rerun(broker, run.run_id, from_step=asked.from_step, new_id=asked.run_id)
    return Started(run_id=made, workflow=run.workflow)


async def drop_letters(call: Call) -> Dropped:
    """``POST /dlq:drop``."""
    asked = await call.body(Letters)
    ids, dry_run = await _letters(call, asked)
    dropped = 0 if dry_run or not ids else await (await call.host.home()).broker.letters.drop(ids)
    return Dropped(dropped=dropped, dry_run=dry_run, ids=ids)


async def retry_letters(call: Call) -> Retried:
    """``POST /dlq:retry``."""
    ids, dry_run = await _letters(call, await call.body(Letters))
    if dry_run:
        return Retried(dry_run=True, letters=[Again(id=one) for one in ids])
    return Retried(dry_run=False, letters=await retry_each((await call.host.home()).broker, ids))


async def _letters(call: Call, asked: Letters) -> tuple[list[str], bool]:
    """Which letters, and whether they are to be left alone."""
    dry_run = asked.ids is None if asked.dry_run is None else asked.dry_run
    if asked.ids is not None:
        return asked.ids, dry_run
    found = await letters_like(
        await call.inspector(), workflow=asked.workflow, step=asked.step, kind=asked.kind, limit=asked.limit
    )
    return [one.id for one in found], dry_run


async def bulk(call: Call) -> BulkDone:
    """``POST /runs:bulk``: first as a dry run, which is the default."""
    asked = await call.body(Bulk)
    run_ids = asked.run_ids if asked.run_ids is not None else await _fitting(call, asked)
    if asked.dry_run:
        return BulkDone(action=asked.action, dry_run=True, run_ids=run_ids)
    if asked.action == "rerun":
        again = await rerun_each((await call.host.home()).broker, run_ids, unfinished=asked.unfinished)
        done = [one.id for one in again if one.run_id is not None]
        return BulkDone(action=asked.action, dry_run=False, run_ids=done, again=again)
    done = [run_id for run_id in run_ids if await _cancelled(call, run_id)]
    return BulkDone(action=asked.action, dry_run=False, run_ids=done)


async def _fitting(call: Call, asked: Bulk) -> list[str]:
    """The runs that the filters fit and that the action is for."""
    fitting = live if asked.action == "cancel" else ended_badly
    return await fitting(await call.inspector(), asked.wanted(), asked.limit)


async def _cancelled(call: Call, run_id: str) -> bool:
    try:
        return await (await call.host.home()).broker.runs.cancel(RunId(run_id)) == "cancelled"
    except BrokerError:
        return False
