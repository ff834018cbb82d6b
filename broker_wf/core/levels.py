"""Fan-out levels: which events are made inside the collection that a step opens by returning a list.

A level holds the members and whatever becomes of them one by one. A step on it that returns a list itself
opens a level below; what the steps that take lists make of that comes back up. Semantics as upstream
(llama-index-workflows, ``_stream_levels.py``), with two differences: what a list-returning step returns bare
stays on its own level, and what an error handler returns counts where the failed step stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broker_wf.core.handlers import handler_of
from broker_wf.core.ids import StepName
from broker_wf.core.spec import EventClass, Intake, StepSpec

Steps = Mapping[StepName, StepSpec]


def level_of(steps: Steps, seeds: Iterable[EventClass], inside: frozenset[StepName] = frozenset()) -> set[EventClass]:
    """Return the classes that can come of the seeds on their own level.

    Args:
        steps: of the workflow.
        seeds: what the level begins with.
        inside: list-returning steps whose levels are being walked; they are not entered again.
    """
    seen: set[EventClass] = set()
    frontier = list(seeds)
    while frontier:
        event_class = frontier.pop()
        if event_class in seen:
            continue
        seen.add(event_class)
        for step in steps.values():
            if step.intake is not Intake.COLLECTION and step.accepts(event_class):
                frontier.extend(_outcome(steps, step, inside))
    return seen


def _outcome(steps: Steps, step: StepSpec, inside: frozenset[StepName]) -> set[EventClass]:
    """What an execution of the step adds to the level it stands on."""
    found = set(step.returns)
    handler = handler_of(steps, step.name)
    if handler is not None:
        found |= _outcome(steps, handler, inside)
    if step.list_returns and step.name not in inside:
        below = level_of(steps, step.list_returns, inside | {step.name})
        for join in _closing(steps, below):
            found |= _outcome(steps, join, inside | {step.name})
    return found


def _closing(steps: Steps, level: Iterable[EventClass]) -> list[StepSpec]:
    """The steps that take a list of what the level holds."""
    return [s for s in steps.values() if s.intake is Intake.COLLECTION and any(map(s.accepts, level))]


def levels_by_producer(steps: Steps) -> dict[StepName, set[EventClass]]:
    """Return, for each step that returns lists, what its collections hold."""
    return {
        step.name: level_of(steps, step.list_returns, frozenset({step.name}))
        for step in steps.values()
        if step.list_returns
    }


def bindings(steps: Steps) -> dict[StepName, tuple[StepName, ...]]:
    """Return, for each step that returns lists, the steps that close its collections."""
    return {
        producer: tuple(join.name for join in _closing(steps, level))
        for producer, level in levels_by_producer(steps).items()
    }
