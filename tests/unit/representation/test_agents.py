"""API.md section 11: drawings of agents, with their tools and with who hands over to whom."""

from __future__ import annotations

import re
from pathlib import Path

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.llms.mock import MockFunctionCallingLLM

from broker_wf.integrations.llama_index import distribute
from broker_wf.representation import (
    Drawing,
    draw_agent_with_tools,
    draw_agent_with_tools_mermaid,
    draw_agent_workflow,
    draw_agent_workflow_mermaid,
)


def weather(city: str) -> str:
    """Say what the weather is like."""
    return city


def note(text: str) -> str:
    """Note something."""
    return text


def agent(name: str, *to: str) -> FunctionAgent:
    llm = MockFunctionCallingLLM(max_tokens=1)
    given = list(to) or None
    return FunctionAgent(name=name, description=name, llm=llm, tools=[weather, note], can_handoff_to=given)


def edges(chart: str) -> set[tuple[str, str]]:
    """The arrows of a flowchart, by the labels of what they join."""
    labels = dict(re.findall(r'^    (\w+)[\[({]+"([^"]*)"', chart, re.MULTILINE))
    return {(labels[a], labels[b]) for a, b in re.findall(r"^    (\w+) --> (\w+)$", chart, re.MULTILINE)}


def test_an_agent_is_drawn_with_its_tools(tmp_path: Path) -> None:
    file = tmp_path / "agent.html"
    assert draw_agent_with_tools(agent("helper"), str(file)) == str(file)
    page = file.read_text(encoding="utf-8")
    assert "helper" in page
    assert "Tool 2: note" in page


def test_a_distributed_agent_is_drawn_as_the_agent_itself() -> None:
    chart = draw_agent_with_tools_mermaid(distribute(agent("helper")), "")
    assert chart == draw_agent_with_tools_mermaid(agent("helper"), "")
    assert edges(chart) == {("helper", "Tool 1: weather"), ("helper", "Tool 2: note")}


def test_who_hands_over_to_whom_is_drawn(tmp_path: Path) -> None:
    flow = AgentWorkflow(agents=[agent("first", "output"), agent("output")], root_agent="first")
    file = tmp_path / "agents.mermaid"
    chart = draw_agent_workflow_mermaid(flow, str(file))
    assert file.read_text(encoding="utf-8") == chart
    assert edges(chart) == {
        ("User", "first"),
        ("first", "output"),
        ("output", "Output"),
        *((name, tool) for name in ("first", "output") for tool in ("weather", "note")),
    }


def test_agents_that_all_hand_over_lead_to_the_output_all_the_same() -> None:
    flow = AgentWorkflow(agents=[agent("a", "b"), agent("b", "a")], root_agent="a")
    assert ("b", "Output") in edges(draw_agent_workflow_mermaid(distribute(flow), ""))


def test_a_notebook_is_given_the_drawing() -> None:
    flow = AgentWorkflow(agents=[agent("a", "b"), agent("b")], root_agent="a")
    drawn = draw_agent_workflow(flow, "", notebook=True)
    assert isinstance(drawn, Drawing)
    assert "<svg" in drawn._repr_html_()
