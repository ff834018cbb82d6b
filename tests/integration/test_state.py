from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, Field

from broker_wf import Context, Workflow, step
from broker_wf.errors import ContextStateError, EncodeError
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Item(Event):
    n: int


class Done(Event):
    n: int


class Paths(Workflow):
    @step
    async def write(self, ctx: Context, ev: StartEvent) -> Item:
        await ctx.store.set("plain", 1)
        await ctx.store.set("deep.er.est", [1, {"two": 2}])
        await ctx.store.set("deep.er.other", "x")
        return Item(n=1)

    @step
    async def read(self, ctx: Context, ev: Item) -> StopEvent:
        whole = await ctx.store.get_state()
        return StopEvent(
            result=[
                await ctx.store.get("plain"),
                await ctx.store.get("deep.er.est.1.two"),
                await ctx.store.get("absent", default="default"),
                await ctx.store.get("deep.absent.further", default=None),
                whole.deep["er"]["other"],
            ]
        )


class Missing(Workflow):
    @step
    async def read(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await ctx.store.get("absent.path"))


class Owner(BaseModel):
    name: str = "nobody"
    tags: list[str] = Field(default_factory=list)


class Account(BaseModel):
    owner: Owner = Field(default_factory=Owner)
    balance: int = 0
    log: list[str] = Field(default_factory=list)


class Typed(Workflow):
    @step
    async def begin(self, ctx: Context[Account], ev: StartEvent) -> Item:
        async with ctx.store.edit_state() as account:
            account.balance += 10
            account.owner.tags.append("edited")
        await ctx.store.set("owner.name", "Ada")
        return Item(n=1)

    @step
    async def end(self, ctx: Context[Account], ev: Item) -> StopEvent:
        account = await ctx.store.get_state()
        assert isinstance(account, Account)
        return StopEvent(result=account)


