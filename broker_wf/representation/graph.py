"""The graph of a workflow as plain models, the same JSON as that of llama-index-workflows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, Field


def shortened(label: str, max_length: int | None) -> str:
    """The label, cut to ``max_length`` characters of which the last is a star; None or 0: as it is."""
    return label if not max_length or len(label) <= max_length else f"{label[: max_length - 1]}*"


class WorkflowNodeBase(BaseModel):
    """What every node has."""

    id: str = Field(description="Names the node in edges.")
    label: str = Field(description="What is shown.")

    def truncated_label(self, max_length: int) -> str:
        """The label in at most ``max_length`` characters; one that was cut ends in a star."""
        return self.label if len(self.label) <= max_length else f"{self.label[: max_length - 1]}*"


class WorkflowStepNode(WorkflowNodeBase):
    """A step."""

    node_type: Literal["step"] = Field(default="step", description="Tells the kinds of node apart.")
    description: str | None = Field(default=None, description="The step's docstring.")


class WorkflowEventNode(WorkflowNodeBase):
    """An event class."""

    node_type: Literal["event"] = Field(default="event", description="Tells the kinds of node apart.")
    event_type: str = Field(description="Name of the class.")
    event_types: list[str] = Field(description="The class, then its bases that are events, without Event itself.")
    event_schema: dict[str, Any] | None = Field(default=None, description="JSON schema of the class.")
    produced_by: list[str] = Field(default_factory=list, description="The steps that declare to return it.")

    def is_subclass_of(self, *type_names: str) -> bool:
        """Whether the class, or a base of it, has one of these names."""
        return any(name in self.event_types for name in type_names)


class WorkflowExternalNode(WorkflowNodeBase):
    """The world outside: it takes what requires input and gives the responses."""

    node_type: Literal["external"] = Field(default="external", description="Tells the kinds of node apart.")


class WorkflowResourceNode(WorkflowNodeBase):
    """A resource that a factory makes."""

    node_type: Literal["resource"] = Field(default="resource", description="Tells the kinds of node apart.")
    type_name: str | None = Field(default=None, description="Name of the annotated type.")
    getter_name: str | None = Field(default=None, description="Name of the factory.")
    source_file: str | None = Field(default=None, description="The file the factory stands in.")
    source_line: int | None = Field(default=None, description="The line it begins at.")
    description: str | None = Field(default=None, description="The factory's docstring.")


class WorkflowResourceConfigNode(WorkflowNodeBase):
    """A resource that is read from a JSON file."""

    node_type: Literal["resource_config"] = Field(
        default="resource_config", description="Tells the kinds of node apart."
    )
    type_name: str | None = Field(default=None, description="Name of the model it is validated into.")
    config_file: str | None = Field(default=None, description="Path of the file.")
    path_selector: str | None = Field(default=None, description="Dotted path of the part that is taken.")
    config_schema: dict[str, Any] | None = Field(default=None, description="JSON schema of the model.")
    config_value: dict[str, Any] | None = Field(default=None, description="What the file holds there.")
    description: str | None = Field(default=None, description="As given to ResourceConfig.")


class WorkflowGenericNode(WorkflowNodeBase):
    """Anything else that somebody wants to draw: agents, tools, child workflows."""

    node_type: str = Field(description="A kind of one's own.")
    event_type: str | None = Field(default=None, description="Name of a class, where that means something.")
    event_types: list[str] | None = Field(default=None, description="The class and its bases.")

    def is_subclass_of(self, *type_names: str) -> bool:
        """Whether the class, or a base of it, has one of these names."""
        return any(name in (self.event_types or ()) for name in type_names)


# pydantic takes the first that fits: the generic node, which takes every kind, must be last.
WorkflowGraphNode = (
    WorkflowStepNode
    | WorkflowEventNode
    | WorkflowExternalNode
    | WorkflowResourceNode
    | WorkflowResourceConfigNode
    | WorkflowGenericNode
)


class WorkflowGraphEdge(BaseModel):
    """A way from one node to another."""

    source: str = Field(description="Id of the node it begins at.")
    target: str = Field(description="Id of the node it leads to.")
    label: str | None = Field(default=None, description="The parameter, where a step or a resource needs a resource.")


class WorkflowGraph(BaseModel):
    """A workflow's steps, events and resources, and what leads to what."""

    name: str = Field(description="Name of the workflow class.")
    nodes: list[WorkflowGraphNode] = Field(description="All nodes.")
    edges: list[WorkflowGraphEdge] = Field(description="All edges.")
    description: str | None = Field(default=None, description="The workflow's docstring.")

    def filter_by_node_type(self, *node_types: str) -> WorkflowGraph:
        """The graph without nodes of these types; what was joined through them is joined directly.

        Such an edge is labelled with the first node that was taken out, and there is one from a node to another.
        """
        kept = [node for node in self.nodes if node.node_type not in node_types]
        ways = _Ways(self, {node.id for node in kept})
        edges = {
            (node.id, edge.target): edge
            for node in kept
            for edge in reversed([*ways.onward(node.id, node.id, None, set())])
        }
        return WorkflowGraph(name=self.name, nodes=kept, edges=[*edges.values()], description=self.description)


class _Ways:
    """Ways through nodes that are taken out."""

    def __init__(self, graph: WorkflowGraph, kept: set[str]) -> None:
        self._kept = kept
        self._labels = {node.id: node.label for node in graph.nodes}
        self._from: dict[str, list[WorkflowGraphEdge]] = {}
        for edge in graph.edges:
            self._from.setdefault(edge.source, []).append(edge)

    def onward(self, source: str, at: str, label: str | None, seen: set[str]) -> Iterator[WorkflowGraphEdge]:
        """Edges from ``source`` to all that is kept and can be reached from ``at`` through what is not."""
        for edge in self._from.get(at, ()):
            if edge.target in self._kept:
                yield WorkflowGraphEdge(source=source, target=edge.target, label=edge.label if label is None else label)
            elif edge.target in self._labels and edge.target not in seen:
                seen.add(edge.target)
                first = self._labels[edge.target] if label is None else label
                yield from self.onward(source, edge.target, first, seen)
