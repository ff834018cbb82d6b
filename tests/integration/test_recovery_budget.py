"""What the budget of a ``catch_error`` handler counts: recoveries along the lineage of an event."""

from __future__ import annotations

import pytest

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    WorkflowFailedEvent,
)
from tests.integration.stage import Stage, within


class Odd(Exception):
    """An exception of the user's own."""


class Item(Event):
    n: int


class Done(Event):
    n: int


class Left(Event):
    n: int


class Right(Event):
    n: int


class Told(StartEvent):
    """What a scenario is to do; ``name`` is where it leaves its marks."""

    name: str = ""
    n: int = 0


class Circle(Workflow):
    """Fails again after each recovery, until the budget is used up."""

    @step
    async def begin(self, ev: Told) -> Item:
        return Item(n=0)

    @step
    async def work(self, ctx: Context, ev: Item) -> StopEvent:
        raise Odd(f"round {ev.n}")

    @catch_error(max_recoveries=2)
    async def rescue(self, ctx: Context, ev: StepFailedEvent) -> Item | None:
        given = ev.input_event
        assert isinstance(given, Item)
        if await ctx.store.get("sends", default=False):
            ctx.send_event(Item(n=given.n + 1))
            return None
        return Item(n=given.n + 1)


class SentCircle(Circle):
    """The same, and the handler sends its event by call."""

    @step
    async def begin(self, ctx: Context, ev: Told) -> Item:
        await ctx.store.set("sends", True)
        return Item(n=0)


class TwoLineages(Workflow):
    """Each of two events has a budget of its own."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        ctx.send_event(Item(n=1))
        ctx.send_event(Item(n=2))

    @step
    async def work(self, ev: Item) -> Done:
        raise Odd("each once")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> Done:
        given = ev.input_event
        assert isinstance(given, Item)
        return Done(n=given.n)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent | None:
        got = ctx.collect_events(ev, [Done, Done])
        return None if got is None else StopEvent(result=sorted(one.n for one in got))


class Joined(Workflow):
    """What was recovered is counted through a join of each kind."""

    @step
    async def begin(self, ctx: Context, ev: Told) -> list[Item] | Left | Right | None:
        if ev.name == "list":
            return [Item(n=n) for n in range(3)]
        ctx.send_event(Left(n=0))
        ctx.send_event(Right(n=-1))
        return None

    @step
    async def work(self, ev: Item) -> Done:
        if ev.n == 1:
            raise Odd("of a member")
        return Done(n=ev.n)

    @step
    async def join(self, evs: list[Done]) -> StopEvent:
        raise Odd("of the join")

    @step
    async def turn(self, ev: Right) -> Event:
        if ev.n < 0:
            raise Odd("of the right")
        return Event(n=ev.n)

    @step
    async def pair(self, left: Left, right: Event) -> StopEvent:
        raise Odd("of the pair")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> Done | Event | StopEvent:
        match ev.input_event:
            case Item():
                return Done(n=100)
            case Right():
                return Event(n=100)
            case _:
                return StopEvent(result="one too many")


class Collected(Workflow):
    """``collect_events`` takes over what its events have used of the budget."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | Done | None:
        ctx.send_event(Item(n=0))
        return None

    @step
    async def work(self, ev: Item) -> Done:
        raise Odd("of work")

    @step
    async def gather(self, ctx: Context, ev: Done) -> Left | None:
        if ev.n == 0:
            ctx.send_event(Done(n=1))
        got = ctx.collect_events(ev, [Done, Done])
        return None if got is None else Left(n=len(got))

    @step
    async def end(self, ev: Left) -> StopEvent:
        raise Odd("of the end")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> Done | StopEvent:
        return Done(n=0) if ev.step_name == "work" else StopEvent(result="one too many")


@pytest.mark.parametrize("cls", [Circle, SentCircle])
async def test_the_budget_is_that_of_the_lineage_and_beyond_it_the_last_error_ends_the_run(
    stage: Stage, cls: type[Workflow]
) -> None:
    handler = (await stage.put_on(cls)).run()
    with pytest.raises(Odd, match="round 2"):
        await within(handler)
    last = [event async for event in handler.stream_events()][-1]
    assert isinstance(last, WorkflowFailedEvent)
    assert (last.step_name, last.attempts, str(last.exception)) == ("work", 1, "round 2")


class WaitsBetween(Workflow):
    """Recovered, then waits, then fails again."""

    @step
    async def begin(self, ev: StartEvent) -> Item:
        raise Odd("before the wait")

    @step
    async def work(self, ctx: Context, ev: Item) -> StopEvent:
        await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent())
        raise Odd("after the wait")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> Item:
        return Item(n=0)


async def test_a_step_that_has_waited_still_counts_what_came_before(stage: Stage) -> None:
    handler = (await stage.put_on(WaitsBetween)).run()
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            await handler.send_event(HumanResponseEvent())
    with pytest.raises(Odd, match="after the wait"):
        await within(handler)


async def test_two_lineages_have_a_budget_each(stage: Stage) -> None:
    assert await within((await stage.put_on(TwoLineages)).run()) == [1, 2]


@pytest.mark.parametrize(("kind", "text"), [("list", "of the join"), ("slots", "of the pair")])
async def test_a_join_takes_over_what_its_events_have_used_of_the_budget(stage: Stage, kind: str, text: str) -> None:
    with pytest.raises(Odd, match=text):
        await within((await stage.put_on(Joined)).run(name=kind))


async def test_collected_events_have_used_of_the_budget_what_each_of_them_has(stage: Stage) -> None:
    with pytest.raises(Odd, match="of the end"):
        await within((await stage.put_on(Collected)).run())
