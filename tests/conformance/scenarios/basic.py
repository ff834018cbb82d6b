"""Steps, events, results, errors: what nearly every workflow uses."""

from __future__ import annotations

import pytest
from workflows import Workflow, step
from workflows.errors import (
    WorkflowConfigurationError,
    WorkflowRuntimeError,
    WorkflowTimeoutError,
    WorkflowValidationError,
)
from workflows.events import Event, StartEvent, StopEvent, WorkflowFailedEvent, WorkflowTimedOutEvent

from tests.conformance.play import Play, streamed


class JokeEvent(Event):
    joke: str


class JokeFlow(Workflow):
    @step
    async def generate_joke(self, ev: StartEvent) -> JokeEvent:
        return JokeEvent(joke=f"a joke about {ev.topic}")

    @step
    async def critique_joke(self, ev: JokeEvent) -> StopEvent:
        return StopEvent(result=f"{ev.joke}: funny")


async def keyword_arguments_become_the_start_event(play: Play) -> None:
    flow = await play(JokeFlow, timeout=20, verbose=False)
    assert await flow.run(topic="pirates") == "a joke about pirates: funny"


async def one_instance_runs_many_times_side_by_side(play: Play) -> None:
    flow = await play(JokeFlow, timeout=20)
    handlers = [flow.run(topic=str(n)) for n in range(5)]
    assert [await h for h in handlers] == [f"a joke about {n}: funny" for n in range(5)]


async def a_start_event_may_be_passed_whole(play: Play) -> None:
    flow = await play(JokeFlow, timeout=20)
    assert await flow.run(start_event=StartEvent(topic="whales")) == "a joke about whales: funny"


class Order(StartEvent):
    item: str
    count: int = 1


class Bill(StopEvent):
    item: str
    total: float


class Shop(Workflow):
    @step
    async def sell(self, ev: Order) -> Bill:
        return Bill(item=ev.item, total=ev.count * 2.5)


async def own_start_and_stop_classes_type_the_run(play: Play) -> None:
    flow = await play(Shop, timeout=20)
    bill = await flow.run(item="tea", count=4)
    assert type(bill) is Bill
    assert (bill.item, bill.total) == ("tea", 10.0)
    assert flow.start_event_class is Order
    assert flow.stop_event_class is Bill


async def wrong_arguments_are_refused_before_the_run(play: Play) -> None:
    flow = await play(Shop, timeout=20)
    with pytest.raises(WorkflowRuntimeError, match="Failed creating a start event of type 'Order'"):
        flow.run(count=3)
    with pytest.raises(ValueError, match="must be an instance of 'StartEvent'"):
        flow.run(start_event=JokeEvent(joke="none"))


class Breaks(Workflow):
    @step
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise LookupError("no such thing: tea")


async def an_exception_keeps_its_class_and_text(play: Play) -> None:
    flow = await play(Breaks, timeout=20)
    handler = flow.run()
    last = (await streamed(handler))[-1]
    assert type(last) is WorkflowFailedEvent
    assert last.step_name == "fail"
    assert type(last.exception) is LookupError
    with pytest.raises(LookupError, match="no such thing: tea"):
        await handler


class NeverEnds(Workflow):
    @step
    async def wait(self, ev: StartEvent) -> StopEvent:
        import asyncio

        await asyncio.sleep(60)
        return StopEvent()


async def a_run_that_takes_too_long_is_timed_out(play: Play) -> None:
    flow = await play(NeverEnds, timeout=0.3)
    handler = flow.run()
    last = (await streamed(handler))[-1]
    assert type(last) is WorkflowTimedOutEvent
    with pytest.raises(WorkflowTimeoutError, match=r"Operation timed out after 0\.3 seconds"):
        await handler


class ReturnsText(Workflow):
    @step
    async def wrong(self, ev: StartEvent) -> StopEvent:
        return "no event"  # pyright: ignore[reportReturnType]


async def what_is_no_event_may_not_be_returned(play: Play) -> None:
    flow = await play(ReturnsText, timeout=20)
    with pytest.raises(WorkflowRuntimeError, match="wrong returned str instead of an Event instance"):
        await flow.run()


async def a_graph_with_loose_ends_is_refused(play: Play) -> None:
    class Loose(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> JokeEvent | StopEvent:
            return StopEvent()

    flow = await play(Loose)
    with pytest.raises(WorkflowValidationError, match="produced but never consumed: JokeEvent"):
        flow.run()


async def a_workflow_needs_a_start_and_a_stop(play: Play) -> None:
    class NoStop(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> JokeEvent:
            return JokeEvent(joke="")

        @step
        async def go_on(self, ev: JokeEvent) -> JokeEvent:
            return ev

    with pytest.raises(WorkflowConfigurationError, match="At least one Event of type StopEvent must be returned"):
        await play(NoStop)


class Threaded(Workflow):
    @step
    def compute(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=sum(range(ev.upto)))


async def a_step_need_not_be_async(play: Play) -> None:
    flow = await play(Threaded, timeout=20)
    assert await flow.run(upto=10) == 45


async def undeclared_values_behave_like_a_dict(play: Play) -> None:
    event = Event(colour="red", size=3)
    assert (event.colour, event["size"], event.get("shape", "round")) == ("red", 3, "round")
    assert ("colour" in event, len(event), event.to_dict()) == (True, 2, {"colour": "red", "size": 3})
    with pytest.raises(AttributeError, match="has no attribute 'taste'"):
        _ = event.taste
