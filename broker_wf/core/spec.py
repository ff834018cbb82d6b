"""The facts of a workflow: its steps, what each takes and gives, its policies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from broker_wf.collect import Cardinality
from broker_wf.core.ids import Digest, EventName, StepName, WorkflowName
from broker_wf.core.signature import EventClass, Slot
from broker_wf.events import StopEvent
from broker_wf.resource import ResourceDefinition
from broker_wf.retry_policy import RetryPolicy


class Intake(Enum):
    """How events reach a step."""

    SINGLE = "single"
    """One event starts one delivery."""
    SLOTS = "slots"
    """Several event parameters: a delivery starts when each slot has one event."""
    COLLECTION = "collection"
    """A ``list[E]`` parameter: a delivery starts when the collection closes, or has ``Take(n)`` members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """The facts of one step.

    Attributes:
        function: what is called; bound to the workflow instance unless the step is a free function.
        slots: one for SINGLE and COLLECTION, two or more for SLOTS.
        cardinality: when a COLLECTION step starts; None for the others.
        returns: classes returned bare.
        list_returns: classes returned inside a ``list``; empty if the step never fans out.
        returns_none: ``None`` is among the declared returns.
        foreign_returns: names of what is declared besides and is no event; validation refuses them.
        context_parameter: name of the Context parameter, if there is one.
        state_type: ``S`` of ``Context[S]``.
        resources: parameter name and definition of each injected resource.
        num_workers: how many deliveries of the step execute at one time in the cluster; None: no limit.
        timeout_ms: an execution is stopped after this long; None: never.
        atomic: all effects are held until the commit.
        handles: the steps a ``catch_error`` handler covers, None for all; only if ``catches``.
    """

    name: StepName
    function: Callable[..., object]
    is_async: bool
    intake: Intake
    slots: tuple[Slot, ...]
    cardinality: Cardinality | None = None
    returns: tuple[EventClass, ...] = ()
    list_returns: tuple[EventClass, ...] = ()
    returns_none: bool = False
    foreign_returns: tuple[str, ...] = ()
    context_parameter: str | None = None
    state_type: type | None = None
    resources: tuple[tuple[str, ResourceDefinition], ...] = ()
    num_workers: int | None = None
    num_workers_per_run: int | None = None
    retry_policy: RetryPolicy | None = None
    timeout_ms: int | None = None
    atomic: bool = False
    accept_event_subclasses: bool = False
    skip_graph_checks: frozenset[str] = frozenset()
    catches: bool = False
    handles: tuple[StepName, ...] | None = None
    max_recoveries: int = 1

    @property
    def is_plain(self) -> bool:
        """Whether it has nothing but its events and resources to work with, and an event loop to do it in."""
        return self.is_async and self.context_parameter is None and self.timeout_ms is None

    def accepts(self, event_class: EventClass) -> bool:
        """Whether an event of this class is taken, by the exact class unless subclasses are accepted.

        A StopEvent never counts as a subclass: it ends the run instead of going anywhere.
        """
        types = tuple(t for slot in self.slots for t in slot.types)
        if event_class in types or not self.accept_event_subclasses:
            return event_class in types
        return issubclass(event_class, types) and not issubclass(event_class, StopEvent)


@dataclass(frozen=True, kw_only=True)
class WorkflowSpec:
    """The facts of a workflow.

    Attributes:
        name: ``workflow_name``, else the class's qualified name.
        class_path: ``module:Qualname`` of the class; two classes under one name are refused.
        steps: by name, in order of definition.
        timeout_ms: of one run; None: none.
        bindings: for each step that returns a list, the COLLECTION steps that close its collections.
        names: the wire's name of each event class in a signature.
    """

    name: WorkflowName
    class_path: str
    steps: Mapping[StepName, StepSpec]
    start_class: EventClass
    stop_class: EventClass
    timeout_ms: int | None
    state_type: type | None = None
    num_concurrent_runs: int | None = None
    names: Mapping[EventClass, EventName] = field(default_factory=dict[EventClass, EventName])
    bindings: Mapping[StepName, tuple[StepName, ...]] = field(default_factory=dict[StepName, tuple[StepName, ...]])

    def name_of(self, event_class: EventClass) -> EventName:
        """The wire's name of the class; ``__name__`` for one that no signature names."""
        return self.names.get(event_class) or EventName(event_class.__name__)

    def acceptors(self, event_class: EventClass) -> tuple[StepSpec, ...]:
        """The steps that take an event of this class, in order of definition."""
        return tuple(s for s in self.steps.values() if s.accepts(event_class))

    @property
    def places(self) -> dict[StepName, int]:
        """``num_workers`` of the steps that have it."""
        return {s.name: s.num_workers for s in self.steps.values() if s.num_workers is not None}

    @property
    def places_per_run(self) -> dict[StepName, int]:
        """``num_workers_per_run`` of the steps that have it."""
        return {s.name: s.num_workers_per_run for s in self.steps.values() if s.num_workers_per_run is not None}

    @cached_property
    def digest(self) -> Digest:
        """Hash of the graph: equal for workflows that can execute each other's runs."""
        lines = [f"workflow {self.name} {self.name_of(self.start_class)} {self.name_of(self.stop_class)}"]
        lines += [self._line(s) for s in sorted(self.steps.values(), key=lambda s: s.name)]
        return Digest(hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12])

    def _line(self, spec: StepSpec) -> str:
        takes = ";".join(",".join(sorted(map(self.name_of, slot.types))) for slot in spec.slots)
        gives = ",".join(sorted(map(self.name_of, spec.returns)))
        listed = ",".join(sorted(map(self.name_of, spec.list_returns)))
        return (
            f"step {spec.name} {spec.intake.value} {takes} -> {gives} [{listed}] {spec.cardinality!r} "
            f"{spec.accept_event_subclasses} {spec.catches} {spec.handles}"
        )
