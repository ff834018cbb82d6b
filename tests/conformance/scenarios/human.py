"""A person who is asked and answers."""

from __future__ import annotations

import asyncio

from workflows import Context, Workflow, step
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent, UnhandledEvent

from tests.conformance.play import Play


class Asked(InputRequiredEvent):
    question: str


class Answered(HumanResponseEvent):
    answer: str


class ByEvents(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> Asked:
        return Asked(question="What is your name?")

    @step
    async def greet(self, ev: Answered) -> StopEvent:
        return StopEvent(result=f"hello, {ev.answer}")


async def a_returned_question_is_streamed_and_an_answer_is_sent(play: Play) -> None:
    flow = await play(ByEvents, timeout=20)
    handler = flow.run()
    async for ev in handler.stream_events():
        if isinstance(ev, Asked):
            assert ev.question == "What is your name?"
            handler.ctx.send_event(Answered(answer="Ada"))
    assert await handler == "hello, Ada"


async def a_graph_with_a_person_says_so(play: Play) -> None:
    flow = await play(ByEvents, timeout=20)
    assert flow.validate() is True


class Stray(Event):
    pass


async def an_event_that_nobody_takes_is_told(play: Play) -> None:
    flow = await play(ByEvents, timeout=20)
    handler = flow.run()
    told = []
    async for ev in handler.stream_events(expose_internal=True):
        if isinstance(ev, Asked):
            await handler.send_event(Stray())
        if isinstance(ev, UnhandledEvent):
            told.append(ev)
            await handler.send_event(Answered(answer="Ada"))
    assert [one.event_type for one in told] == ["Stray"]
    assert told[0].qualified_name == f"{Stray.__module__}.Stray"
    assert await handler == "hello, Ada"


class ByWaiting(Workflow):
    @step
    async def talk(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(
            Answered,
            waiter_event=Asked(question="What is your name?", user=ev.user),
            waiter_id="name",
            requirements={"user": ev.user},
        )
        return StopEvent(result=f"hello, {answer.answer}")


async def a_step_waits_for_the_answer_that_fits(play: Play) -> None:
    flow = await play(ByWaiting, timeout=20)
    handler = flow.run(user="ada")
    asked = 0
    async for ev in handler.stream_events():
        if isinstance(ev, Asked):
            asked += 1
            await handler.send_event(Answered(answer="Bob", user="bob"))
            await handler.send_event(Answered(answer="Ada", user="ada"))
    assert await handler == "hello, Ada"
    assert asked == 1


class Impatient(Workflow):
    @step
    async def talk(self, ctx: Context, ev: StartEvent) -> StopEvent:
        try:
            await ctx.wait_for_event(Answered, waiter_event=Asked(question="Quick?"), timeout=0.2)
        except asyncio.TimeoutError:
            return StopEvent(result="nobody answered")
        return StopEvent(result="somebody answered")


async def a_step_may_wait_only_so_long(play: Play) -> None:
    flow = await play(Impatient, timeout=20)
    assert await flow.run() == "nobody answered"


class Item(Event):
    number: int


class Approved(HumanResponseEvent):
    number: int
    good: bool


class Approval(InputRequiredEvent):
    number: int


class Verdict(Event):
    number: int
    good: bool


class Review(Workflow):
    @step
    async def spread(self, ev: StartEvent) -> list[Item]:
        return [Item(number=n) for n in range(3)]

    @step
    async def review(self, ctx: Context, ev: Item) -> Verdict:
        answer = await ctx.wait_for_event(
            Approved, waiter_event=Approval(number=ev.number), requirements={"number": ev.number}
        )
        return Verdict(number=ev.number, good=answer.good)

    @step
    async def end(self, ev: list[Verdict]) -> StopEvent:
        return StopEvent(result=sorted(one.number for one in ev if one.good))


async def branches_of_a_fan_out_wait_each_for_their_own_answer(play: Play) -> None:
    flow = await play(Review, timeout=20)
    handler = flow.run()
    asked = []
    async for ev in handler.stream_events():
        if isinstance(ev, Approval):
            asked.append(ev.number)
            await handler.send_event(Approved(number=ev.number, good=ev.number != 1))
    assert sorted(asked) == [0, 1, 2]
    assert await handler == [0, 2]
