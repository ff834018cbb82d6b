"""A workflow as a graph."""

from __future__ import annotations

from typing import Annotated, Any

from workflows import Workflow, step
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from workflows.representation import get_workflow_representation
from workflows.resource import Resource

from tests.conformance.play import Play


class Drawn(Event):
    pass


class Wanted(InputRequiredEvent):
    pass


class Given(HumanResponseEvent):
    pass


def get_pen() -> str:
    return "pen"


class Picture(Workflow):
    @step
    async def begin(self, ev: StartEvent, pen: Annotated[str, Resource(get_pen)]) -> Drawn | Wanted:
        return Drawn()

    @step
    async def end(self, ev: Drawn | Given) -> StopEvent:
        return StopEvent()


def drawn(flow: Any) -> Any:
    """The graph of a workflow; one that is distributed is drawn by its original."""
    return get_workflow_representation(getattr(flow, "original", flow))


async def a_graph_shows_steps_events_people_and_resources(play: Play) -> None:
    graph = drawn(await play(Picture))
    kinds = {(node.node_type, node.label) for node in graph.nodes}
    assert {("step", "begin"), ("step", "end"), ("event", "Drawn"), ("event", "StopEvent")} <= kinds
    assert "external" in {kind for kind, _ in kinds}
    assert "resource" in {kind for kind, _ in kinds}
    edges = {(edge.source, edge.target) for edge in graph.edges}
    assert {("StartEvent", "begin"), ("begin", "Drawn"), ("Drawn", "end"), ("end", "StopEvent")} <= edges
    assert any(edge.label == "pen" for edge in graph.edges)


async def kinds_of_nodes_can_be_left_out(play: Play) -> None:
    graph = drawn(await play(Picture)).filter_by_node_type("event")
    assert "event" not in {node.node_type for node in graph.nodes}
    assert ("begin", "end") in {(edge.source, edge.target) for edge in graph.edges}
