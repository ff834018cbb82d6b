"""The graph of steps and events: what can be reached, what leads nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker_wf.core.ids import StepName
from broker_wf.core.spec import EventClass, StepSpec
from broker_wf.events import HumanResponseEvent, InputRequiredEvent, StopEvent

_Node = StepName | EventClass
_Edges = Mapping[_Node, list[_Node]]

GRAPH_CHECKS = ("reachability", "terminal_event", "dead_end")
"""Names of the checks, in the order in which they report."""

_ENDS = (StopEvent, InputRequiredEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFault:
    """What one check found.

    Attributes:
        hint: what would be right.
    """

    check: str
    message: str
    hint: str


def graph_faults(
    steps: Mapping[StepName, StepSpec], start_class: EventClass, skipped: Iterable[str] = ()
) -> list[GraphFault]:
    """Run the checks that are not skipped, by the workflow or by a step."""
    off = set(skipped)
    events = {start_class, *(c for s in steps.values() for c in (*_taken(s), *_given(s)))}
    edges = _edges(steps, events)
    found = (
        None if "reachability" in off else _unreachable(steps, edges, start_class, events),
        None if "terminal_event" in off else _dangling(edges, events),
        None if "dead_end" in off else _dead_ends(steps, edges, events),
    )
    return [fault for fault in found if fault is not None]


def _taken(step: StepSpec) -> tuple[EventClass, ...]:
    return tuple(c for slot in step.slots for c in slot.types)


def _given(step: StepSpec) -> tuple[EventClass, ...]:
    return (*step.returns, *step.list_returns)


def _edges(steps: Mapping[StepName, StepSpec], events: Iterable[EventClass]) -> _Edges:
    edges: dict[_Node, list[_Node]] = {step.name: list(_given(step)) for step in steps.values()}
    for event_class in events:
        edges[event_class] = [s.name for s in steps.values() if s.accepts(event_class)]
    return edges


def _reached(seeds: Iterable[_Node], edges: _Edges) -> set[_Node]:
    seen: set[_Node] = set()
    frontier = list(seeds)
    while frontier:
        node = frontier.pop()
        if node not in seen:
            seen.add(node)
            frontier.extend(edges.get(node, ()))
    return seen


def _unreachable(
    steps: Mapping[StepName, StepSpec], edges: _Edges, start_class: EventClass, events: Iterable[EventClass]
) -> GraphFault | None:
    seeds: list[_Node] = [start_class, *(c for c in events if issubclass(c, HumanResponseEvent))]
    seeds += [s.name for s in steps.values() if s.catches]
    reached = _reached(seeds, edges)
    names = _checked(steps, "reachability") - reached
    return _fault("reachability", "Unreachable steps", names, "from StartEvent or HumanResponseEvent")


def _dangling(edges: _Edges, events: Iterable[EventClass]) -> GraphFault | None:
    names = {c.__name__ for c in events if not edges[c] and not issubclass(c, _ENDS)}
    if not names:
        return None
    return GraphFault(
        check="terminal_event",
        message=f"Events produced but never consumed: {', '.join(sorted(names))}",
        hint="Only StopEvent and InputRequiredEvent may be terminal.",
    )


def _dead_ends(steps: Mapping[StepName, StepSpec], edges: _Edges, events: Iterable[EventClass]) -> GraphFault | None:
    back: dict[_Node, list[_Node]] = {}
    for source, targets in edges.items():
        for target in targets:
            back.setdefault(target, []).append(source)
    leads_out = _reached([c for c in events if issubclass(c, _ENDS)], back)
    emitting = {name for name in _checked(steps, "dead_end") if edges[name]}
    return _fault("dead_end", "Dead-end steps", emitting - leads_out, "to StopEvent or InputRequiredEvent")


def _checked(steps: Mapping[StepName, StepSpec], check: str) -> set[StepName]:
    return {s.name for s in steps.values() if check not in s.skip_graph_checks}


def _fault(check: str, what: str, names: set[StepName], way: str) -> GraphFault | None:
    if not names:
        return None
    hint = f"Steps must be reachable {way}." if check == "reachability" else f"Steps must have a path {way}."
    return GraphFault(check=check, message=f"{what}: {', '.join(sorted(names))}", hint=hint)
