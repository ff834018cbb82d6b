"""Typed states, paths through them, and who reads them when."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Item(Event):
    n: int


class Size(BaseModel):
    width: int = 1
    names: list[str] = Field(default_factory=list)


class Shape(BaseModel):
    color: str = "red"
    size: Size = Field(default_factory=Size)


class Square(Shape):
    edge: int = 2


class Boxed(Event):
    """Declares the class of what is stored without an annotation."""

    square: Square | None = None


class Stranger(BaseModel):
    color: str = "green"


class Needy(BaseModel):
    needed: int


async def _refusal(awaitable: Any) -> str:
    """The text of the ValueError that a call raises."""
    with pytest.raises(ValueError, match=r".") as caught:
        await awaitable
    return str(caught.value)


class Walks(Workflow):
    """Stores nested things, and follows paths through them in another step."""

    @step
    async def write(self, ctx: Context, ev: StartEvent) -> Boxed:
        await ctx.store.set("shelf", {"boxes": [{"a": 1}, Square(size=Size(names=["x", "y"]))]})
        await ctx.store.set("shelf.boxes.0.a", 5)
        await ctx.store.set("shelf.boxes.1.size.width", 7)
        await ctx.store.set("made.on.the.way", True)
        return Boxed()

    @step
    async def read(self, ctx: Context, ev: Boxed) -> StopEvent:
        paths = ["shelf.boxes.0.a", "shelf.boxes.1.size.width", "shelf.boxes.1.size.names.1", "made.on"]
        return StopEvent(result=[await ctx.store.get(path) for path in paths])


async def test_a_path_leads_through_dicts_list_indexes_models_and_attributes(stage: Stage) -> None:
    assert await within((await stage.put_on(Walks)).run()) == [5, 7, "y", {"the": {"way": True}}]


class Inherits(Workflow):
    """One step knows the parent of the state, the other the child."""

    @step
    async def first(self, ctx: Context[Shape], ev: StartEvent) -> Item:
        await ctx.store.set("color", "white")
        return Item(n=1)

    @step
    async def second(self, ctx: Context[Square], ev: Item) -> StopEvent:
        return StopEvent(result=await ctx.store.get_state())


async def test_of_all_annotated_states_the_most_derived_one_is_used(stage: Stage) -> None:
    assert await within((await stage.put_on(Inherits)).run()) == Square(color="white")


class Disagrees(Workflow):
    """Its two states are no relatives."""

    @step
    async def first(self, ctx: Context[Shape], ev: StartEvent) -> Item:
        return Item(n=1)

    @step
    async def second(self, ctx: Context[Stranger], ev: Item) -> StopEvent:
        return StopEvent()


async def test_states_that_do_not_inherit_from_each_other_are_refused_at_run(alone: Stage) -> None:
    with pytest.raises(ValueError, match="not in a compatible inheritance hierarchy"):
        await within(alone.flow(Disagrees).run())


class ClearsSubclass(Workflow):
    """Clears a state that was replaced."""

    @step
    async def begin(self, ctx: Context[Shape], ev: StartEvent) -> StopEvent:
        await ctx.store.set("color", "grey")
        await ctx.store.clear()
        return StopEvent(result=await ctx.store.get_state())


async def test_clear_goes_back_to_the_defaults_of_the_class(stage: Stage) -> None:
    assert await within((await stage.put_on(ClearsSubclass)).run()) == Shape()


class Tilted(Square):
    """Has what its parents have not: a needed field, one by default, a property."""

    angle: int
    note: str = "none"

    @property
    def doubled(self) -> int:
        return 2 * self.edge


class Turned(Event):
    pass


class Replaced(Workflow):
    """Its state is replaced by one of a subclass, which other steps and the handler then see."""

    @step
    async def begin(self, ctx: Context[Shape], ev: StartEvent) -> Turned:
        await ctx.store.set_state(Tilted(color="blue", angle=45))
        return Turned()

    @step
    async def turn(self, ctx: Context[Shape], ev: Turned) -> StopEvent:
        await ctx.store.set("angle", 90)
        async with ctx.store.edit_state() as state:
            state.edge = 3
        await ctx.store.set_state(Shape(color="green"))
        return StopEvent(result=[await ctx.store.get(path, default=None) for path in ("doubled", "note", "nothing")])


async def test_a_state_of_a_subclass_keeps_its_class_in_steps_handlers_saved_contexts_and_next_runs(
    stage: Stage,
) -> None:
    flow = await stage.put_on(Replaced)
    handler = flow.run()
    store = handler.ctx.store
    assert await within(handler) == [6, "none", None]
    assert await within(store.get_state()) == Tilted(color="green", edge=3, angle=90)
    await within(store.set("note", "from outside"))
    assert await within(store.get("doubled")) == 6
    saved: Context[Any] = Context.from_dict(flow, handler.ctx.to_dict())
    expected = Tilted(color="green", edge=3, angle=90, note="from outside")
    assert await saved.store.get_state() == expected
    next_one = flow.run(ctx=saved)
    assert await within(Context.from_dict(flow, next_one.ctx.to_dict()).store.get_state()) == expected
    await within(next_one)
    await within(handler.ctx.store.set_state(Square(edge=8)))
    assert await within(store.get_state()) == expected.model_copy(update={"color": "red", "edge": 8})
    with pytest.raises(ValueError, match="defaults for all fields"):
        await within(store.clear())


class ClearsReplaced(Workflow):
    """Clears a state of a subclass."""

    @step
    async def begin(self, ctx: Context[Shape], ev: StartEvent) -> StopEvent:
        await ctx.store.set_state(Square(edge=9))
        await ctx.store.clear()
        return StopEvent(result=await ctx.store.get_state())


async def test_clear_goes_back_to_the_defaults_of_the_class_the_state_is_of_now(stage: Stage) -> None:
    assert await within((await stage.put_on(ClearsReplaced)).run()) == Square()


class Fills(Workflow):
    """Sets a state that cannot begin with defaults."""

    @step
    async def begin(self, ctx: Context[Needy], ev: StartEvent) -> StopEvent:
        await ctx.store.set_state(Needy(needed=4))
        return StopEvent(result=await ctx.store.get_state())


async def test_a_state_with_a_field_without_default_can_be_set_whole(stage: Stage) -> None:
    assert await within((await stage.put_on(Fills)).run()) == Needy(needed=4)


class NeedsField(Workflow):
    """Its state has a field without a default."""

    @step
    async def begin(self, ctx: Context[Needy], ev: StartEvent) -> StopEvent:
        return StopEvent(result=await _refusal(ctx.store.clear()))


async def test_a_state_with_a_field_without_default_cannot_be_cleared(stage: Stage) -> None:
    flow = await stage.put_on(NeedsField)
    assert await within(flow.run()) == "State must have defaults for all fields"


class ReadsMeanwhile(Workflow):
    """One step edits for as long as the other has not read."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Item]:
        await ctx.store.set("value", "committed")
        return [Item(n=0), Item(n=1)]

    @step
    async def work(self, ctx: Context, ev: Item) -> StopEvent | None:
        name = ctx.idempotency_key.split("/")[0]
        if ev.n == 0:
            async with ctx.store.edit_state() as state:
                state.value = "edited"
                probe.mark(name, "editing")
                await until(lambda: probe.count(name, "read") == 1)
            probe.mark(name, "done")
            return None
        await until(lambda: probe.count(name, "editing") == 1)
        during = [await ctx.store.get("value"), (await ctx.store.get_state()).value]
        probe.mark(name, "read")
        await until(lambda: probe.count(name, "done") == 1)
        return StopEvent(result=[*during, await ctx.store.get("value")])


