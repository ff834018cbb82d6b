"""The documentation's concurrent execution: many events, the first of several, all of several, several types, lists."""

import asyncio
import random
from typing import Annotated

from workflows import Context, Workflow, step
from workflows.collect import Collect, Take
from workflows.events import Event, StartEvent, StopEvent


class StepTwoEvent(Event):
    query: str


class StepThreeEvent(Event):
    result: str


class ParallelFlow(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> StepTwoEvent | None:
        ctx.send_event(StepTwoEvent(query="Query 1"))
        ctx.send_event(StepTwoEvent(query="Query 2"))
        ctx.send_event(StepTwoEvent(query="Query 3"))

    @step(num_workers=4)
    async def step_two(self, ctx: Context, ev: StepTwoEvent) -> StopEvent:
        print("Running slow query ", ev.query)
        await asyncio.sleep(random.randint(1, 5) / 20)

        return StopEvent(result=ev.query)


class ConcurrentFlow(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> StepTwoEvent | None:
        ctx.send_event(StepTwoEvent(query="Query 1"))
        ctx.send_event(StepTwoEvent(query="Query 2"))
        ctx.send_event(StepTwoEvent(query="Query 3"))

    @step(num_workers=4)
    async def step_two(self, ctx: Context, ev: StepTwoEvent) -> StepThreeEvent:
        print("Running query ", ev.query)
        await asyncio.sleep(random.randint(1, 5) / 20)
        return StepThreeEvent(result=ev.query)

    @step
    async def step_three(self, ctx: Context, ev: StepThreeEvent) -> StopEvent | None:
        # wait until we receive 3 events
        result = ctx.collect_events(ev, [StepThreeEvent] * 3)
        if result is None:
            return None

        # do something with all 3 results together
        print(result)
        return StopEvent(result="Done")


class StepAEvent(Event):
    query: str


class StepBEvent(Event):
    query: str


class StepCEvent(Event):
    query: str


class StepACompleteEvent(Event):
    result: str


class StepBCompleteEvent(Event):
    result: str


class StepCCompleteEvent(Event):
    result: str


class MultiTypeFlow(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> StepAEvent | StepBEvent | StepCEvent | None:
        ctx.send_event(StepAEvent(query="Query 1"))
        ctx.send_event(StepBEvent(query="Query 2"))
        ctx.send_event(StepCEvent(query="Query 3"))

    @step
    async def step_a(self, ctx: Context, ev: StepAEvent) -> StepACompleteEvent:
        print("Doing something A-ish")
        return StepACompleteEvent(result=ev.query)

    @step
    async def step_b(self, ctx: Context, ev: StepBEvent) -> StepBCompleteEvent:
        print("Doing something B-ish")
        return StepBCompleteEvent(result=ev.query)

    @step
    async def step_c(self, ctx: Context, ev: StepCEvent) -> StepCCompleteEvent:
        print("Doing something C-ish")
        return StepCCompleteEvent(result=ev.query)

    @step
    async def step_three(
        self,
        ctx: Context,
        ev: StepACompleteEvent | StepBCompleteEvent | StepCCompleteEvent,
    ) -> StopEvent | None:
        print("Received event ", ev.result)

        # wait until we receive 3 events
        events = ctx.collect_events(
            ev,
            [StepCCompleteEvent, StepACompleteEvent, StepBCompleteEvent],
        )
        if events is None:
            return None

        # do something with all 3 results together
        return StopEvent(result=" ".join(one.result for one in events))


class ListFlow(Workflow):
    @step
    async def start(self, ev: StartEvent) -> list[StepTwoEvent]:
        return [StepTwoEvent(query=f"Query {n}") for n in range(1, 4)]

    @step
    async def step_two(self, ev: StepTwoEvent) -> StepThreeEvent:
        return StepThreeEvent(result=ev.query)

    @step
    async def step_three(self, events: list[StepThreeEvent]) -> StopEvent:
        return StopEvent(result=sorted(ev.result for ev in events))


class FirstTwoFlow(Workflow):
    @step
    async def start(self, ev: StartEvent) -> list[StepTwoEvent]:
        return [StepTwoEvent(query=f"Query {n}") for n in range(1, 4)]

    @step
    async def step_two(self, ev: StepTwoEvent) -> StepThreeEvent:
        return StepThreeEvent(result=ev.query)

    @step
    async def step_three(self, events: Annotated[list[StepThreeEvent], Collect(Take(2))]) -> StopEvent:
        return StopEvent(result=len(events))


async def main():
    print("Result:", await ParallelFlow(timeout=10, verbose=False).run())
    print("Result:", await ConcurrentFlow(timeout=10, verbose=False).run())
    print("Result:", await MultiTypeFlow(timeout=10, verbose=False).run())
    print("Result:", await ListFlow(timeout=10).run())
    print("Result:", await FirstTwoFlow(timeout=10).run())


if __name__ == "__main__":
    asyncio.run(main())
