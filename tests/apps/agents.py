"""Agents of llama-index-core as they are, and what executes their steps.

Annotations are not postponed here: a tool's Context parameter is found by the class itself.
"""

import os
from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent

from broker_wf.integrations.llama_index import distribute


def scripted(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    """A model that does what it is told: ``call NAME key=value; …`` calls tools, anything else is repeated."""
    results = [m.content for m in messages if m.role == MessageRole.TOOL]
    asked = [m.content or "" for m in messages if m.role == MessageRole.USER]
    if messages[-1].role == MessageRole.TOOL:
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"found: {', '.join(map(str, results))}")
    if not asked[-1].startswith("call "):
        return ChatMessage(role=MessageRole.ASSISTANT, content=" / ".join(asked))
    calls = [one.split() for one in asked[-1].removeprefix("call ").split(";")]
    blocks = [
        ToolCallBlock(
            tool_call_id=f"call-{number}", tool_name=name, tool_kwargs=dict(pair.split("=") for pair in arguments)
        )
        for number, (name, *arguments) in enumerate(calls)
    ]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)


def model() -> MockFunctionCallingLLM:
    return MockFunctionCallingLLM(response_generator=scripted)


async def weather(city: str) -> str:
    """Say what the weather is like."""
    return f"sun in {city}"


async def process(label: str) -> str:
    """Say which process this is."""
    return f"{label}={os.getpid()}"


async def remember(ctx: Context, what: str) -> str:
    """Note something in the state."""
    async with ctx.store.edit_state() as state:
        state["noted"] = [*state.get("noted", []), what]
    return f"noted {what}"


async def ask_person(ctx: Context, question: str) -> str:
    """Ask a person."""
    answer = await ctx.wait_for_event(
        HumanResponseEvent,
        waiter_id=question,
        waiter_event=InputRequiredEvent(prefix=question, user="ada"),
        requirements={"user": "ada"},
    )
    return f"{question}? {answer.response}"


async def broken(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


helper = FunctionAgent(
    name="helper",
    description="Knows the weather.",
    system_prompt="You help.",
    tools=[weather, process, remember, ask_person, broken],
    llm=model(),
    timeout=30,
)


def writers(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    """A model for two agents: the first hands over, the second answers."""
    system = next(m.content or "" for m in messages if m.role == MessageRole.SYSTEM)
    if "first" in system:
        handing = ToolCallBlock(
            tool_call_id="h1", tool_name="handoff", tool_kwargs={"to_agent": "second", "reason": "it writes"}
        )
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=[handing])
    asked = next(m.content for m in messages if m.role == MessageRole.USER)
    return ChatMessage(role=MessageRole.ASSISTANT, content=f"second wrote about {asked}")


def _member(name: str, others: list[str]) -> FunctionAgent:
    return FunctionAgent(
        name=name,
        description=f"The {name} agent.",
        system_prompt=f"You are the {name} agent.",
        tools=[weather],
        llm=MockFunctionCallingLLM(response_generator=writers),
        can_handoff_to=others,
    )


team = AgentWorkflow(agents=[_member("first", ["second"]), _member("second", [])], root_agent="first", timeout=30)


def thinking(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    """A model that thinks aloud: one look at the weather, then the answer."""
    seen = next((m.content for m in messages if (m.content or "").startswith("Observation:")), None)
    said = (
        'Thought: I need to look.\nAction: weather\nAction Input: {"city": "Rome"}'
        if seen is None
        else f"Thought: I can answer without using any more tools.\nAnswer: {seen.removeprefix('Observation: ')}"
    )
    return ChatMessage(role=MessageRole.ASSISTANT, content=said)


thinker = ReActAgent(
    name="thinker",
    description="Thinks aloud.",
    tools=[weather],
    llm=MockFunctionCallingLLM(response_generator=thinking),
    timeout=30,
)

workflows = [distribute(helper), distribute(team), distribute(thinker)]
