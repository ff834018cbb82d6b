"""What is drawn, whatever it was made of and whatever it is drawn as."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from broker_wf.representation.graph import (
    WorkflowEventNode,
    WorkflowGenericNode,
    WorkflowGraph,
    WorkflowGraphNode,
    WorkflowResourceConfigNode,
    WorkflowResourceNode,
    WorkflowStepNode,
    shortened,
)


class Shape(Enum):
    """The outline of a node."""

    BOX = "box"
    PILL = "pill"
    HEXAGON = "hexagon"


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of node looks.

    Attributes:
        name: of the class in Mermaid.
        fill: the colour, as in CSS.
    """

    name: str
    fill: str
    shape: Shape


STEP = Look("stepStyle", "#ADD8E6", Shape.BOX)
EXTERNAL = Look("externalStyle", "#BEDAE4", Shape.BOX)
RESOURCE = Look("resourceStyle", "#DDA0DD", Shape.HEXAGON)
RESOURCE_CONFIG = Look("resourceConfigStyle", "#B2DFDB", Shape.BOX)
START = Look("startEventStyle", "#E27AFF", Shape.PILL)
STOP = Look("stopEventStyle", "#FFA07A", Shape.PILL)
EVENT = Look("defaultEventStyle", "#90EE90", Shape.PILL)
CHILD = Look("childConnectorStyle", "#E0E0E0", Shape.PILL)
AGENT = Look("agentStyle", "#66CCFF", Shape.PILL)
TOOL = Look("toolStyle", "#FF9966", Shape.BOX)
FAILED = Look("failedStepStyle", "#F4A6A6", Shape.BOX)
OPEN = Look("openStepStyle", "#FFF3B0", Shape.BOX)
LOOKS = (STEP, EXTERNAL, RESOURCE, RESOURCE_CONFIG, START, STOP, EVENT, CHILD, AGENT, TOOL, FAILED, OPEN)

_BY_KIND = {
    "step": STEP,
    "external": EXTERNAL,
    "resource": RESOURCE,
    "resource_config": RESOURCE_CONFIG,
    "child_connector": CHILD,
    "agent": AGENT,
    "tool": TOOL,
    "workflow_agent": AGENT,
    "workflow_tool": TOOL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneNode:
    """A node.

    Attributes:
        title: what is told of it besides, in lines.
    """

    id: str
    label: str
    look: Look
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneEdge:
    """An arrow between two nodes that are there."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Nodes and arrows."""

    name: str
    nodes: tuple[SceneNode, ...]
    edges: tuple[SceneEdge, ...]


def scene_of(graph: WorkflowGraph, max_label_length: int | None) -> Scene:
    """A workflow's graph, ready to be drawn; an edge to what is not there is left out, and so is one said twice."""
    known = {node.id: node for node in graph.nodes}
    ids = {node.id: f"{node.node_type}_{node.id}" for node in graph.nodes}
    edges = dict.fromkeys(
        SceneEdge(source=ids[edge.source], target=ids[edge.target], label=edge.label or "")
        for edge in graph.edges
        if edge.source in known and edge.target in known
    )
    nodes = {
        ids[node.id]: SceneNode(
            id=ids[node.id],
            label=shortened(node.label, max_label_length),
            look=_look(node),
            title=_title(node, max_label_length),
        )
        for node in graph.nodes
    }
    return Scene(name=graph.name, nodes=(*nodes.values(),), edges=(*edges,))


def event_look(names: list[str]) -> Look:
    """How an event of a class with these bases looks."""
    if "StartEvent" in names:
        return START
    return STOP if "StopEvent" in names else EVENT


def _look(node: WorkflowGraphNode) -> Look:
    if isinstance(node, WorkflowEventNode) or (isinstance(node, WorkflowGenericNode) and node.node_type == "event"):
        return event_look(node.event_types or [])
    return _BY_KIND.get(node.node_type, EVENT)


def _title(node: WorkflowGraphNode, max_label_length: int | None) -> str:
    lines: list[str | None] = []
    if shortened(node.label, max_label_length) != node.label:
        lines.append(node.label)
    if isinstance(node, WorkflowResourceNode):
        where = f"{node.source_file}:{node.source_line}" if node.source_file else None
        lines += [_said("type", node.type_name), _said("made by", node.getter_name), where, node.description]
    elif isinstance(node, WorkflowResourceConfigNode):
        lines += [_said("type", node.type_name), _said("file", node.config_file), _said("part", node.path_selector)]
        lines.append(node.description)
    elif isinstance(node, WorkflowStepNode):
        lines.append(node.description)
    return "\n".join(line for line in lines if line)


def _said(what: str, value: str | None) -> str | None:
    return f"{what}: {value}" if value else None
