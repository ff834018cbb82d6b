"""Drawings of agents of llama-index-core, distributed or not: who has which tools, and who hands over to whom.

The agents are read by the names of their attributes, so that nothing of llama-index is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from broker_wf.representation.drawing import Drawing
from broker_wf.representation.graph import WorkflowGenericNode, WorkflowGraph, WorkflowGraphEdge
from broker_wf.representation.mermaid import mermaid
from broker_wf.representation.page import page
from broker_wf.representation.scene import scene_of

_USER, _OUTPUT = "workflow_base:user", "workflow_base:output"


class _Metadata(Protocol):
    def get_name(self) -> str: ...


class Agent(Protocol):
    """An agent of llama-index-core, as far as it is drawn.

    Attributes:
        tools: tools of llama-index-core, or plain functions.
        can_handoff_to: names of agents.
    """

    name: str
    tools: Sequence[object] | None
    can_handoff_to: Sequence[str] | None


class Agents(Protocol):
    """An ``AgentWorkflow``, as far as it is drawn.

    Attributes:
        agents: by name.
        root_agent: name of the one that the user speaks to.
    """

    agents: Mapping[str, Agent]
    root_agent: str


def draw_agent_with_tools(
    agent: object, filename: str = "agent_with_tools.html", notebook: bool = False
) -> Drawing | str:
    """Write a page with an agent and its tools.

    Args:
        agent: of llama-index-core, or such a one distributed.
        filename: of the page; empty: none is written.
        notebook: return the drawing instead of the file's name, for a notebook to show.
    """
    return _written(_agent_graph(agent), filename, notebook=notebook)


def draw_agent_with_tools_mermaid(agent: object, filename: str = "agent_with_tools.mermaid") -> str:
    """As ``draw_agent_with_tools``, as a Mermaid flowchart. Returns it, and writes it if there is a file name."""
    return _written_text(_agent_graph(agent), filename)


def draw_agent_workflow(
    agent_workflow: object, filename: str = "agent_workflow.html", notebook: bool = False
) -> Drawing | str:
    """Write a page with the agents of an ``AgentWorkflow``, their tools, and who hands over to whom.

    Args:
        agent_workflow: of llama-index-core, or such a one distributed.
        filename: of the page; empty: none is written.
        notebook: return the drawing instead of the file's name, for a notebook to show.
    """
    return _written(_agents_graph(agent_workflow), filename, notebook=notebook)


def draw_agent_workflow_mermaid(agent_workflow: object, filename: str = "agent_workflow.mermaid") -> str:
    """As ``draw_agent_workflow``, as a Mermaid flowchart. Returns it, and writes it if there is a file name."""
    return _written_text(_agents_graph(agent_workflow), filename)


def _agent_graph(given: object) -> WorkflowGraph:
    agent = cast("Agent", getattr(given, "original", given))
    tools = [_node("tool", str(n), f"Tool {n}: {_name_of(tool)}") for n, tool in enumerate(agent.tools or (), 1)]
    drawn = _node("agent", agent.name, agent.name)
    edges = [WorkflowGraphEdge(source=drawn.id, target=tool.id) for tool in tools]
    return WorkflowGraph(name=agent.name, nodes=[drawn, *tools], edges=edges)


def _agents_graph(given: object) -> WorkflowGraph:
    flow = cast("Agents", getattr(given, "original", given))
    nodes = [_node("workflow_base", "user", "User"), _node("workflow_base", "output", "Output")]
    edges = [WorkflowGraphEdge(source=_USER, target=_id(flow.root_agent))]
    for agent in flow.agents.values():
        tools = list(_tools_of(agent))
        nodes += [_node("workflow_agent", agent.name, agent.name), *tools]
        targets = [_id(name) for name in agent.can_handoff_to or ()] or [_OUTPUT]
        edges += [WorkflowGraphEdge(source=_id(agent.name), target=tool.id) for tool in tools]
        edges += [WorkflowGraphEdge(source=_id(agent.name), target=target) for target in targets]
    if all(edge.target != _OUTPUT for edge in edges):
        edges.append(WorkflowGraphEdge(source=_id(list(flow.agents.values())[-1].name), target=_OUTPUT))
    return WorkflowGraph(name=type(flow).__name__, nodes=[*nodes], edges=edges)


def _tools_of(agent: Agent) -> Iterator[WorkflowGenericNode]:
    for number, tool in enumerate(agent.tools or ()):
        yield _node("workflow_tool", f"{agent.name}:{number}", _name_of(tool))


def _name_of(tool: object) -> str:
    metadata = cast("_Metadata | None", getattr(tool, "metadata", None))
    return str(getattr(tool, "__name__", type(tool).__name__)) if metadata is None else metadata.get_name()


def _id(agent: str) -> str:
    return f"workflow_agent:{agent}"


def _node(kind: str, name: str, label: str) -> WorkflowGenericNode:
    return WorkflowGenericNode(id=f"{kind}:{name}", label=label, node_type=kind)


def _written(graph: WorkflowGraph, filename: str, *, notebook: bool) -> Drawing | str:
    drawing = Drawing(scene_of(graph, None))
    if filename:
        Path(filename).write_text(page(drawing.scene), encoding="utf-8")
    return drawing if notebook else filename


def _written_text(graph: WorkflowGraph, filename: str) -> str:
    text = mermaid(scene_of(graph, None))
    if filename:
        Path(filename).write_text(text, encoding="utf-8")
    return text