async def test_readers_do_not_wait_for_an_edit_and_see_what_was_committed_last(stage: Stage) -> None:
    flow = await stage.put_on(ReadsMeanwhile)
    assert await within(flow.run()) == ["committed", "committed", "edited"]


class DropsAll(Workflow):
    """Its edit of a typed state raises."""

    @step
    async def begin(self, ctx: Context[Shape], ev: StartEvent) -> StopEvent:
        with pytest.raises(LookupError):
            async with ctx.store.edit_state() as state:
                state.color = "lost"
                state.size.names.append("lost")
                raise LookupError
        return StopEvent(result=await ctx.store.get_state())


async def test_an_edit_that_raises_leaves_nothing_even_of_what_lies_deep(stage: Stage) -> None:
    assert await within((await stage.put_on(DropsAll)).run()) == Shape()


async def test_the_typed_state_of_a_finished_run_is_read_through_its_handler(stage: Stage) -> None:
    handler = (await stage.put_on(Inherits)).run()
    await within(handler)
    assert await within(handler.ctx.store.get_state()) == Square(color="white")
    assert await within(handler.ctx.store.get("size.width")) == 1
    assert await _refusal(within(handler.ctx.store.get("no.where"))) == "Path 'no.where' not found in state"


async def test_a_typed_state_is_seeded_before_the_run(stage: Stage) -> None:
    flow = await stage.put_on(Inherits)
    context: Context[Square] = Context(flow)
    await context.store.set("edge", 11)
    async with context.store.edit_state() as state:
        state.size.names.append("seed")
    found = await within(flow.run(ctx=context))
    assert found == Square(color="white", edge=11, size=Size(names=["seed"]))