class Racing(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def add(self, ctx: Context, ev: Item) -> Done:
        async with ctx.store.edit_state() as state:
            before = state.get("sum", 0)
            await asyncio.sleep(0)
            state.sum = before + ev.n
            state.count = state.get("count", 0) + 1
        await ctx.store.set(f"each.n{ev.n}", ev.n)
        return Done(n=ev.n)

    @step
    async def end(self, ctx: Context, ev: list[Done]) -> StopEvent:
        state = await ctx.store.get_state()
        return StopEvent(result=[state.sum, state.count, len(state.each)])


class DropsEdit(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("value", "before")
        with pytest.raises(ZeroDivisionError):
            async with ctx.store.edit_state() as state:
                state.value = "never"
                _ = 1 / 0
        async with ctx.store.edit_state() as state:
            state.other = "kept"
        return StopEvent(result=await ctx.store.get("value"))


class Nested(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        async with ctx.store.edit_state() as state:
            state.value = 1
            await ctx.store.set("other", 2)
        return StopEvent()


class Replaces(Workflow):
    @step
    async def begin(self, ctx: Context[Account], ev: StartEvent) -> StopEvent:
        await ctx.store.set_state(Account(balance=7, log=["replaced"]))
        first = await ctx.store.get_state()
        await ctx.store.clear()
        return StopEvent(result=[first, await ctx.store.get_state()])


class Unstorable(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("outer", {"lock": [asyncio.Lock()]})
        return StopEvent()


class LongEdit(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        async with ctx.store.edit_state() as state:
            state.edited = True
            probe.mark(ev.name, "editing")
            await until(lambda: probe.count(ev.name, "go on") == 1)
        await until(lambda: probe.count(ev.name, "written") == 1)
        return StopEvent(result=(await ctx.store.get_state()).to_dict())


class Tells(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("count", await ctx.store.get("count", default=0) + 1)
        return StopEvent(result=await ctx.store.get("seeded", default="not seeded"))


async def test_values_are_written_and_read_by_dotted_paths(stage: Stage) -> None:
    flow = await stage.put_on(Paths)
    assert await within(flow.run()) == [1, 2, "default", None, "x"]


async def test_a_path_that_is_not_there_and_has_no_default_is_an_error(stage: Stage) -> None:
    flow = await stage.put_on(Missing)
    with pytest.raises(ValueError, match=r"Path 'absent\.path' not found in state"):
        await within(flow.run())


async def test_a_typed_state_keeps_its_classes_and_defaults(stage: Stage) -> None:
    flow = await stage.put_on(Typed)
    account = await within(flow.run())
    assert account == Account(owner=Owner(name="Ada", tags=["edited"]), balance=10)


async def test_fifty_edits_at_one_time_lose_nothing(stage: Stage) -> None:
    flow = await stage.put_on(Racing)
    assert await within(flow.run(count=50)) == [sum(range(50)), 50, 50]


async def test_an_edit_that_raises_changes_nothing_and_gives_the_lock_back(stage: Stage) -> None:
    flow = await stage.put_on(DropsEdit)
    assert await within(flow.run()) == "before"


async def test_a_write_inside_an_edit_is_refused(stage: Stage) -> None:
    flow = await stage.put_on(Nested)
    with pytest.raises(RuntimeError, match="inside edit_state"):
        await within(flow.run())


async def test_the_state_can_be_replaced_and_cleared(stage: Stage) -> None:
    flow = await stage.put_on(Replaces)
    assert await within(flow.run()) == [Account(balance=7, log=["replaced"]), Account()]


async def test_a_value_that_cannot_travel_is_refused_where_it_is_set(stage: Stage) -> None:
    flow = await stage.put_on(Unstorable)
    with pytest.raises(EncodeError, match=r"outer.*lock.*asyncio.*Lock"):
        await within(flow.run())


async def test_a_run_begins_with_the_state_its_context_was_given(stage: Stage) -> None:
    flow = await stage.put_on(Tells)
    context: Context[Any] = Context(flow)
    await context.store.set("seeded", {"by": "the driver"})
    handler = flow.run(ctx=context)
    assert await within(handler) == {"by": "the driver"}
    assert handler.ctx is context


async def test_the_state_of_a_run_is_read_after_its_end(stage: Stage) -> None:
    flow = await stage.put_on(Tells)
    handler = flow.run()
    await within(handler)
    assert await within(handler.ctx.store.get("count")) == 1
    assert (await within(flow.attach(handler.run_id).ctx.store.get_state())).count == 1


async def test_the_next_run_with_a_context_begins_where_the_last_one_ended(stage: Stage) -> None:
    flow = await stage.put_on(Tells)
    handler = flow.run()
    await within(handler)
    again = flow.run(ctx=handler.ctx)
    await within(again)
    assert await within(again.ctx.store.get("count")) == 2


async def test_a_context_of_a_run_that_goes_on_begins_no_other(stage: Stage) -> None:
    flow = await stage.put_on(Racing)
    handler = flow.run(count=3)
    with pytest.raises(ContextStateError, match="already running"):
        flow.run(ctx=handler.ctx, count=3)
    await within(handler)


async def test_the_holder_of_a_handler_may_write_the_state(stage: Stage) -> None:
    flow = await stage.put_on(Tells)
    handler = flow.run()
    await within(handler)
    await within(handler.ctx.store.set("deep.value", 5))
    async with handler.ctx.store.edit_state() as state:
        state.edited = True
    assert (await within(handler.ctx.store.get_state())).to_dict() == {
        "count": 1,
        "deep": {"value": 5},
        "edited": True,
    }


async def test_a_write_of_the_handlers_holder_waits_for_a_step_that_edits(stage: Stage) -> None:
    flow, name = await stage.put_on(LongEdit), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "editing") == 1)
    writing = asyncio.ensure_future(handler.ctx.store.set("written", 1))
    with pytest.raises(ContextStateError, match="changed by a step meanwhile"):
        async with handler.ctx.store.edit_state() as state:
            state.lost = True
    assert await within(handler.ctx.store.get("edited", default="not yet")) == "not yet"
    assert not writing.done()
    probe.mark(name, "go on")
    await within(writing)
    probe.mark(name, "written")
    assert await within(handler) == {"edited": True, "written": 1}
