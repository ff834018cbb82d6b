"""Runs that begin where others end."""

from __future__ import annotations

import pytest
from workflows import Context, Workflow, step
from workflows.errors import ContextStateError, WorkflowRuntimeError
from workflows.events import StartEvent, StopEvent

from tests.conformance.play import Play


class Counter(Workflow):
    @step
    async def count(self, ctx: Context, ev: StartEvent) -> StopEvent:
        seen = await ctx.store.get("seen", default=0) + 1
        await ctx.store.set("seen", seen)
        return StopEvent(result=seen)


async def a_handlers_context_begins_the_next_run(play: Play) -> None:
    flow = await play(Counter, timeout=20)
    handler = flow.run()
    assert await handler == 1
    again = flow.run(ctx=handler.ctx)
    assert await again == 2
    assert again.ctx is handler.ctx


async def runs_without_a_context_know_nothing_of_each_other(play: Play) -> None:
    flow = await play(Counter, timeout=20)
    assert [await flow.run(), await flow.run()] == [1, 1]


async def a_step_context_is_found_from_within_a_step_only(play: Play) -> None:
    flow = await play(Finds, timeout=20)
    assert await flow.run() == "found"
    with pytest.raises(WorkflowRuntimeError, match="may only be called from within a step function"):
        Context.get_step_context()


class Finds(Workflow):
    @step
    async def find(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result="found" if Context.get_step_context() is ctx else "another")


async def members_of_another_state_are_refused(play: Play) -> None:
    flow = await play(Counter, timeout=20)
    ctx = Context(flow)
    with pytest.raises(ContextStateError, match="requires a running workflow"):
        ctx.collect_events(StartEvent(), [StartEvent])
    handler = flow.run()
    with pytest.raises(ContextStateError, match="only available from within step functions"):
        handler.ctx.collect_events(StartEvent(), [StartEvent])
    await handler
