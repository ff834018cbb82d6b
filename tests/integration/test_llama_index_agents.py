"""Agents of llama-index-core, unchanged, over two worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import redis
from llama_index.core.agent.workflow import AgentOutput, AgentStream, ToolCall, ToolCallResult
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent, StopEvent
from workflows.errors import WorkflowRuntimeError

from broker_wf.errors import EncodeError
from broker_wf.home import close_homes
from broker_wf.integrations.llama_index import DistributedWorkflow, distribute
from broker_wf.settings import Settings
from tests.apps.agents import helper, team, thinker
from tests.integration.console import Console
from tests.integration.key_audit import problems
from tests.integration.stage import within

QUICK = {"lease_ms": 3_000, "sweep_ms": 200, "heartbeat_ms": 1_000, "drain_timeout_ms": 0}


@pytest.fixture(scope="module")
def processes(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Two worker processes that serve the agents."""
    settings = Settings.load(url=server_url, namespace="agents", **QUICK)
    console = Console(server_url, settings.namespace, tmp_path_factory.mktemp("agents"))
    try:
        console.worker("-p", "2", "tests.apps.agents:workflows", count=2)
        yield settings
    finally:
        console.close()
    with redis.Redis.from_url(server_url) as client:
        assert problems(client, settings.namespace) == []


@pytest_asyncio.fixture
async def driver(processes: Settings) -> AsyncIterator[Settings]:
    """Settings of a process that submits."""
    yield processes
    await close_homes()


@pytest.fixture
def agent(driver: Settings) -> DistributedWorkflow:
    """The agent, served by both workers."""
    return distribute(helper, broker=driver)


async def _all(handler: Any) -> list[Any]:
    return [event async for event in handler.stream_events()]


async def test_an_agent_answers(agent: DistributedWorkflow) -> None:
    answer = await within(agent.run("hello"))
    assert type(answer) is AgentOutput
    assert str(answer) == "hello"


async def test_an_agent_calls_its_tools_and_reads_what_they_say(agent: DistributedWorkflow) -> None:
    answer = await within(agent.run("call weather city=Rome; weather city=Oslo"))
    assert sorted(str(answer).removeprefix("found: ").split(", ")) == ["sun in Oslo", "sun in Rome"]
    assert sorted(call.tool_kwargs["city"] for call in answer.tool_calls) == ["Oslo", "Rome"]


async def test_tool_calls_of_one_run_spread_over_the_processes(agent: DistributedWorkflow) -> None:
    calls = "; ".join(f"process label={n}" for n in range(40))
    answer = await within(agent.run(f"call {calls}"))
    found = str(answer).removeprefix("found: ").split(", ")
    assert len({one.split("=")[1] for one in found}) == 2


async def test_the_stream_holds_the_agents_own_events(agent: DistributedWorkflow) -> None:
    events = await within(_all(agent.run("call weather city=Rome")))
    kinds = [type(one) for one in events]
    assert {AgentStream, AgentOutput, ToolCall, ToolCallResult} < set(kinds)
    assert kinds[-1] is StopEvent
    result = next(one for one in events if type(one) is ToolCallResult)
    assert result.tool_output.content == "sun in Rome"


async def test_a_tool_changes_the_state_through_its_context(agent: DistributedWorkflow) -> None:
    handler = agent.run("call remember what=this; remember what=that")
    await within(handler)
    assert sorted(await handler.ctx.store.get("noted")) == ["that", "this"]


async def test_a_tool_asks_a_person_and_goes_on_with_the_answer(agent: DistributedWorkflow) -> None:
    handler = agent.run("call ask_person question=tea; ask_person question=milk; weather city=Rome")

    async def talk() -> list[str]:
        asked: list[str] = []
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                asked.append(event.prefix)
            if len(asked) == 2:
                handler.ctx.send_event(HumanResponseEvent(response="no", user="bob"))
                handler.ctx.send_event(HumanResponseEvent(response="yes", user="ada"))
                return asked
        return asked

    assert sorted(await within(talk())) == ["milk", "tea"]
    said = str(await within(handler)).removeprefix("found: ").split(", ")
    assert sorted(said) == ["milk? yes", "sun in Rome", "tea? yes"]


async def test_a_person_answers_from_another_process_after_a_while(agent: DistributedWorkflow) -> None:
    handler = agent.run("call ask_person question=tea", run_id="asked")
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    await close_homes()
    later = agent.attach("asked")
    await later.send_event(HumanResponseEvent(response="yes", user="ada"))
    assert str(await within(later)) == "found: tea? yes"


async def test_a_tool_that_fails_is_told_to_the_model(agent: DistributedWorkflow) -> None:
    answer = await within(agent.run("call broken reason=rain"))
    assert str(answer) == "found: rain"


async def test_the_memory_goes_with_the_context_from_run_to_run(agent: DistributedWorkflow) -> None:
    ctx = Context(agent)
    assert str(await within(agent.run("one", ctx=ctx))) == "one"
    assert str(await within(agent.run("two", ctx=ctx))) == "one / two"
    memory = await ctx.store.get("memory")
    assert [message.content for message in memory.get_all()] == ["one", "one", "two", "one / two"]


async def test_a_memory_may_be_given_to_a_run(agent: DistributedWorkflow) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000)
    first = await within(agent.run("one", memory=memory))
    assert str(first) == "one"


async def test_a_memory_that_would_lose_its_messages_is_refused(agent: DistributedWorkflow, namespace: str) -> None:
    alone = distribute(helper, broker=Settings.load(namespace=namespace, **QUICK))
    for one in (agent, alone):
        with pytest.raises(EncodeError, match="use a ChatMemoryBuffer"):
            one.run("one", memory=Memory.from_defaults())


async def test_too_many_iterations_raise_the_agents_error(agent: DistributedWorkflow) -> None:
    with pytest.raises(WorkflowRuntimeError, match="Max iterations of 1 reached"):
        await within(agent.run("call weather city=Rome", max_iterations=1))


async def test_agents_hand_over_to_each_other(driver: Settings) -> None:
    answer = await within(distribute(team, broker=driver).run("tea"))
    assert str(answer) == "second wrote about tea"
    assert answer.current_agent_name == "second"


async def test_an_agent_that_thinks_aloud_keeps_its_reasoning_in_the_state(driver: Settings) -> None:
    answer = await within(distribute(thinker, broker=driver).run("What is the weather in Rome?"))
    assert "sun in Rome" in str(answer)


async def test_agents_of_one_class_are_told_apart_by_their_names(driver: Settings) -> None:
    other = helper.model_copy(update={"name": "other one"})
    names = [distribute(one, broker=driver).workflow_name for one in (helper, other, team)]
    assert len(set(names)) == 3
