"""The loads of the fault experiments, each with the model of its runs: what comes out, and how much is executed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StepFailedEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed


def nothing_special(where: str) -> None:
    """A place inside a step where a test may let its process die; see ``tests/faults/points.py``."""


at: list[Callable[[str], None]] = [nothing_special]


class Size(StartEvent):
    count: int
    pause_s: float = 0.0
    tells: bool = False


class Number(Event):
    number: int
    pause_s: float
    tells: bool = False


class Worked(Event):
    """Published by each piece of work, where that was asked for."""

    number: int


class Square(Event):
    number: int


class Sums(Workflow):
    """Fan out, fan in; publishes what it has worked on, if asked to."""

    @step
    async def begin(self, ev: Size) -> list[Number]:
        return [Number(number=n, pause_s=ev.pause_s, tells=ev.tells) for n in range(ev.count)]

    @step
    async def work(self, ctx: Context, ev: Number) -> Square:
        await asyncio.sleep(ev.pause_s)
        at[0]("step")
        if ev.tells:
            ctx.write_event_to_stream(Worked(number=ev.number))
        return Square(number=ev.number)

    @step
    async def join(self, evs: list[Square]) -> StopEvent:
        return StopEvent(result=[len(evs), sum(e.number for e in evs)])


class Red(Event):
    number: int


class Blue(Event):
    number: int


class RedDone(Event):
    number: int


class BlueDone(Event):
    number: int


class Mixed(Workflow):
    """Sends and changes the state by call, retries, has a failure mended by a handler, collects events of two types."""

    @step
    async def begin(self, ctx: Context, ev: Size) -> Red | Blue | None:
        await ctx.store.set("count", ev.count)
        for number in range(ev.count):
            ctx.send_event(Red(number=number))
            ctx.send_event(Blue(number=number))
        return None

    @step(retry_policy=retry_policy(wait=wait_fixed(0.02), stop=stop_after_attempt(3)))
    async def red(self, ctx: Context, ev: Red) -> RedDone:
        at[0]("step")
        await ctx.store.increment("raised")
        async with ctx.store.edit_state() as state:
            state.edited = state.get("edited", 0) + 1
        if ctx.retry_info().retry_number < ev.number % 3:
            raise ValueError(f"red {ev.number}")
        return RedDone(number=ev.number)

    @step
    async def blue(self, ev: Blue) -> BlueDone:
        if ev.number == 0:
            raise ValueError("blue 0")
        return BlueDone(number=ev.number)

    @catch_error
    async def mend(self, ev: StepFailedEvent) -> BlueDone:
        return BlueDone(number=100)

    @step
    async def gather(self, ctx: Context, ev: RedDone | BlueDone) -> StopEvent | None:
        count = await ctx.store.get("count")
        found = ctx.collect_events(ev, [RedDone] * count + [BlueDone] * count)
        if found is None:
            return None
        numbers = [(type(one).__name__, one.number) for one in found if isinstance(one, RedDone | BlueDone)]
        return StopEvent(
            result=[
                len(numbers),
                sum(n for name, n in numbers if name == "RedDone"),
                sorted(n for name, n in numbers if name == "BlueDone"),
                await ctx.store.get("raised"),
                await ctx.store.get("edited"),
            ]
        )


class Asked(Event):
    number: int


class Link(Event):
    number: int
    pause_s: float


class Second(Link):
    pass


class Third(Link):
    pass


class Linked(Event):
    number: int


class Chains(Workflow):
    """Each member goes through three steps that are quick, unless it is told to pause in the last one."""

    @step
    async def begin(self, ev: Size) -> list[Link]:
        return [Link(number=n, pause_s=ev.pause_s) for n in range(ev.count)]

    @step
    async def first(self, ev: Link) -> Second:
        at[0]("step")
        return Second(number=ev.number, pause_s=ev.pause_s)

    @step
    async def second(self, ev: Second) -> Third:
        at[0]("step")
        return Third(number=ev.number * 2, pause_s=ev.pause_s)

    @step
    async def third(self, ev: Third) -> Linked:
        at[0]("step")
        if ev.number % 10 == 4:
            await asyncio.sleep(ev.pause_s)
        return Linked(number=ev.number + 1)

    @step
    async def join(self, evs: list[Linked]) -> StopEvent:
        return StopEvent(result=[len(evs), sum(e.number for e in evs)])


class Word(HumanResponseEvent):
    number: int
    text: str


class Heard(Event):
    number: int
    text: str


class Asks(Workflow):
    """Each member waits for an answer of its own."""

    @step
    async def begin(self, ev: Size) -> list[Asked]:
        return [Asked(number=n) for n in range(ev.count)]

    @step
    async def ask(self, ctx: Context, ev: Asked) -> Heard:
        word = await ctx.wait_for_event(Word, requirements={"number": ev.number})
        at[0]("step")
        return Heard(number=ev.number, text=word.text)

    @step
    async def join(self, evs: list[Heard]) -> StopEvent:
        return StopEvent(result=sorted([e.number, e.text] for e in evs))


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load.

    Attributes:
        result: of a run of ``count``, by the model.
        executed: deliveries that a run of ``count`` consists of, by the model.
        answers: what a person has to send to a run of ``count``.
    """

    flow: type[Workflow]
    result: Callable[[int], object]
    executed: Callable[[int], int]
    answers: Callable[[int], list[Event]] = lambda count: []


def attempts(count: int) -> int:
    """How often ``red`` is tried for so many numbers: what it does to the state by call counts for each."""
    return sum(1 + n % 3 for n in range(count))


W1 = Load(Sums, lambda n: [n, sum(range(n))], lambda n: n + 2)
# One delivery of a colour for each number, one of gather for each, the handler, and the start.
W2 = Load(
    Mixed,
    lambda n: [2 * n, sum(range(n)), [*range(1, n), 100], attempts(n), attempts(n)],
    lambda n: 1 + 2 * n + 1 + 2 * n,
)
W3 = Load(
    Asks,
    lambda n: [[one, f"word {one}"] for one in range(n)],
    lambda n: n + 2,
    lambda n: [Word(number=one, text=f"word {one}") for one in range(n)],
)
CHAINS = Load(Chains, lambda n: [n, sum(2 * one + 1 for one in range(n))], lambda n: 3 * n + 2)
"""Steps that are executed in one go, which the plan has not: W4 is W1 of one number with a long pause."""

workflows = [Sums(timeout=300), Mixed(timeout=300), Asks(timeout=300), Chains(timeout=300)]
