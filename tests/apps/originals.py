"""Workflows of llama-index-workflows that do what is special about them."""

from __future__ import annotations

from pydantic import BaseModel, Field
from workflows import Context, Workflow, step
from workflows.context.state_store import DictState
from workflows.events import Event, StartEvent, StopEvent

from broker_wf.integrations.llama_index import distribute
from tests.apps.values import Behind


class Notes(BaseModel):
    lines: list[str] = Field(default_factory=list)


class Next(Event):
    hidden: str = Field(default="default", exclude=True)


class InPlace(Workflow):
    """Changes what it got from the state, and never sets it."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Next:
        await ctx.store.set("notes", Notes())
        await ctx.store.set("tree", {"leaf": [1]})
        notes = await ctx.store.get("notes")
        notes.lines.append("begun")
        assert await ctx.store.get("notes") is notes
        return Next(hidden="secret")

    @step
    async def end(self, ctx: Context, ev: Next) -> StopEvent:
        notes = await ctx.store.get("notes")
        notes.lines.append("ended")
        leaf = await ctx.store.get("tree.leaf")
        leaf.append(2)
        return StopEvent(result=ev.hidden)


class Fails(Workflow):
    """Changes something in place and does not come to its end."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        notes = await ctx.store.get("notes")
        notes.lines.append("lost")
        raise ValueError("no")


class Replaced(Workflow):
    """Sets, in one execution, what it has changed in place before."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("list", [1])
        held = await ctx.store.get("list")
        held.append(2)
        await ctx.store.set("list", [9])
        async with ctx.store.edit_state() as state:
            state["list"].append(10)
        await ctx.store.set_state(await ctx.store.get_state())
        return StopEvent(result=await ctx.store.get("list"))


class Open(Workflow):
    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=Behind(text="there"))


class Ledger(DictState):
    """A state with a field and whatever else is set."""

    total: int = 0


class Keeps(Workflow):
    @step
    async def only(self, ctx: Context[Ledger], ev: StartEvent) -> Next:
        await ctx.store.set("total", 2)
        await ctx.store.set("names.first", "Ada")
        return Next()

    @step
    async def end(self, ctx: Context[Ledger], ev: Next) -> StopEvent:
        async with ctx.store.edit_state() as state:
            state.more = [state.total]
        state = await ctx.store.get_state()
        assert type(state) is Ledger
        await ctx.store.set_state(state)
        return StopEvent(result=[state.total, state.names, await ctx.store.get("more.0")])


in_place = distribute(InPlace())
