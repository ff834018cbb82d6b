"""What steps keep in the state of their run."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from tests.conformance.play import Play


class SetupEvent(Event):
    query: str


class StepTwoEvent(Event):
    query: str


class Database(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> SetupEvent | StepTwoEvent:
        if await ctx.store.get("some_database", default=None) is None:
            return SetupEvent(query=ev.query)
        return StepTwoEvent(query=ev.query)

    @step
    async def setup(self, ctx: Context, ev: SetupEvent) -> StepTwoEvent:
        await ctx.store.set("some_database", [1, 2, 3])
        await ctx.store.set("settings.colour", "blue")
        return StepTwoEvent(query=ev.query)

    @step
    async def use(self, ctx: Context, ev: StepTwoEvent) -> StopEvent:
        second = await ctx.store.get("some_database.1")
        colour = await ctx.store.get("settings.colour")
        return StopEvent(result=f"{ev.query} {second} {colour}")


async def steps_share_values_under_paths(play: Play) -> None:
    flow = await play(Database, timeout=20)
    assert await flow.run(query="what?") == "what? 2 blue"


async def a_context_carries_its_state_from_run_to_run(play: Play) -> None:
    flow = await play(Database, timeout=20)
    ctx = Context(flow)
    await ctx.store.set("some_database", [4, 5, 6])
    await ctx.store.set("settings", {"colour": "green"})
    assert await flow.run(query="first", ctx=ctx) == "first 5 green"
    assert await flow.run(query="second", ctx=ctx) == "second 5 green"


async def the_state_can_be_read_after_the_run(play: Play) -> None:
    flow = await play(Database, timeout=20)
    handler = flow.run(query="what?")
    await handler
    assert await handler.ctx.store.get("some_database") == [1, 2, 3]
    with pytest.raises(ValueError, match="Path 'nothing' not found in state"):
        await handler.ctx.store.get("nothing")


class Counting(BaseModel):
    count: int = Field(default=0)
    names: list[str] = Field(default_factory=list)


class Counted(Event):
    pass


class Typed(Workflow):
    @step
    async def first(self, ctx: Context[Counting], ev: StartEvent) -> Counted:
        async with ctx.store.edit_state() as state:
            state.count += 1
            state.names.append("first")
        return Counted()

    @step
    async def second(self, ctx: Context[Counting], ev: Counted) -> StopEvent:
        async with ctx.store.edit_state() as state:
            state.count += 1
            state.names.append("second")
        state = await ctx.store.get_state()
        assert type(state) is Counting
        return StopEvent(result=(state.count, state.names))


async def a_typed_state_is_edited_as_a_whole(play: Play) -> None:
    flow = await play(Typed, timeout=20)
    count, names = await flow.run()
    assert (count, names) == (2, ["first", "second"])


async def a_typed_state_can_be_given_to_a_run(play: Play) -> None:
    flow = await play(Typed, timeout=20)
    ctx = Context(flow)
    async with ctx.store.edit_state() as state:
        state.count = 40
    count, _ = await flow.run(ctx=ctx)
    assert count == 42


class Part(Event):
    number: int


class Contended(Workflow):
    @step
    async def spread(self, ctx: Context[Counting], ev: StartEvent) -> Part | None:
        for number in range(10):
            ctx.send_event(Part(number=number))
        return None

    @step
    async def add(self, ctx: Context[Counting], ev: Part) -> StopEvent | None:
        async with ctx.store.edit_state() as state:
            state.count += 1
            done = state.count == 10
        return StopEvent(result="all counted") if done else None


async def no_concurrent_edit_is_lost(play: Play) -> None:
    flow = await play(Contended, timeout=20)
    handler = flow.run()
    assert await handler == "all counted"
    assert (await handler.ctx.store.get_state()).count == 10


class Cleared(Workflow):
    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("kept", "no")
        await ctx.store.clear()
        return StopEvent(result=await ctx.store.get("kept", default="gone"))


async def a_state_can_be_cleared(play: Play) -> None:
    flow = await play(Cleared, timeout=20)
    assert await flow.run() == "gone"
