"""One delivery: decode, call, plan, commit. A straight line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from broker_wf.broker.deliveries import Ended
from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.plans import Plan, Planned, effect_map
from broker_wf.context.context import Context, InStep, current_step
from broker_wf.context.state_store import DictState
from broker_wf.core.commit import StepCommit, StepFailure, plan_commit
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Outcome, Raised, Returned, Undecided
from broker_wf.core.spec import Intake, StepSpec
from broker_wf.engine.effects import Effects
from broker_wf.engine.invocation import Call, ask_policy, invoke
from broker_wf.engine.program import Program
from broker_wf.engine.site import Site
from broker_wf.engine.step_context import StepContext
from broker_wf.errors import DecodeError, EncodeError, LimitExceededError
from broker_wf.events import InputRequiredEvent, WorkflowFailedEvent
from broker_wf.wire.blobs import NOTHING_FETCHED
from broker_wf.wire.remote_errors import encode_error

log = logging.getLogger("broker_wf.step")


async def execute(
    program: Program, site: Site, delivery: Delivery, elapsed_ms: Callable[[], int], sent: Callable[[], None]
) -> Ended:
    """Execute a delivery to its commit.

    Args:
        elapsed_ms: since the first attempt of the delivery began.
        sent: called when the attempt's end is on its way and not yet answered.

    Raises:
        asyncio.CancelledError: nothing was committed.
    """
    step = program.spec.steps[delivery.step]
    try:
        arguments = await _arguments(program, site, step, delivery)
    except DecodeError as error:
        failure = StepFailure(delivery=delivery, error=error, delay_ms=None, elapsed_ms=elapsed_ms())
        return await _given_up(program, site, failure, [], sent, _letter(delivery, error))
    started = _Start(program=program, site=site, step=step, arguments=arguments, elapsed_ms=elapsed_ms, sent=sent)
    ended = await _tried(started, delivery)
    if isinstance(ended, Ended):
        return ended
    async with site.turns.of(delivery.run_id, delivery.step):
        while not isinstance(ended, Ended):
            buffers = await site.broker.deliveries.snapshot(delivery, ended.needed)
            ended = await _tried(started, replace(delivery, buffers=buffers))
    return ended


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What each execution of a delivery has in common."""

    program: Program
    site: Site
    step: StepSpec
    arguments: dict[str, object]
    elapsed_ms: Callable[[], int]
    sent: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Stale:
    """An execution that ``collect_events`` decided wrongly, or not at all for want of events."""

    needed: Undecided | None


async def _tried(started: _Start, delivery: Delivery) -> Ended | _Stale:
    context = await _context(started.program, started.site, delivery)
    outcome = await _called(started.program, started.site, started.step, context, started.arguments)
    if not isinstance(outcome, Undecided):
        ended = await _end(started.program, context, outcome, started.elapsed_ms, started.sent)
        if ended is not Ended.STALE_BUFFER:
            return ended
    await context.drop()
    return _Stale(outcome if isinstance(outcome, Undecided) else None)


async def _context(program: Program, site: Site, delivery: Delivery) -> StepContext:
    atomic = program.spec.steps[delivery.step].atomic
    effects = Effects(site=site, delivery=delivery, codec=program.codec, held=atomic)
    blobs = NOTHING_FETCHED
    if delivery.buffers:
        collected = (payload for one in delivery.buffers.values() for payload in one.payloads)
        blobs = await site.broker.blobs.fetch(delivery.run_id, collected)
    return StepContext(
        program=program, site=site, delivery=delivery, buffers=delivery.buffers, blobs=blobs, effects=effects
    )


async def _arguments(program: Program, site: Site, step: StepSpec, delivery: Delivery) -> dict[str, object]:
    payloads = await _payloads(site, step, delivery)
    blobs = await site.broker.blobs.fetch(delivery.run_id, payloads)
    events = [program.codec.decode_event(raw, blobs) for raw in payloads]
    if step.intake is Intake.COLLECTION:
        return {step.slots[0].parameter: events}
    return {slot.parameter: event for slot, event in zip(step.slots, events, strict=True)}


async def _payloads(site: Site, step: StepSpec, delivery: Delivery) -> Sequence[bytes]:
    match step.intake:
        case Intake.SINGLE:
            return (delivery.payload,)
        case Intake.SLOTS:
            return cast("list[bytes]", unpack(delivery.payload))
        case Intake.COLLECTION:
            batch = delivery.batch
            return await site.broker.deliveries.batch(delivery) if batch is None else batch


