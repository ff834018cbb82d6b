"""From a workflow to its graph."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

from pydantic import BaseModel

from broker_wf.decorators import StepConfig, step_config
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StopEvent
from broker_wf.representation.graph import (
    WorkflowEventNode,
    WorkflowExternalNode,
    WorkflowGraph,
    WorkflowGraphEdge,
    WorkflowGraphNode,
    WorkflowResourceConfigNode,
    WorkflowResourceNode,
    WorkflowStepNode,
)
from broker_wf.resource import ResourceDescriptor

EXTERNAL = "external_step"
Function = Callable[..., object]


@runtime_checkable
class _FromFactory(Protocol):
    """A resource that a factory makes."""

    name: str
    factory: Function


@runtime_checkable
class _FromFile(Protocol):
    """A resource that is read from a file."""

    path_selector: str | None
    label: str | None
    description: str | None

    def where(self) -> str: ...
    def data(self) -> dict[str, object]: ...


def get_workflow_representation(workflow: object) -> WorkflowGraph:
    """The graph of a workflow: steps, events, resources, the world outside, and what leads to what.

    Args:
        workflow: a Workflow class or an instance of one.

    Raises:
        FileNotFoundError, ValueError: a ``ResourceConfig`` cannot be read.
        TypeError: a resource is of a kind that cannot be drawn.
    """
    cls = workflow if isinstance(workflow, type) else type(workflow)
    steps = step_functions(cls)
    drawing = _Drawing(steps=[(name, function, _config(function)) for name, function in steps.items()])
    drawing.draw()
    return WorkflowGraph(name=cls.__name__, nodes=drawing.nodes, edges=drawing.edges, description=inspect.getdoc(cls))


def step_functions(cls: type) -> dict[str, Function]:
    """The steps of a workflow class by name, in the order of the alphabet; then those added later."""
    found: dict[str, Function] = {
        name: method for name, method in inspect.getmembers(cls, inspect.isfunction) if step_config(method) is not None
    }
    for base in reversed(cls.__mro__):
        found |= cast("dict[str, Function]", getattr(base, "added_step_functions", {}))
    return found


def _config(function: Function) -> StepConfig:
    return cast(StepConfig, step_config(function))


def _name(annotation: object) -> str:
    return cast(str, getattr(annotation, "__name__", str(annotation)))


def _is(candidate: object, base: type) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, base)


def _schema(annotation: object) -> dict[str, object] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_json_schema()
    return None


def _digest(*parts: str) -> str:
    return hashlib.sha256(":".join(parts).encode()).hexdigest()[:12]


def _returned(config: StepConfig) -> list[object]:
    return [t for t in config.return_types if t is not type(None)]


@dataclass
class _Drawing:
    """A graph in the making. Nodes come first, for an event may lead to a step that was met before it."""

    steps: list[tuple[str, Function, StepConfig]]
    nodes: list[WorkflowGraphNode] = field(default_factory=list["WorkflowGraphNode"])
    edges: list[WorkflowGraphEdge] = field(default_factory=list[WorkflowGraphEdge])
    _seen: set[str] = field(default_factory=set[str])
    _event_types: dict[object, None] = field(default_factory=dict[object, None])
    _resources: dict[object, str] = field(default_factory=dict[object, str])

    def draw(self) -> None:
        """Fill in nodes and edges."""
        self._producers: dict[str, list[str]] = {}
        for step, _, config in self.steps:
            for name in dict.fromkeys(map(_name, _returned(config))):
                self._producers.setdefault(name, []).append(step)
        for step, function, config in self.steps:
            self._add(WorkflowStepNode(id=step, label=step, description=inspect.getdoc(function)))
            self._add_events(config)
            for definition in config.resources:
                self._resource(definition.name, definition.resource, definition.type_annotation)
        for step, _, config in self.steps:
            self._join(step, config)

    def _add(self, node: WorkflowGraphNode) -> None:
        if node.id not in self._seen:
            self._seen.add(node.id)
            self.nodes.append(node)

    def _edge(self, source: str, target: str, label: str | None = None) -> None:
        self.edges.append(WorkflowGraphEdge(source=source, target=target, label=label))

    def _add_events(self, config: StepConfig) -> None:
        stops = (t for _, _, other in self.steps for t in other.return_types if _is(t, StopEvent))
        stop = next(stops, None)
        taken = (t for t in config.accepted_events if t is not StopEvent or stop is StopEvent)
        for event_type in (*taken, *_returned(config)):
            self._event_types[event_type] = None
            name = _name(event_type)
            self._add(
                WorkflowEventNode(
                    id=name,
                    label=name,
                    event_type=name,
                    event_types=_bases(event_type),
                    event_schema=_schema(event_type),
                    produced_by=[*self._producers.get(name, ())],
                )
            )
            if _is(event_type, InputRequiredEvent) and event_type in config.return_types:
                self._add(WorkflowExternalNode(id=EXTERNAL, label=EXTERNAL))

    def _resource(self, parameter: str, descriptor: ResourceDescriptor, annotation: object) -> str:
        """Draw a resource with all that it needs itself, once, and say its id."""
        maker = _maker(descriptor)
        known = self._resources.get(maker)
        if known is not None:
            return known
        node = _resource_node(parameter, descriptor, annotation)
        self._resources[maker] = node.id
        self.nodes.append(node)
        for name, needed, needed_type in descriptor.get_dependencies():
            edge = WorkflowGraphEdge(source=node.id, target=self._resource(name, needed, needed_type), label=name)
            if edge not in self.edges:
                self.edges.append(edge)
        return node.id

    def _join(self, step: str, config: StepConfig) -> None:
        for event_type in _returned(config):
            self._edge(step, _name(event_type))
            if _is(event_type, InputRequiredEvent):
                self._edge(_name(event_type), EXTERNAL)
        for event_type in dict.fromkeys(self._taken(config)):
            self._edge(_name(event_type), step)
            if _is(event_type, HumanResponseEvent) and EXTERNAL in self._seen:
                self._edge(EXTERNAL, _name(event_type))
        for definition in config.resources:
            self._edge(step, self._resources[_maker(definition.resource)], definition.name)

    def _taken(self, config: StepConfig) -> Iterator[object]:
        """The classes a step takes; a StopEvent ends the run and is taken only where it is named."""
        for accepted in config.accepted_events:
            if not (config.accept_event_subclasses and isinstance(accepted, type)):
                yield accepted
                continue
            for event_type in self._event_types:
                if event_type is accepted or (_is(event_type, accepted) and not _is(event_type, StopEvent)):
                    yield event_type


def _bases(event_type: object) -> list[str]:
    if not (isinstance(event_type, type) and issubclass(event_type, Event)):
        return [cast(str, getattr(event_type, "__name__", str(event_type)))]  # pyright: ignore[reportUnknownArgumentType]
    mro = event_type.__mro__
    until = mro.index(Event)
    return [event_type.__name__, *(base.__name__ for base in mro[1:until] if issubclass(base, Event))]


def _maker(descriptor: ResourceDescriptor) -> object:
    """What two descriptors of one resource have in common."""
    if isinstance(descriptor, _FromFactory):
        return id(descriptor.factory)
    return (descriptor.where(), descriptor.path_selector) if isinstance(descriptor, _FromFile) else descriptor


def _resource_node(
    parameter: str, descriptor: ResourceDescriptor, annotation: object
) -> WorkflowResourceNode | WorkflowResourceConfigNode:
    if isinstance(descriptor, _FromFactory):
        return _factory_node(descriptor, annotation)
    if isinstance(descriptor, _FromFile):
        return _file_node(descriptor, annotation)
    raise TypeError(f"the resource of parameter {parameter!r} cannot be drawn: {type(descriptor).__name__}")


def _factory_node(resource: _FromFactory, annotation: object) -> WorkflowResourceNode:
    factory = resource.factory
    source_file, source_line = _source(factory)
    type_name = None if annotation is None else _name(annotation)
    node_id = f"resource_{_digest(resource.name, source_file or 'unknown')}"
    return WorkflowResourceNode(
        id=node_id,
        label=type_name or resource.name or node_id,
        type_name=type_name,
        getter_name=resource.name,
        source_file=source_file,
        source_line=source_line,
        description=inspect.getdoc(factory),
    )


def _source(factory: Function) -> tuple[str | None, int | None]:
    """Where a factory stands; nothing for what has no source, as a partial or a builtin."""
    target = factory if inspect.isroutine(factory) or inspect.isclass(factory) else type(factory)
    try:
        return inspect.getfile(target), inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return None, None


def _file_node(resource: _FromFile, annotation: object) -> WorkflowResourceConfigNode:
    config_file = resource.where()
    type_name = None if annotation is None else _name(annotation)
    return WorkflowResourceConfigNode(
        id=f"resource_config_{_digest(config_file, resource.path_selector or '')}",
        label=resource.label or type_name or config_file,
        type_name=type_name,
        config_file=config_file,
        path_selector=resource.path_selector,
        config_schema=_schema(annotation),
        config_value=resource.data(),
        description=resource.description,
    )
