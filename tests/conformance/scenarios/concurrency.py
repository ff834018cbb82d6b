"""Many executions at one time, and what brings them together."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Annotated

from workflows import Context, Workflow, step
from workflows.collect import Collect, Take
from workflows.events import Event, StartEvent, StopEvent

from tests.conformance.play import Play


class Task(Event):
    number: int


class Done(Event):
    number: int
    began: float = 0.0
    ended: float = 0.0


class Parallel(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> Task | None:
        await ctx.store.set("wanted", ev.wanted)
        for number in range(ev.wanted):
            ctx.send_event(Task(number=number))
        return None

    @step(num_workers=4)
    async def work(self, ctx: Context, ev: Task) -> Done:
        return Done(number=ev.number)

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
        wanted = await ctx.store.get("wanted")
        found = ctx.collect_events(ev, [Done] * wanted)
        return None if found is None else StopEvent(result=sorted(one.number for one in found))


async def sent_events_are_collected_again(play: Play) -> None:
    flow = await play(Parallel, timeout=20)
    assert await flow.run(wanted=8) == list(range(8))


class OneByOne(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> Task | None:
        for number in range(3):
            ctx.send_event(Task(number=number))
        return None

    @step(num_workers=1)
    async def work(self, ev: Task) -> Done:
        began = time.monotonic()
        await asyncio.sleep(0.03)
        return Done(number=ev.number, began=began, ended=time.monotonic())

    @step
    async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
        found = ctx.collect_events(ev, [Done] * 3)
        return None if found is None else StopEvent(result=[[one.began, one.ended] for one in found])


async def a_step_with_one_worker_does_one_thing_at_a_time(play: Play) -> None:
    flow = await play(OneByOne, timeout=20)
    spans = sorted(await flow.run())
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


class A(Event):
    text: str


class B(Event):
    text: str


class C(Event):
    text: str


class Several(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> A | B | C | None:
        for one in (C(text="c"), B(text="b"), A(text="a")):
            ctx.send_event(one)
        return None

    @step
    async def gather(self, ctx: Context, ev: A | B | C) -> StopEvent | None:
        found = ctx.collect_events(ev, [A, B, C])
        return None if found is None else StopEvent(result=" ".join(one.text for one in found))


async def collected_events_come_in_the_order_asked_for(play: Play) -> None:
    flow = await play(Several, timeout=20)
    assert await flow.run() == "a b c"


class Direct(Workflow):
    @step
    async def start(self, ctx: Context, ev: StartEvent) -> Task | None:
        ctx.send_event(Task(number=5), step="second")
        return None

    @step
    async def first(self, ev: Task) -> StopEvent:
        return StopEvent(result="first")

    @step
    async def second(self, ev: Task) -> StopEvent:
        return StopEvent(result="second")


async def an_event_may_be_sent_to_one_step(play: Play) -> None:
    flow = await play(Direct, timeout=20)
    assert await flow.run() == "second"


class Listed(Workflow):
    @step
    async def spread(self, ev: StartEvent) -> list[Task]:
        return [Task(number=n) for n in range(ev.wanted)]

    @step
    async def work(self, ev: Task) -> Done | None:
        return Done(number=ev.number) if ev.number % 3 else None

    @step
    async def gather(self, done: list[Done]) -> StopEvent:
        return StopEvent(result=sorted(one.number for one in done))


async def a_returned_list_fans_out_and_a_list_parameter_in(play: Play) -> None:
    flow = await play(Listed, timeout=20)
    assert await flow.run(wanted=7) == [1, 2, 4, 5]
    assert await flow.run(wanted=0) == []


class FirstTwo(Workflow):
    @step
    async def spread(self, ev: StartEvent) -> list[Task]:
        return [Task(number=n) for n in range(5)]

    @step
    async def work(self, ev: Task) -> Done:
        return Done(number=ev.number)

    @step
    async def gather(self, done: Annotated[list[Done], Collect(Take(2))]) -> StopEvent:
        return StopEvent(result=len(done))


async def a_join_may_take_only_the_first(play: Play) -> None:
    flow = await play(FirstTwo, timeout=20)
    assert await flow.run() == 2


class Left(Event):
    text: str


class Right(Event):
    text: str


class Pair(Workflow):
    @step
    async def left(self, ev: StartEvent) -> Left:
        return Left(text="l")

    @step
    async def right(self, ev: StartEvent) -> Right:
        return Right(text="r")

    @step
    async def both(self, one: Left, two: Right) -> StopEvent:
        return StopEvent(result=one.text + two.text)


async def a_step_with_two_event_parameters_waits_for_both(play: Play) -> None:
    flow = await play(Pair, timeout=20)
    assert await flow.run() == "lr"


class Outer(Event):
    name: str


class Inner(Event):
    name: str
    number: int


class Sum(Event):
    name: str
    total: int


class Nested(Workflow):
    @step
    async def outer(self, ev: StartEvent) -> list[Outer]:
        return [Outer(name=name) for name in "abc"]

    @step
    async def inner(self, ev: Outer) -> list[Inner]:
        return [Inner(name=ev.name, number=n) for n in range(4)]

    @step
    async def add(self, ev: list[Inner]) -> Sum:
        return Sum(name=ev[0].name, total=sum(one.number for one in ev))

    @step
    async def end(self, ev: list[Sum]) -> StopEvent:
        return StopEvent(result={one.name: one.total for one in ev})


async def fan_outs_nest(play: Play) -> None:
    flow = await play(Nested, timeout=20)
    assert await flow.run() == {"a": 6, "b": 6, "c": 6}