async def _called(
    program: Program, site: Site, step: StepSpec, context: StepContext, arguments: dict[str, object]
) -> Outcome:
    made: Context[DictState] = Context.of(InStep(context))
    token = current_step.set(made)
    try:
        return await invoke(
            Call(step=step, events=arguments, context=made, resources=program.resources, threads=site.threads)
        )
    finally:
        current_step.reset(token)


async def _end(
    program: Program,
    context: StepContext,
    outcome: Returned | Raised,
    elapsed_ms: Callable[[], int],
    sent: Callable[[], None],
) -> Ended:
    free, held = await context.effects.settle()
    if isinstance(outcome, Returned):
        commit = plan_commit(program.router, context.delivery, outcome, tuple(context.decisions))
        try:
            return await _commit(program, context, commit, [*free, *held], sent)
        except (EncodeError, LimitExceededError) as error:
            outcome = Raised(error=error)
    return await _failed(program, context.site, context.delivery, outcome, free, elapsed_ms(), sent)


async def _commit(
    program: Program, context: StepContext, commit: StepCommit, effects: list[Planned], sent: Callable[[], None]
) -> Ended:
    effects += [effect_map(one, context.effects.ids, program.codec) for one in commit.effects]
    _tell_unhandled(program, commit)
    store, busy = context.site.broker.deliveries, context.site.is_busy()
    return await store.commit(commit, effects, program.codec, busy=busy, sent=sent)


def _tell_unhandled(program: Program, commit: StepCommit) -> None:
    for emission in commit.emissions:
        if emission.route.is_empty and not isinstance(emission.event, InputRequiredEvent):
            log.warning(
                "step %s of run %s gave %s, which no step of %s takes",
                commit.delivery.step,
                commit.delivery.run_id,
                emission.route.name,
                program.spec.name,
            )


async def _failed(
    program: Program,
    site: Site,
    delivery: Delivery,
    raised: Raised,
    effects: list[Planned],
    elapsed_ms: int,
    sent: Callable[[], None],
) -> Ended:
    failure = ask_policy(program.router, delivery, raised, elapsed_ms)
    if failure.delay_ms is None:
        return await _given_up(program, site, failure, effects, sent, None)
    store, record = site.broker.deliveries, _error_record(failure, delivery.started_ms)
    log.info("%s failed and is tried again in %d ms: %r", _named(delivery), failure.delay_ms, failure.error)
    ended = await store.fail(failure, effects, pack(record), None, None, busy=site.is_busy(), sent=sent)
    if ended is Ended.DONE:
        site.timer_set(failure.delay_ms)
    return ended


async def _given_up(
    program: Program,
    site: Site,
    failure: StepFailure,
    effects: list[Planned],
    sent: Callable[[], None],
    letter: Plan | None,
) -> Ended:
    """End the run. An event that cannot be read comes here at once: no retry policy makes it readable."""
    log.warning("%s failed for good: %r", _named(failure.delivery), failure.error)
    store, record = site.broker.deliveries, _error_record(failure, failure.delivery.started_ms)
    ending = _ending(program, failure, record)
    return await store.fail(failure, effects, pack(record), ending, letter, busy=site.is_busy(), sent=sent)


def _error_record(failure: StepFailure, started_ms: int) -> Plan:
    """What the next attempt, the run's record and a driver get to know of the failure."""
    return {
        **encode_error(failure.error),
        "step": failure.delivery.step,
        "attempts": failure.delivery.attempt,
        "elapsed_ms": failure.elapsed_ms,
        "failed_ms": started_ms,
    }


def _ending(program: Program, failure: StepFailure, record: Plan) -> Plan:
    event = WorkflowFailedEvent(
        step_name=failure.delivery.step,
        exception=failure.error,
        attempts=failure.delivery.attempt,
        elapsed_seconds=failure.elapsed_ms / 1000,
    )
    # Whole: its texts are cut where the error was encoded, and a failing run should write nothing ahead of its end.
    payload = program.codec.encode_value(event, what=type(event).__name__)
    return {"status": "failed", "error": pack(record), "name": type(event).__name__, "payload": payload}


def _letter(delivery: Delivery, error: Exception) -> Plan:
    return {
        "kind": "undecodable",
        "run": delivery.run_id,
        "delivery": delivery.id,
        "workflow": delivery.workflow,
        "step": delivery.step,
        "event": delivery.event,
        "reason": str(error),
        "payload": delivery.payload,
    }


def _named(delivery: Delivery) -> str:
    return f"step {delivery.step} of run {delivery.run_id}, attempt {delivery.attempt},"
