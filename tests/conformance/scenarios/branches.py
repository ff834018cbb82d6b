"""Branches, and loops that end by themselves."""

from __future__ import annotations

import random

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from tests.conformance.play import Play


class BranchA1(Event):
    payload: str


class BranchA2(Event):
    payload: str


class BranchB1(Event):
    payload: str


class Branching(Workflow):
    @step
    async def start(self, ev: StartEvent) -> BranchA1 | BranchB1:
        return BranchA1(payload="left") if ev.left else BranchB1(payload="right")

    @step
    async def a1(self, ev: BranchA1) -> BranchA2:
        return BranchA2(payload=ev.payload + "!")

    @step
    async def a2(self, ev: BranchA2) -> StopEvent:
        return StopEvent(result=f"a: {ev.payload}")

    @step
    async def b1(self, ev: BranchB1) -> StopEvent:
        return StopEvent(result=f"b: {ev.payload}")


async def an_event_class_chooses_the_branch(play: Play) -> None:
    flow = await play(Branching, timeout=20)
    assert await flow.run(left=True) == "a: left!"
    assert await flow.run(left=False) == "b: right"


class LoopEvent(Event):
    tries: int
    seed: int


class Looping(Workflow):
    @step
    async def throw(self, ev: StartEvent | LoopEvent) -> LoopEvent | StopEvent:
        tries = ev.get("tries", 0) if isinstance(ev, StartEvent) else ev.tries
        if random.Random(ev.seed + tries).randint(0, 5) == 0:
            return StopEvent(result=tries)
        return LoopEvent(tries=tries + 1, seed=ev.seed)


async def a_step_may_take_what_it_returns(play: Play) -> None:
    flow = await play(Looping, timeout=20)
    expected = next(n for n in range(1000) if random.Random(7 + n).randint(0, 5) == 0)
    assert await flow.run(seed=7) == expected


class Question(Event):
    about: str


class Opinion(Event):
    text: str


class Everybody(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> Question:
        return Question(about="tea")

    @step
    async def one(self, ev: Question) -> Opinion:
        return Opinion(text=f"one likes {ev.about}")

    @step
    async def other(self, ev: Question) -> None:
        return None

    @step
    async def end(self, ev: Opinion) -> StopEvent:
        return StopEvent(result=ev.text)


async def an_event_goes_to_every_step_that_takes_it_and_none_ends_a_branch(play: Play) -> None:
    flow = await play(Everybody, timeout=20)
    assert await flow.run() == "one likes tea"


class Shape(Event):
    name: str


class Circle(Shape):
    radius: float


class Geometry(Workflow):
    @step
    async def draw(self, ev: StartEvent) -> Circle:
        return Circle(name="circle", radius=2.0)

    @step(accept_event_subclasses=True)
    async def measure(self, ev: Shape) -> StopEvent:
        return StopEvent(result=(type(ev).__name__, ev.name))


async def a_step_may_take_subclasses_if_it_says_so(play: Play) -> None:
    flow = await play(Geometry, timeout=20)
    assert tuple(await flow.run()) == ("Circle", "circle")


class Chatty(Workflow):
    pass


@step(workflow=Chatty)
async def hello(ev: StartEvent) -> StopEvent:
    return StopEvent(result=f"hello, {ev.name}")


async def a_free_function_may_be_a_step(play: Play) -> None:
    flow = await play(Chatty, timeout=20)
    assert await flow.run(name="Ada") == "hello, Ada"
