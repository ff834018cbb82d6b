"""The graph of a workflow whose code is elsewhere, from the facts its workers have registered."""

from __future__ import annotations

from collections.abc import Mapping

from broker_wf.inspector.history import steps_of_facts
from broker_wf.representation import WorkflowEventNode, WorkflowGraph, WorkflowGraphEdge, WorkflowStepNode


def graph_of_facts(name: str, facts: Mapping[str, object]) -> WorkflowGraph:
    """Steps and events, as the graph of a class has them; no schemas and no resources, which are not registered."""
    steps = steps_of_facts(facts)
    start, stop = _name(facts, "start"), _name(facts, "stop")
    events = sorted({one for step in steps.values() for one in (*step.takes, *step.gives)} | {start, stop})
    bases = {start: "StartEvent", stop: "StopEvent"}
    nodes = [
        WorkflowEventNode(
            id=one,
            label=one,
            event_type=one,
            event_types=list(dict.fromkeys([one, bases[one]] if one in bases else [one])),
            produced_by=sorted(step for step, of in steps.items() if one in of.gives),
        )
        for one in events
        if one
    ]
    edges = [WorkflowGraphEdge(source=one, target=step) for step, of in steps.items() for one in sorted(of.takes)]
    edges += [WorkflowGraphEdge(source=step, target=one) for step, of in steps.items() for one in sorted(of.gives)]
    return WorkflowGraph(name=name, nodes=[*(WorkflowStepNode(id=s, label=s) for s in steps), *nodes], edges=edges)


def _name(facts: Mapping[str, object], key: str) -> str:
    found = facts.get(key, "")
    return found.decode() if isinstance(found, bytes) else str(found)
