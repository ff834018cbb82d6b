"""What shall change when an attempt ends: decided here, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_wf.core.delivery import Delivery
from broker_wf.core.handlers import handler_of
from broker_wf.core.ids import CollectionId, DeliveryId, EventId, Fence, StepName
from broker_wf.core.outcome import CollectDecision, Raised, Returned
from broker_wf.core.routing import JoinPlan, Route, Router
from broker_wf.core.spec import StepSpec, WorkflowSpec
from broker_wf.events import Event, InputRequiredEvent, StepFailedEvent, StopEvent
from broker_wf.retry_policy import retry_delay


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class Emission:
    """An event handed on, under an id that is the same on every start of the attempt."""

    id: EventId
    event: Event
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A collection the step opened by returning a list."""

    id: CollectionId
    joins: tuple[JoinPlan, ...]


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class StepCommit:
    """The end of an attempt that succeeded.

    Attributes:
        asked: returned questions: they are published.
        stop: the event that ends the run; then nothing is handed on.
    """

    delivery: Delivery
    decisions: tuple[CollectDecision, ...]
    asked: tuple[InputRequiredEvent, ...] = ()
    emissions: tuple[Emission, ...] = ()
    opening: Opening | None = None
    stop: StopEvent | None = None

    def follower(self, spec: WorkflowSpec) -> StepName | None:
        """The step of the one delivery that follows, if there is one alone and anybody may execute it at once."""
        if len(self.emissions) != 1 or self.opening is not None:
            return None
        route = self.emissions[0].route
        if len(route.to) != 1 or route.slots or route.into:
            return None
        step = spec.steps[route.to[0]]
        return step.name if step.num_workers is None and step.num_workers_per_run is None else None

    def following(self, step: StepName, fence: Fence, payload: bytes) -> Delivery:
        """The one delivery that follows, as a worker would be handed it.

        Args:
            payload: the encoded event.
        """
        before, emission = self.delivery, self.emissions[0]
        return Delivery(
            run_id=before.run_id,
            workflow=before.workflow,
            lane=before.lane,
            id=DeliveryId(f"{emission.id}@{step}"),
            step=step,
            event=emission.route.name,
            payload=payload,
            attempt=1,
            crashes=0,
            fence=fence,
            collection=before.collection,
            joins=None,
            batch=None,
            batch_size=0,
            first_started_ms=before.started_ms,
            started_ms=before.started_ms,
            last_error=None,
            timeout_ms=0,
            place=None,
            buffers={},
            recoveries=before.recoveries,
            trace=before.trace,
            kept=before.kept + 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailure:
    """The end of an attempt that raised.

    Attributes:
        delay_ms: when to try again; None: the run fails.
        elapsed_ms: since the first attempt began.
    """

    delivery: Delivery
    error: Exception
    delay_ms: int | None
    elapsed_ms: int


def plan_commit(
    router: Router,
    delivery: Delivery,
    returned: Returned,
    decisions: tuple[CollectDecision, ...],
) -> StepCommit:
    """Decide what a returned step means for the run.

    A StopEvent ends the run; what was returned beside it is dropped, as upstream clears every queue there. A returned
    InputRequiredEvent is published as well.
    """
    if stops := [event for event in returned.events if isinstance(event, StopEvent)]:
        return StepCommit(delivery=delivery, decisions=decisions, stop=stops[0])
    asked = [event for event in returned.events if isinstance(event, InputRequiredEvent)]
    base = delivery.child_base
    emissions = [
        Emission(id=EventId(f"{base}.{index}"), event=event, route=router.route(type(event)))
        for index, event in enumerate(returned.events)
    ]
    joins = router.joins_of(delivery.step) if returned.listed else ()
    return StepCommit(
        delivery=delivery,
        decisions=decisions,
        asked=tuple(asked),
        emissions=tuple(emissions),
        opening=Opening(id=CollectionId(f"{base}*"), joins=joins) if joins else None,
    )


def plan_failure(router: Router, delivery: Delivery, raised: Raised, elapsed_ms: int) -> StepFailure:
    """Decide whether a step that raised is tried again, and when.

    Raises:
        Exception: whatever a user's retry policy raises.
    """
    delay_s = retry_delay(
        router.spec.steps[delivery.step].retry_policy,
        elapsed_ms / 1000,
        delivery.attempt,
        raised.error,
        f"{delivery.run_id}:{delivery.step}:{delivery.attempt}",
    )
    delay_ms = None if delay_s is None else round(delay_s * 1000)
    return StepFailure(delivery=delivery, error=raised.error, delay_ms=delay_ms, elapsed_ms=elapsed_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A failed step's work, handed to its ``catch_error`` handler.

    Attributes:
        counts: how often each handler has been called on the way to this event, this time included.
    """

    emission: Emission
    counts: Mapping[StepName, int]


def handler_for(router: Router, delivery: Delivery) -> StepSpec | None:
    """The handler that a step without attempts left goes to, if there is one and its budget is not used up."""
    handler = handler_of(router.spec.steps, delivery.step)
    if handler is None or delivery.recoveries.get(handler.name, 0) >= handler.max_recoveries:
        return None
    return handler


def plan_recovery(router: Router, handler: StepSpec, delivery: Delivery, event: StepFailedEvent) -> Recovery:
    """Decide what a handler gets, and what it has used of its budget by then."""
    counts = {**delivery.recoveries, handler.name: delivery.recoveries.get(handler.name, 0) + 1}
    route = router.route(StepFailedEvent, handler.name)
    return Recovery(emission=Emission(id=EventId(f"{delivery.child_base}!"), event=event, route=route), counts=counts)
