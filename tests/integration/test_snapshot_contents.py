"""What `to_dict` writes, where the original's users look at it; and what `from_dict` refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from broker_wf import Context, Workflow, step
from broker_wf.context import JsonSerializer, PickleSerializer
from broker_wf.context.state_store import UnserializableKeyWarning
from broker_wf.errors import ContextSerdeError, ContextStateError
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.stage import Stage, within

UNKNOWN = '{"__is_pydantic": true, "qualified_name": "os.Bad", "value": {}}'


class Tally(BaseModel):
    n: int = 0


class Ping(Event):
    n: int


class Plain(Workflow):
    @step
    async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("seen", {"a": [1, 2]})
        return StopEvent(result=await ctx.store.get("before", default=None))


class Typed(Workflow):
    @step
    async def go(self, ctx: Context[Tally], ev: StartEvent) -> StopEvent:
        async with ctx.store.edit_state() as tally:
            tally.n += 1
        return StopEvent(result=(await ctx.store.get_state()).n)


class Inward(Workflow):
    @step
    async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.to_dict()
        return StopEvent()


async def test_a_dict_state_is_a_text_for_each_key(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run()
    await within(handler)
    saved = handler.ctx.to_dict()
    assert saved["state"]["state_data"] == {"_data": {"seen": '{"a": [1, 2]}'}}
    assert saved["state"]["state_type"] == "DictState"
    assert saved["state"]["store_type"] == "in_memory"
    assert saved["is_running"] is False
    assert json.loads(json.dumps(saved)) == saved


async def test_a_typed_state_is_one_text(stage: Stage) -> None:
    handler = (await stage.put_on(Typed)).run()
    await within(handler)
    text = handler.ctx.to_dict()["state"]["state_data"]
    assert json.loads(text) == {"__is_pydantic": True, "value": {"n": 1}, "qualified_name": f"{__name__}.Tally"}


async def test_a_saved_state_is_what_a_new_run_begins_with(stage: Stage) -> None:
    flow = await stage.put_on(Typed)
    first = flow.run()
    await within(first)
    ctx: Context[Any] = Context.from_dict(flow, first.ctx.to_dict())
    assert not ctx.is_running
    handler = flow.run(ctx=ctx)
    assert await within(handler) == 2
    assert handler.ctx is ctx


async def test_a_context_is_written_down_before_it_has_run(alone: Stage) -> None:
    flow = await alone.put_on(Plain)
    ctx: Context[Any] = Context(flow)
    await ctx.store.set("before", 7)
    saved = ctx.to_dict()
    assert saved["state"]["state_data"] == {"_data": {"before": "7"}}
    assert not saved["is_running"]
    assert await within(flow.run(ctx=Context.from_dict(flow, saved))) == 7


async def test_the_state_can_be_left_out(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run()
    await within(handler)
    saved = handler.ctx.to_dict(include_state=False)
    assert saved["state"] == {}
    assert Context.from_dict(stage.flow(Plain), saved).to_dict()["state"]["state_data"] == {"_data": {}}


async def test_the_serializer_of_the_call_writes_the_state(alone: Stage) -> None:
    flow = await alone.put_on(Plain)
    ctx: Context[Any] = Context(flow)
    await ctx.store.set("before", {1, 2})
    with pytest.raises(ValueError, match="Failed to serialize state value for key before"):
        ctx.to_dict()
    saved = ctx.to_dict(PickleSerializer())
    again: Context[Any] = Context.from_dict(flow, saved, PickleSerializer())
    assert await again.store.get("before") == {1, 2}


async def test_the_serializer_of_the_workflow_is_the_one_where_none_is_given(alone: Stage) -> None:
    flow = alone.flow(Plain, serializer=PickleSerializer())
    ctx: Context[Any] = Context(flow)
    await ctx.store.set("before", {1, 2})
    assert await Context.from_dict(flow, ctx.to_dict()).store.get("before") == {1, 2}
    handler = flow.run(ctx=ctx)
    assert await within(handler) == {1, 2}
    assert await Context.from_dict(flow, handler.ctx.to_dict()).store.get("before") == {1, 2}


async def test_what_cannot_be_written_under_memory_is_left_out_with_a_warning(alone: Stage) -> None:
    ctx: Context[Any] = Context(await alone.put_on(Plain))
    await ctx.store.set("memory", object())
    with pytest.warns(UnserializableKeyWarning):
        assert ctx.to_dict()["state"]["state_data"] == {"_data": {}}


async def test_events_in_the_state_come_back_as_their_classes(alone: Stage) -> None:
    flow = await alone.put_on(Plain)
    ctx: Context[Any] = Context(flow)
    await ctx.store.set("before", Ping(n=3))
    assert await Context.from_dict(flow, ctx.to_dict()).store.get("before") == Ping(n=3)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("text", "is a dict, not str"),
        ({"version": 99}, "version=99; this library supports up to version 2"),
        ({"version": "x"}, "version='x'"),
        ({"version": 2, "is_running": True}, "there is no 'run'"),
        ({"version": 2, "is_running": True, "run": "%%%"}, "was damaged"),
        ({"version": 2, "is_running": True, "run": "eJwDAAAAAAE="}, "was damaged"),
        ({"version": 2, "state": {"store_type": "sql"}}, "no 'state_data'"),
        ({"version": 2, "state": {"state_data": {"_data": {"a": "{"}}}}, "cannot be read"),
        ({"version": 2, "state": {"state_data": UNKNOWN}}, "allowed"),
        ({"version": 2, "state": {"state_data": "3"}}, "is a int; this workflow's is a DictState"),
    ],
)  # fmt: skip
async def test_a_context_that_cannot_be_read_says_why(alone: Stage, data: Any, says: str) -> None:
    flow = alone.flow(Plain)
    with pytest.raises(ContextSerdeError, match=says):
        flow.run(ctx=Context.from_dict(flow, data))


async def test_a_context_of_the_original_gives_its_state(alone: Stage) -> None:
    flow = alone.flow(Plain)
    theirs = {
        "version": 2,
        "state": {
            "store_type": "in_memory",
            "state_type": "DictState",
            "state_module": "workflows.context.state_store",
            "state_data": {"_data": {"before": "5"}},
        },
        "is_running": False,
    }
    assert await within(flow.run(ctx=Context.from_dict(flow, theirs))) == 5


async def test_to_dict_within_a_step_says_where_it_belongs(stage: Stage) -> None:
    with pytest.raises(ContextStateError, match="only available from handler code"):
        await within((await stage.put_on(Inward)).run())


async def test_an_explicit_allowlist_is_kept_to(alone: Stage) -> None:
    flow = alone.flow(Plain)
    ctx: Context[Any] = Context(flow)
    await ctx.store.set("before", Ping(n=3))
    with pytest.raises(ContextSerdeError, match="allowed types"):
        Context.from_dict(flow, ctx.to_dict(), JsonSerializer(allowed_types=[]))
