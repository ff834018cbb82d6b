"""Does the graph run? The checks of a workflow's steps, in the order in which they report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from broker_wf.core.graph import GRAPH_CHECKS, graph_faults
from broker_wf.core.handlers import handler_faults
from broker_wf.core.ids import StepName
from broker_wf.core.levels import level_of, levels_by_producer
from broker_wf.core.spec import EventClass, Intake, Slot, StepSpec
from broker_wf.errors import WorkflowConfigurationError, WorkflowValidationError
from broker_wf.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
)

Steps = Mapping[StepName, StepSpec]
E = TypeVar("E", bound=Event)


def check_classes(steps: Steps, class_name: str) -> tuple[type[StartEvent], type[StopEvent]]:
    """Find the one start class and the one stop class of a workflow.

    Raises:
        WorkflowConfigurationError: there is none, or more than one; the start class is looked at first.
    """
    start = _only(StartEvent, _taken(steps), ("received", "accepts"), class_name)
    return start, _only(StopEvent, _given(steps), ("returned", "returns"), class_name)


def _only(kind: type[E], classes: list[EventClass], verbs: tuple[str, str], class_name: str) -> type[E]:
    found = {c for c in classes if issubclass(c, kind)}
    name = kind.__name__
    if not found:
        raise WorkflowConfigurationError(
            f"At least one Event of type {name} must be {verbs[0]} by any step. "
            f"(Workflow '{class_name}' has no @step that {verbs[1]} {name}.)"
        )
    if len(found) > 1:
        names = ", ".join(sorted(c.__qualname__ for c in found))
        raise WorkflowConfigurationError(
            f"Only one type of {name} is allowed per workflow, found {len(found)}: {names} in workflow '{class_name}'."
        )
    return found.pop()


def check_graph_check_names(names: Iterable[str]) -> None:
    """Refuse names of graph checks that do not exist.

    Raises:
        WorkflowValidationError: there are such; all are named.
    """
    unknown = sorted(set(names) - set(GRAPH_CHECKS))
    if unknown:
        raise WorkflowValidationError(
            f"Unknown graph check names: {', '.join(unknown)}. Valid names are: {', '.join(sorted(GRAPH_CHECKS))}"
        )


def validate(steps: Steps, class_name: str, skip_graph_checks: Iterable[str] = ()) -> bool:
    """Check the steps of a workflow as a whole.

    Each check names everything it finds; a later one runs only if the ones before found nothing.

    Returns:
        Whether a person takes part: an ``InputRequiredEvent`` is returned or a ``HumanResponseEvent`` taken.

    Raises:
        WorkflowConfigurationError: no steps, or not exactly one start and one stop class.
        WorkflowValidationError: anything else.
    """
    if not steps:
        raise WorkflowConfigurationError(
            f"Workflow '{class_name}' has no configured steps. Did you forget to annotate methods with "
            f"@step or to register free-function steps via @step(workflow=...)?"
        )
    start_class, _ = check_classes(steps, class_name)
    checks: tuple[Callable[[Steps, EventClass], list[str]], ...] = (
        _unfed_collections,
        _split_slots,
        _takers_of_stop,
        _never_produced,
        _never_consumed,
        lambda steps, _: handler_faults(steps),
    )
    for check in checks:
        faults = check(steps, start_class)
        if faults:
            raise WorkflowValidationError("\n".join(faults))
    found = graph_faults(steps, start_class, skip_graph_checks)
    if found:
        lines = "\n".join(f"  - [{f.check}] {f.message}\n    {f.hint}" for f in found)
        raise WorkflowValidationError(f"Graph validation failed:\n{lines}")
    return any(issubclass(c, InputRequiredEvent) for c in _given(steps)) or any(
        issubclass(c, HumanResponseEvent) for c in _taken(steps)
    )


def _taken(steps: Steps) -> list[EventClass]:
    return [c for step in steps.values() for slot in step.slots for c in slot.types]


def _given(steps: Steps) -> list[EventClass]:
    return [c for step in steps.values() for c in (*step.returns, *step.list_returns)]


def _takes(step: StepSpec, wanted: EventClass, given: Iterable[EventClass]) -> bool:
    """Whether one of the given classes comes in where the step wants this one."""
    if wanted in given:
        return True
    return step.accept_event_subclasses and any(issubclass(c, wanted) for c in given)


def _unfed_collections(steps: Steps, _start: EventClass) -> list[str]:
    listed = {c for level in levels_by_producer(steps).values() for c in level}
    faults: list[str] = []
    for step in steps.values():
        if step.intake is not Intake.COLLECTION:
            continue
        slot = step.slots[0]
        missing = sorted(c.__name__ for c in slot.types if not _takes(step, c, listed))
        if missing:
            faults.append(
                f"Step '{step.name}' parameter '{slot.parameter}' collects list[{', '.join(missing)}], but "
                f"no returned-list producer makes such events: they must descend from a step annotated as "
                f"returning list[E]. Use ctx.collect_events for events sent by ctx.send_event."
            )
    return faults


def _split_slots(steps: Steps, start: EventClass) -> list[str]:
    joins = [s for s in steps.values() if s.intake is Intake.SLOTS]
    if not joins:
        return []
    answers = [c for c in _taken(steps) if issubclass(c, HumanResponseEvent)]
    levels = {"the top level": level_of(steps, [start, *answers])}
    for producer, level in levels_by_producer(steps).items():
        levels[f"the stream of step '{producer}'"] = level
    return [
        f"Step '{step.name}' joins event parameters that are never produced at a common stream level: "
        f"{'; '.join(_places(slot, levels) for slot in step.slots)}. All inputs of such a step must come "
        f"from the same level; to wait for an event of another one, use ctx.wait_for_event in the step that "
        f"needs it."
        for step in joins
        if not any(_fills(step, level) for level in levels.values())
    ]


def _fills(step: StepSpec, level: set[EventClass]) -> bool:
    return all(_takes(step, c, level) for slot in step.slots for c in slot.types)


def _places(slot: Slot, levels: Mapping[str, set[EventClass]]) -> str:
    event_class = slot.types[0]
    where = ", ".join(sorted(name for name, level in levels.items() if event_class in level)) or "no level"
    return f"'{slot.parameter}' ({event_class.__name__}) is produced at {where}"


def _takers_of_stop(steps: Steps, _start: EventClass) -> list[str]:
    names = [s.name for s in steps.values() if any(issubclass(c, StopEvent) for c in _taken({s.name: s}))]
    if not names:
        return []
    quoted = ", ".join(f"'{name}'" for name in names)
    return [
        f"Step{'' if len(names) == 1 else 's'} {quoted} cannot accept StopEvent. StopEvent signals the end "
        f"of the workflow. Use a different Event type instead."
    ]


def _never_produced(steps: Steps, start: EventClass) -> list[str]:
    from_outside = (InputRequiredEvent, HumanResponseEvent, StopEvent, StepFailedEvent)
    given = {start, *_given(steps)}
    names = {
        c.__name__
        for step in steps.values()
        for slot in step.slots
        for c in slot.types
        if not issubclass(c, from_outside) and not _takes(step, c, given)
    }
    return _named("consumed but never produced", names)


def _never_consumed(steps: Steps, start: EventClass) -> list[str]:
    to_outside = (InputRequiredEvent, HumanResponseEvent, StopEvent)
    given = {start, *_given(steps)}
    names = {name for step in steps.values() for name in step.foreign_returns}
    names |= {
        c.__name__ for c in given if not issubclass(c, to_outside) and not any(s.accepts(c) for s in steps.values())
    }
    return _named("produced but never consumed", names)


def _named(what: str, names: set[str]) -> list[str]:
    return [f"The following events are {what}: {', '.join(sorted(names))}"] if names else []
