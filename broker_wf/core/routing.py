"""Where an event goes: computed from the spec, once per class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker_wf.collect import Take
from broker_wf.core.ids import EventName, StepName
from broker_wf.core.spec import EventClass, Intake, StepSpec, WorkflowSpec
from broker_wf.errors import WorkflowRuntimeError
from broker_wf.events import InputRequiredEvent, InternalDispatchEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRoute:
    """A slot of a several-parameter join: ``index`` of ``count``, from 1; ``event`` names the join's stream."""

    step: StepName
    index: int
    count: int
    event: EventName


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who takes events of one class.

    Attributes:
        to: steps that get a delivery for each event.
        slots: joins with several parameters.
        into: steps that take a list, if the event descends from a collection they close.
        limits: ``num_workers`` of the limited steps among ``to``.
        lost: class name and qualified name, if it may be that nobody takes the event. A question needs no taker.
        only: the one step it was sent to.
        is_answer: an event that nobody takes is kept for whoever may wait for it yet; a question is not.
    """

    name: EventName
    to: tuple[StepName, ...]
    slots: tuple[SlotRoute, ...]
    into: tuple[StepName, ...]
    limits: Mapping[StepName, int] = field(default_factory=dict[StepName, int])
    lost: tuple[str, str] | None = None
    only: StepName | None = None
    is_answer: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nobody takes such an event."""
        return not (self.to or self.slots or self.into)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPlan:
    """A step that takes the list a collection closes with.

    Attributes:
        take: start at the n-th member; 0: when the collection closes.
        event: names the stream the join's delivery goes to.
    """

    step: StepName
    take: int
    event: EventName


@dataclass(frozen=True, slots=True)
class Router:
    """The routes of a workflow."""

    spec: WorkflowSpec
    _routes: dict[tuple[EventClass, StepName | None], Route] = field(
        default_factory=dict[tuple[EventClass, StepName | None], Route]
    )

    def route(self, event_class: EventClass, target: StepName | None = None) -> Route:
        """The route of a class; with ``target`` only to that step."""
        found = self._routes.get((event_class, target))
        if found is None:
            found = self._routes[event_class, target] = _route(self.spec, event_class, target)
        return found

    def sent_route(self, event_class: EventClass, target: StepName | None) -> Route:
        """The route of an event that is sent by call, and so belongs to no fan-out.

        Raises:
            WorkflowRuntimeError: the target does not exist, does not take the class, or joins a fan-out.
        """
        if target is None:
            return self.route(event_class)
        step = self.spec.steps.get(target)
        if step is None:
            raise WorkflowRuntimeError(f"Step {target} does not exist")
        if not step.accepts(event_class):
            raise WorkflowRuntimeError(f"Step {target} does not accept event of type {event_class}")
        if step.intake is Intake.COLLECTION:
            raise WorkflowRuntimeError(
                f"Step {target} cannot receive targeted events such as {event_class.__name__}: it takes the list a "
                "fan-out closes with, and what is sent by call belongs to none"
            )
        return self.route(event_class, target)

    def joins_of(self, step: StepName) -> tuple[JoinPlan, ...]:
        """What closes the collections that ``step`` opens by returning a list."""
        bound = (self.spec.steps[name] for name in self.spec.bindings.get(step, ()))
        return tuple(_join_plan(self.spec, one) for one in bound)


def _route(spec: WorkflowSpec, event_class: EventClass, target: StepName | None) -> Route:
    takers = [s for s in spec.acceptors(event_class) if target is None or s.name == target]
    alone = [s for s in takers if s.intake is Intake.SINGLE]
    slots = tuple(_slot_route(spec, s, event_class) for s in takers if s.intake is Intake.SLOTS)
    sure = alone or slots or issubclass(event_class, InputRequiredEvent)
    return Route(
        name=spec.name_of(event_class),
        to=tuple(s.name for s in alone),
        slots=slots,
        into=tuple(s.name for s in takers if s.intake is Intake.COLLECTION),
        limits={s.name: s.num_workers for s in alone if s.num_workers is not None},
        lost=None if sure else (event_class.__name__, f"{event_class.__module__}.{event_class.__name__}"),
        only=target,
        is_answer=not issubclass(event_class, InputRequiredEvent | InternalDispatchEvent),
    )


def _slot_route(spec: WorkflowSpec, step: StepSpec, event_class: EventClass) -> SlotRoute:
    index = next((i for i, slot in enumerate(step.slots, 1) if event_class in slot.types), 0)
    if index == 0:
        index = next(i for i, slot in enumerate(step.slots, 1) if issubclass(event_class, slot.types))
    return SlotRoute(step=step.name, index=index, count=len(step.slots), event=stream_event(spec, step))


def _join_plan(spec: WorkflowSpec, step: StepSpec) -> JoinPlan:
    take = step.cardinality.n if isinstance(step.cardinality, Take) else 0
    return JoinPlan(step=step.name, take=take, event=stream_event(spec, step))


def stream_event(spec: WorkflowSpec, step: StepSpec) -> EventName:
    """Names the stream of a join's deliveries: that of the first class it takes."""
    return spec.name_of(step.slots[0].types[0])
