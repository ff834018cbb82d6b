"""What the namespace keeps of a workflow for those who do not have its class."""

from __future__ import annotations

from broker_wf.core.routing import Router
from broker_wf.core.spec import EventClass, StepSpec, WorkflowSpec
from broker_wf.events import HumanResponseEvent, InputRequiredEvent


def facts_of(spec: WorkflowSpec) -> dict[str, object]:
    """The graph, who takes the start event, and what a person is asked and answers; plain values."""
    start = Router(spec).route(spec.start_class)
    return {
        "name": spec.name,
        "class": spec.class_path,
        "digest": spec.digest,
        "timeout_ms": spec.timeout_ms or 0,
        "max_runs": spec.num_concurrent_runs or 0,
        "start": spec.name_of(spec.start_class),
        "start_to": list(start.to),
        "stop": spec.name_of(spec.stop_class),
        "asks": sorted(spec.name_of(t) for t in _given(spec) if issubclass(t, InputRequiredEvent)),
        "answers": sorted(spec.name_of(t) for t in _taken(spec) if issubclass(t, HumanResponseEvent)),
        "steps": [_step_facts(spec, step) for step in spec.steps.values()],
    }


def _given(spec: WorkflowSpec) -> set[EventClass]:
    return {given for step in spec.steps.values() for given in (*step.returns, *step.list_returns)}


def _taken(spec: WorkflowSpec) -> set[EventClass]:
    return {taken for step in spec.steps.values() for slot in step.slots for taken in slot.types}


def _step_facts(spec: WorkflowSpec, step: StepSpec) -> dict[str, object]:
    return {
        "name": step.name,
        "intake": step.intake.value,
        "takes": [[spec.name_of(t) for t in slot.types] for slot in step.slots],
        "gives": [spec.name_of(t) for t in step.returns],
        "lists": [spec.name_of(t) for t in step.list_returns],
        "num_workers": step.num_workers or 0,
    }
