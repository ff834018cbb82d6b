"""API.md section 11: the graph of a workflow is that of the original, node for node."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from workflows import Workflow as OriginalWorkflow

from broker_wf import Workflow
from broker_wf.representation import (
    WorkflowEventNode,
    WorkflowGenericNode,
    WorkflowGraph,
    WorkflowGraphEdge,
    WorkflowStepNode,
    get_workflow_representation,
)
from tests.unit.representation import twins

FRAMEWORK = {
    name for name, value in vars(importlib.import_module("broker_wf.events")).items() if isinstance(value, type)
}


def drawn(root: str, build: Callable[..., type], *args: object) -> dict:
    graph = importlib.import_module(f"{root}.representation").get_workflow_representation(
        build(twins.names_of(root), *args)
    )
    return graph.model_dump(mode="json")


def alike(graph: dict, *, ordered: bool = True) -> dict:
    """The graph without the docstrings of Workflow and of our own events, which are worded anew."""

    def without(schema: object) -> object:
        if isinstance(schema, list):
            return [without(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        ours = schema.get("title") in FRAMEWORK
        kept = {k: without(v) for k, v in schema.items() if not (ours and k in ("description", "properties"))}
        return kept | ({"properties": sorted(schema.get("properties", ()))} if ours else {})

    nodes = [{k: without(v) if k == "event_schema" else v for k, v in node.items()} for node in graph["nodes"]]
    edges = graph["edges"] if ordered else sorted(graph["edges"], key=str)
    inherited = graph["description"] in {inspect.getdoc(w) for w in (OriginalWorkflow, Workflow)}
    description = "of Workflow" if inherited else graph["description"]
    return {**graph, "nodes": nodes, "edges": edges, "description": description}


@pytest.mark.parametrize("name", twins.ALL)
def test_the_graph_of_a_workflow_is_that_of_the_original(name: str) -> None:
    # The original goes through a set of classes to find derived events: their order is not defined.
    ordered = name != "subclasses"
    theirs, ours = (drawn(root, twins.ALL[name]) for root in (twins.ORIGINAL, twins.OURS))
    assert alike(ours, ordered=ordered) == alike(theirs, ordered=ordered)


def test_the_graph_of_a_workflow_with_resources_is_that_of_the_original(tmp_path: Path) -> None:
    theirs, ours = (drawn(root, twins.resources, tmp_path) for root in (twins.ORIGINAL, twins.OURS))
    assert alike(ours) == alike(theirs)
    kinds = {node["node_type"] for node in ours["nodes"]}
    assert kinds == {"step", "event", "resource", "resource_config"}


@pytest.mark.parametrize("removed", [("event",), ("step",), ("event", "external"), ("resource", "resource_config")])
@pytest.mark.parametrize("name", ["chain", "asks", "fans", "resources"])
def test_a_graph_without_some_nodes_is_that_of_the_original(
    name: str, removed: tuple[str, ...], tmp_path: Path
) -> None:
    args = (tmp_path,) if name == "resources" else ()
    build = getattr(twins, name)
    theirs, ours = (
        importlib.import_module(f"{root}.representation")
        .get_workflow_representation(build(twins.names_of(root), *args))
        .filter_by_node_type(*removed)
        .model_dump(mode="json")
        for root in (twins.ORIGINAL, twins.OURS)
    )
    assert alike(ours, ordered=False) == alike(theirs, ordered=False)


def test_an_instance_has_the_graph_of_its_class() -> None:
    workflow = twins.asks(twins.names_of("broker_wf"))
    assert get_workflow_representation(workflow()) == get_workflow_representation(workflow)


def test_a_graph_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    graph = get_workflow_representation(twins.resources(twins.names_of("broker_wf"), tmp_path))
    graph.nodes.append(WorkflowGenericNode(id="a", label="Agent", node_type="agent"))
    back = WorkflowGraph.model_validate_json(graph.model_dump_json())
    assert back == graph
    assert [type(node) for node in back.nodes] == [type(node) for node in graph.nodes]


def test_a_long_label_is_cut_and_ends_in_a_star() -> None:
    node = WorkflowStepNode(id="s", label="summarise_all")
    assert (node.truncated_label(13), node.truncated_label(5)) == ("summarise_all", "summ*")


def test_a_node_knows_the_bases_of_its_event() -> None:
    node = WorkflowEventNode(id="e", label="e", event_type="Ball", event_types=["Ball", "Round"])
    assert node.is_subclass_of("Square", "Round")
    assert not node.is_subclass_of("Square")
    assert not WorkflowGenericNode(id="g", label="g", node_type="tool").is_subclass_of("Round")


def test_a_circle_of_removed_nodes_ends() -> None:
    nodes = [WorkflowStepNode(id=i, label=i) for i in "ab"]
    loop = [WorkflowGenericNode(id=i, label=i.upper(), node_type="x") for i in "xy"]
    ways = ("ax", "xy", "yx", "yb")
    graph = WorkflowGraph(
        name="g", nodes=[*nodes, *loop], edges=[WorkflowGraphEdge(source=s, target=t) for s, t in ways]
    )
    assert graph.filter_by_node_type("x").edges == [WorkflowGraphEdge(source="a", target="b", label="X")]
