"""The documentation's examples of state: by key, typed, with an object of a class of its own, and over several runs."""

import asyncio

from pydantic import BaseModel, Field, field_serializer, field_validator
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent


class SetupEvent(Event):
    query: str


class StepTwoEvent(Event):
    query: str


class StatefulFlow(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> SetupEvent | StepTwoEvent:
        db = await ctx.store.get("some_database", default=None)
        if db is None:
            print("Need to load data")
            return SetupEvent(query=ev.query)

        # do something with the query
        return StepTwoEvent(query=ev.query)

    @step
    async def setup(self, ctx: Context, ev: SetupEvent) -> StartEvent:
        # load data
        await ctx.store.set("some_database", [1, 2, 3])
        return StartEvent(query=ev.query)

    @step
    async def step_two(self, ctx: Context, ev: StepTwoEvent) -> StopEvent:
        # do something with the data
        print("Data is ", await ctx.store.get("some_database"))

        return StopEvent(result=await ctx.store.get("some_database"))


class CounterState(BaseModel):
    count: int = Field(default=0)


class CounterWorkflow(Workflow):
    @step
    async def start(self, ctx: Context[CounterState], ev: StartEvent) -> StopEvent:
        # Allows for atomic state updates
        async with ctx.store.edit_state() as state:
            state.count += 1
            # you can also do this, but it's not atomic
            # state.count = state.count + 1

        return StopEvent(result=await ctx.store.get("count"))


class MyRandomObject:
    def __init__(self, name: str = "default"):
        self.name = name


# This is our state model
# NOTE: all fields must have defaults
class MyState(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    my_obj: MyRandomObject = Field(default_factory=MyRandomObject)
    some_key: str = Field(default="some_value")

    # This is optional, but can be useful if you want to control the serialization of your state!

    @field_serializer("my_obj", when_used="always")
    def serialize_my_obj(self, my_obj: MyRandomObject) -> str:
        return my_obj.name

    @field_validator("my_obj", mode="before")
    @classmethod
    def deserialize_my_obj(cls, v: str | MyRandomObject) -> MyRandomObject:
        if isinstance(v, MyRandomObject):
            return v
        if isinstance(v, str):
            return MyRandomObject(v)

        raise ValueError(f"Invalid type for my_obj: {type(v)}")


class MyStatefulFlow(Workflow):
    @step
    async def start(self, ctx: Context[MyState], ev: StartEvent) -> StopEvent:
        # Returns MyState directly
        state = await ctx.store.get_state()
        state.my_obj.name = "new_name"
        await ctx.store.set_state(state)

        # Can also access fields directly if needed
        name = await ctx.store.get("my_obj.name")
        await ctx.store.set("my_obj.name", "newer_name")

        return StopEvent(result=name)


async def main():
    print("Result:", await StatefulFlow(timeout=10, verbose=False).run(query="Some query"))

    # create the workflow and a context for it
    workflow = CounterWorkflow()
    ctx = Context(workflow)

    handler = workflow.run(ctx=ctx)
    result = await handler
    print("Result:", result)

    # save the ctx somewhere and restore
    ctx_dict = ctx.to_dict()
    ctx = Context.from_dict(workflow, ctx_dict)

    # continue next run
    handler = workflow.run(ctx=ctx)
    result = await handler
    print("Result:", result)

    flow = MyStatefulFlow(timeout=10)
    handler = flow.run()
    print("Result:", await handler)
    state = await handler.ctx.store.get_state()
    print("Result:", state.my_obj.name, state.some_key)
    print("Result:", (await Context.from_dict(flow, handler.ctx.to_dict()).store.get_state()).my_obj.name)


if __name__ == "__main__":
    asyncio.run(main())
