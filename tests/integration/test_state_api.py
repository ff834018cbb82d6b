"""The sentences about the state store in the contract, one by one, wherever a run executes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from pydantic import BaseModel, Field

from broker_wf import Context, Workflow, step
from broker_wf.errors import EncodeError
from broker_wf.events import Event, StartEvent, StopEvent
from tests.apps.parcels import Label, Parcel, Unknown
from tests.integration.stage import Stage, within


class Parent(BaseModel):
    name: str = "nobody"
    tags: list[str] = Field(default_factory=list)


class Account(Parent):
    balance: int = 0


class Premium(Account):
    discount: int = 5


class Stranger(BaseModel):
    name: str = "stranger"


async def _said(attempt: Awaitable[Any]) -> str:
    """What a call was refused with."""
    with pytest.raises((ValueError, RuntimeError)) as refused:
        await attempt
    return f"{type(refused.value).__name__}: {refused.value}"


class Refused(Workflow):
    @step
    async def ask(self, ctx: Context[Account], ev: StartEvent) -> StopEvent:
        long = ".".join(["a"] * 1001)
        return StopEvent(
            result=[
                await _said(ctx.store.set("", 1)),
                await _said(ctx.store.set(long, 1)),
                await _said(ctx.store.get(long)),
                await _said(ctx.store.set_state(Stranger())),  # pyright: ignore[reportArgumentType]
            ]
        )


class Merges(Workflow):
    @step
    async def ask(self, ctx: Context[Account], ev: StartEvent) -> StopEvent:
        await ctx.store.set_state(Account(name="Ada", balance=7))
        await ctx.store.set_state(Parent(name="Bea", tags=["merged"]))  # pyright: ignore[reportArgumentType]
        return StopEvent(result=await ctx.store.get_state())


class Replaces(Workflow):
    @step
    async def ask(self, ctx: Context[Account], ev: StartEvent) -> StopEvent:
        await ctx.store.set_state(Premium(balance=7, discount=9))
        return StopEvent(result=[await ctx.store.get("discount"), (await ctx.store.get_state()).balance])


class MethodNames(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for name in ("items", "keys", "get", "values"):
            await ctx.store.set(name, name.upper())
        return StopEvent(result=[await ctx.store.get(name) for name in ("items", "keys", "get", "values")])


class Deletes(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("kept", 1)
        await ctx.store.set("gone", 2)
        async with ctx.store.edit_state() as state:
            del state._data["gone"]
        return StopEvent(result=[await ctx.store.get("kept"), await ctx.store.get("gone", default="absent")])


class ReadsWhileEditing(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("value", "committed")
        async with ctx.store.edit_state() as state:
            state.value = "edited"
            during = await ctx.store.get("value")
        return StopEvent(result=[during, await ctx.store.get("value")])


class WritesWhileEditing(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        said: list[str] = []
        async with ctx.store.edit_state() as state:
            state.value = "kept"
            said.append(await _said(ctx.store.set("other", 1)))
            said.append(await _said(ctx.store.set_state(state)))
            said.append(await _said(ctx.store.clear()))
        return StopEvent(result=[said, await ctx.store.get("value")])


class Unstorable(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("client", asyncio.Lock())
        return StopEvent()


class Crate(BaseModel):
    """Named by no annotation."""

    weight: int = 1


class Stored(Event):
    pass


class Stores(Workflow):
    """Puts values into a state that declares nothing; another step reads them."""

    @step
    async def put(self, ctx: Context, ev: StartEvent) -> Stored:
        await ctx.store.set("crate", Crate(weight=7))
        await ctx.store.set("parcel", Parcel(label=Label(text="to Bea")))
        return Stored()

    @step
    async def read(self, ctx: Context, ev: Stored) -> StopEvent:
        return StopEvent(result=[await ctx.store.get("crate"), await ctx.store.get("parcel.label.text")])


class StoresUnknown(Workflow):
    """Puts a value of another module into a state that declares nothing."""

    @step
    async def put(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("value", Unknown(weight=3))
        return StopEvent(result=(await ctx.store.get("value")).weight)


class Nothing(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("value", "of the run")
        return StopEvent()


async def test_paths_and_states_that_do_not_fit_are_refused_with_value_errors(stage: Stage) -> None:
    flow = await stage.put_on(Refused)
    empty, too_long_to_set, too_long_to_get, stranger = await within(flow.run())
    assert empty == "ValueError: Path cannot be empty"
    assert too_long_to_set == too_long_to_get == "ValueError: Path length exceeds 1000 segments"
    assert stranger.startswith("ValueError: State must be of type Account or a parent type")


async def test_a_state_of_a_parent_type_merges_its_fields(stage: Stage) -> None:
    flow = await stage.put_on(Merges)
    assert await within(flow.run()) == Account(name="Bea", tags=["merged"], balance=7)


async def test_a_state_of_a_subclass_replaces_the_state_with_its_fields(stage: Stage) -> None:
    flow = await stage.put_on(Replaces)
    assert await within(flow.run()) == [9, 7]


async def test_names_of_methods_are_keys_of_the_dict_state(stage: Stage) -> None:
    flow = await stage.put_on(MethodNames)
    assert await within(flow.run()) == ["ITEMS", "KEYS", "GET", "VALUES"]


async def test_a_key_deleted_from_the_data_of_an_edited_state_is_gone(stage: Stage) -> None:
    flow = await stage.put_on(Deletes)
    assert await within(flow.run()) == [1, "absent"]


async def test_a_reader_inside_an_edit_sees_the_last_committed_state(stage: Stage) -> None:
    flow = await stage.put_on(ReadsWhileEditing)
    assert await within(flow.run()) == ["committed", "edited"]


async def test_every_writer_inside_an_edit_of_a_step_is_refused_and_the_edit_holds(stage: Stage) -> None:
    flow = await stage.put_on(WritesWhileEditing)
    said, value = await within(flow.run())
    assert len(said) == 3
    assert all(one.startswith("RuntimeError") and "edit_state" in one for one in said)
    assert value == "kept"


async def test_a_live_object_in_the_state_is_refused_with_a_word_about_resources(stage: Stage) -> None:
    flow = await stage.put_on(Unstorable)
    with pytest.raises(EncodeError, match=r"client.*Lock[\s\S]*Resource"):
        await within(flow.run())


async def test_a_state_without_fields_holds_values_of_the_workflows_module_and_registered_ones(stage: Stage) -> None:
    assert await within((await stage.put_on(Stores)).run()) == [Crate(weight=7), "to Bea"]


async def test_a_value_that_only_this_process_knows_is_kept_in_process_and_refused_with_advice_on_workers(
    stage: Stage,
) -> None:
    run = (await stage.put_on(StoresUnknown)).run()
    if stage.in_process:
        assert await within(run) == 3
        return
    with pytest.raises(EncodeError, match=r"'value' of type tests.apps.parcels.Unknown .*@broker_wf.register"):
        await within(run)


async def test_every_writer_inside_an_edit_of_a_handler_is_refused_and_the_edit_holds(stage: Stage) -> None:
    flow = await stage.put_on(Nothing)
    handler = flow.run()
    await within(handler)
    store = handler.ctx.store
    async with store.edit_state() as state:
        state.value = "edited"
        said = [await _said(store.set("other", 1)), await _said(store.set_state(state)), await _said(store.clear())]
        with pytest.raises(RuntimeError, match="edit_state"):
            async with store.edit_state():
                pass
    assert all(one.startswith("RuntimeError") and "edit_state" in one for one in said)
    assert (await within(store.get_state())).to_dict() == {"value": "edited"}


async def test_an_edit_of_one_run_does_not_keep_its_editor_from_writing_another(stage: Stage) -> None:
    flow = await stage.put_on(Nothing)
    first, second = flow.run(), flow.run()
    await within(first)
    await within(second)
    async with first.ctx.store.edit_state() as state:
        state.value = "first"
        await second.ctx.store.set("value", "second")
    assert await within(first.ctx.store.get("value")) == "first"
    assert await within(second.ctx.store.get("value")) == "second"
