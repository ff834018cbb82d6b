"""The graph of a workflow and of a run: as plain models, as Mermaid, as a page that opens offline."""

from __future__ import annotations

from broker_wf.representation.agents import (
    draw_agent_with_tools,
    draw_agent_with_tools_mermaid,
    draw_agent_workflow,
    draw_agent_workflow_mermaid,
)
from broker_wf.representation.build import get_workflow_representation
from broker_wf.representation.drawing import (
    Drawing,
    draw_all_possible_flows,
    draw_all_possible_flows_mermaid,
    draw_most_recent_execution,
    draw_most_recent_execution_mermaid,
)
from broker_wf.representation.graph import (
    WorkflowEventNode,
    WorkflowExternalNode,
    WorkflowGenericNode,
    WorkflowGraph,
    WorkflowGraphEdge,
    WorkflowGraphNode,
    WorkflowNodeBase,
    WorkflowResourceConfigNode,
    WorkflowResourceNode,
    WorkflowStepNode,
)

__all__ = [
    "Drawing",
    "WorkflowEventNode",
    "WorkflowExternalNode",
    "WorkflowGenericNode",
    "WorkflowGraph",
    "WorkflowGraphEdge",
    "WorkflowGraphNode",
    "WorkflowNodeBase",
    "WorkflowResourceConfigNode",
    "WorkflowResourceNode",
    "WorkflowStepNode",
    "draw_agent_with_tools",
    "draw_agent_with_tools_mermaid",
    "draw_agent_workflow",
    "draw_agent_workflow_mermaid",
    "draw_all_possible_flows",
    "draw_all_possible_flows_mermaid",
    "draw_most_recent_execution",
    "draw_most_recent_execution_mermaid",
    "get_workflow_representation",
]
