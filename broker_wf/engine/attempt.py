"""One delivery: decode, call, plan, commit. A straight line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from broker_wf.broker.deliveries import Ended
from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.plans import Plan, effect_map
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
        return await _failed(program, site, delivery, Raised(error=error), [], elapsed_ms(), sent)
    while True:
        context = _context(program, site, delivery)
        outcome = await _called(program, site, step, context, arguments)
        needed: Undecided | None = None
        if isinstance(outcome, Undecided):
            needed = outcome
        else:
            ended = await _end(program, context, outcome, elapsed_ms, sent)
            if ended is not Ended.STALE_BUFFER:
                return ended
        delivery = replace(delivery, buffers=await site.broker.deliveries.snapshot(delivery, needed))


def _context(program: Program, site: Site, delivery: Delivery) -> StepContext:
    atomic = program.spec.steps[delivery.step].atomic
    effects = Effects(site=site, delivery=delivery, codec=program.codec, held=atomic)
    return StepContext(program=program, site=site, delivery=delivery, buffers=delivery.buffers, effects=effects)


async def _arguments(program: Program, site: Site, step: StepSpec, delivery: Delivery) -> dict[str, object]:
    decode = program.codec.decode_event
    match step.intake:
        case Intake.SINGLE:
            return {step.slots[0].parameter: decode(delivery.payload)}
        case Intake.SLOTS:
            payloads = cast("list[bytes]", unpack(delivery.payload))
            return {slot.parameter: decode(raw) for slot, raw in zip(step.slots, payloads, strict=True)}
        case Intake.COLLECTION:
            batch = delivery.batch
            if batch is None:
                batch = await site.broker.deliveries.batch(delivery)
            return {step.slots[0].parameter: [decode(raw) for raw in batch]}


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
    program: Program, context: StepContext, commit: StepCommit, effects: list[Plan], sent: Callable[[], None]
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
    effects: list[Plan],
    elapsed_ms: int,
    sent: Callable[[], None],
) -> Ended:
    failure = ask_policy(program.router, delivery, raised, elapsed_ms)
    store, record = site.broker.deliveries, _error_record(failure, delivery.started_ms)
    if failure.delay_ms is not None:
        log.info("%s failed and is tried again in %d ms: %r", _named(delivery), failure.delay_ms, failure.error)
        ended = await store.fail(failure, effects, pack(record), None, None, busy=site.is_busy(), sent=sent)
        if ended is Ended.DONE:
            site.timer_set(failure.delay_ms)
        return ended
    log.warning("%s failed for good: %r", _named(delivery), failure.error)
    letter = _letter(delivery, failure.error) if isinstance(failure.error, DecodeError) else None
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
    payload = program.codec.encode_event(event)
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
