"""The end of an attempt that raised: again, to its handler, or the end of the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from broker_wf.broker.deliveries import Ended, FailurePlan
from broker_wf.broker.leased import Acknowledged
from broker_wf.broker.packing import pack
from broker_wf.broker.plans import Plan, Planned, recovery_map
from broker_wf.core.commit import StepFailure, handler_for, plan_recovery
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Raised
from broker_wf.core.spec import StepSpec
from broker_wf.engine.intake import input_event
from broker_wf.engine.invocation import ask_policy
from broker_wf.engine.program import Program
from broker_wf.engine.site import Site
from broker_wf.errors import DecodeError, EncodeError, LimitExceededError
from broker_wf.events import StepFailedEvent, WorkflowFailedEvent
from broker_wf.wire.remote_errors import encode_error

log = logging.getLogger("broker_wf.step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """An attempt that has failed.

    Attributes:
        sent: called when the attempt's end is on its way and not yet answered.
        effects: made by call and not sent yet.
        acked: what the server has done of those that were sent.
    """

    program: Program
    site: Site
    delivery: Delivery
    sent: Callable[[], None]
    effects: list[Planned] = field(default_factory=list[Planned])
    acked: Acknowledged = field(default_factory=Acknowledged)


async def failed(failing: Failing, raised: Raised, elapsed_ms: int) -> Ended:
    """End the attempt as its step's policy, and then its handler, have it.

    What the policy itself raises ends the run, whoever handles the step's failures.
    """
    delivery = failing.delivery
    failure = ask_policy(failing.program.router, delivery, raised, elapsed_ms)
    if failure.delay_ms is not None:
        return await _again(failing, failure, failure.delay_ms)
    handler = handler_for(failing.program.router, delivery) if failure.error is raised.error else None
    recovery = None if handler is None else await _recovery(failing, failure, handler)
    if recovery is None:
        return await _given_up(failing, failure, None)
    log.info("%s failed and goes to its handler: %r", _named(delivery), failure.error)
    return await _end(failing, failure, recovery)


async def unreadable(failing: Failing, error: DecodeError, elapsed_ms: int) -> Ended:
    """End the run because of an event that cannot be read: a dead letter, for no handler and no retry can read it."""
    delivery = failing.delivery
    failure = StepFailure(delivery=delivery, error=error, delay_ms=None, elapsed_ms=elapsed_ms)
    return await _given_up(failing, failure, _letter(delivery, error))


async def _again(failing: Failing, failure: StepFailure, delay_ms: int) -> Ended:
    log.info("%s failed and is tried again in %d ms: %r", _named(failure.delivery), delay_ms, failure.error)
    ended = await _end(failing, failure, FailurePlan(delay_ms=delay_ms))
    if ended is Ended.DONE:
        failing.site.timer_set(delay_ms)
    return ended


async def _given_up(failing: Failing, failure: StepFailure, letter: Plan | None) -> Ended:
    log.warning("%s failed for good: %r", _named(failure.delivery), failure.error)
    return await _end(failing, failure, FailurePlan(ending=_ending(failing.program, failure), letter=letter))


async def _end(failing: Failing, failure: StepFailure, plan: FailurePlan) -> Ended:
    failing.program.codec.registry.meet_error(failure.error)
    error, store = pack(_error_record(failure)), failing.site.broker.deliveries
    busy = failing.site.is_busy()
    return await store.fail(failing.delivery, failing.effects, error, plan, failing.acked, busy=busy, sent=failing.sent)


async def _recovery(failing: Failing, failure: StepFailure, handler: StepSpec) -> FailurePlan | None:
    """What the handler gets; None if that cannot travel."""
    program, delivery = failing.program, failure.delivery
    given = await input_event(program, failing.site, program.spec.steps[delivery.step], delivery)
    event = StepFailedEvent(
        step_name=delivery.step,
        input_event=given,
        exception=failure.error,
        attempts=delivery.attempt,
        elapsed_seconds=failure.elapsed_ms / 1000,
        failed_at=_failed_at(failure),
    )
    try:
        plan, blobs = recovery_map(
            plan_recovery(program.router, handler, delivery, event), program.codec.at(delivery.run_id)
        )
    except (EncodeError, LimitExceededError) as error:
        log.warning("%s cannot be handed to %s: %s", _named(delivery), handler.name, error)
        return None
    return FailurePlan(recovers=plan, blobs=blobs)


def _failed_at(failure: StepFailure) -> datetime:
    failed_ms = failure.delivery.first_started_ms + failure.elapsed_ms
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=failed_ms)


def _error_record(failure: StepFailure) -> Plan:
    """What the next attempt, the run's record and a driver get to know of the failure."""
    return {
        **encode_error(failure.error),
        "step": failure.delivery.step,
        "attempts": failure.delivery.attempt,
        "elapsed_ms": failure.elapsed_ms,
        "failed_ms": failure.delivery.first_started_ms + failure.elapsed_ms,
    }


def _ending(program: Program, failure: StepFailure) -> Plan:
    event = WorkflowFailedEvent(
        step_name=failure.delivery.step,
        exception=failure.error,
        attempts=failure.delivery.attempt,
        elapsed_seconds=failure.elapsed_ms / 1000,
    )
    # Whole: its texts are cut where the error was encoded, and a failing run should write nothing ahead of its end.
    payload = program.codec.at(failure.delivery.run_id).encode_whole(event)
    return {"status": "failed", "error": pack(_error_record(failure)), "name": type(event).__name__, "payload": payload}


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
