"""Workflows that the steps of a workflow start: found in the code of the steps, without running it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

from broker_wf.representation.build import get_workflow_representation, step_functions
from broker_wf.representation.graph import WorkflowEventNode, WorkflowGenericNode, WorkflowGraph, WorkflowGraphEdge


def with_children(workflow: object) -> WorkflowGraph:
    """The graph of a workflow, with those of the workflows that its steps make instances of, one level deep."""
    graph = get_workflow_representation(workflow)
    cls = workflow if isinstance(workflow, type) else type(workflow)
    for step, function in step_functions(cls).items():
        for name, child in started_workflows(function).items():
            _merge(graph, step, name, get_workflow_representation(child))
    return graph


def started_workflows(function: Callable[..., object]) -> dict[str, type]:
    """The workflow classes a function calls, by name, in the order of the code; none where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return {}
    scope = _scope(function)
    called = (_called(node.func, scope) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {one.__name__: one for one in called if isinstance(one, type) and _is_workflow(one)}


def _scope(function: Callable[..., object]) -> Mapping[str, object]:
    try:
        names = inspect.getclosurevars(function)
    except (TypeError, ValueError):
        return {}
    whole: dict[str, object] = getattr(function, "__globals__", {})
    return {**whole, **names.nonlocals}


def _called(node: ast.expr, scope: Mapping[str, object]) -> object:
    """What a name, or a name in a module, stands for."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _called(node.value, scope)
        return vars(owner).get(node.attr) if isinstance(owner, (ModuleType, type)) else None
    return None


def _is_workflow(cls: type) -> bool:
    return hasattr(cls, "added_step_functions") and bool(step_functions(cls))


def _merge(graph: WorkflowGraph, step: str, name: str, child: WorkflowGraph) -> None:
    prefix = f"{step}_{name}_"
    for node in child.nodes:
        named = isinstance(node, WorkflowEventNode)
        graph.nodes.append(
            WorkflowGenericNode(
                id=f"{prefix}{node.id}",
                label=node.label,
                node_type=node.node_type,
                event_type=node.event_type if named else None,
                event_types=node.event_types if named else None,
            )
        )
    graph.edges += [
        WorkflowGraphEdge(source=f"{prefix}{edge.source}", target=f"{prefix}{edge.target}", label=edge.label)
        for edge in child.edges
    ]
    for start in _events(child, "StartEvent"):
        _join(graph, (step, f"{prefix}calls", f"{prefix}{start}"), f"calls: {name}")
    for stop in _events(child, "StopEvent"):
        _join(graph, (f"{prefix}{stop}", f"{prefix}returns", step), f"returns: {name}")


def _events(graph: WorkflowGraph, base: str) -> Iterator[str]:
    """The first event node of a class derived from ``base``, if there is one."""
    found = (node.id for node in graph.nodes if isinstance(node, WorkflowEventNode) and node.is_subclass_of(base))
    first = next(found, None)
    if first is not None:
        yield first


def _join(graph: WorkflowGraph, way: tuple[str, str, str], label: str) -> None:
    source, between, target = way
    graph.nodes.append(WorkflowGenericNode(id=between, label=label, node_type="child_connector"))
    graph.edges.append(WorkflowGraphEdge(source=source, target=between))
    graph.edges.append(WorkflowGraphEdge(source=between, target=target))
