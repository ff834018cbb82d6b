from __future__ import annotations

import asyncio
import threading

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.stage import Stage, within


class Question(Event):
    text: str


class Chain(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> Question:
        return Question(text=ev.text)

    @step
    async def answer(self, ev: Question) -> StopEvent:
        return StopEvent(result=ev.text.upper())


class Hop(Event):
    left: int
    went: list[str] = []


class Laps(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Hop:
        return Hop(left=ev.laps)

    @step
    async def lap(self, ev: Hop) -> Hop | StopEvent:
        if ev.left == 0:
            return StopEvent(result=len(ev.went))
        return Hop(left=ev.left - 1, went=[*ev.went, f"lap {ev.left}"])


class Order(StartEvent):
    item: str
    count: int = 1


class Receipt(StopEvent):
    item: str
    price: float


class Shop(Workflow):
    @step
    async def sell(self, ev: Order) -> Receipt:
        return Receipt(item=ev.item, price=2.5 * ev.count)


class Loose(Event):
    pass


class DynamicFields(Workflow):
    @step
    async def pack(self, ev: StartEvent) -> Loose:
        return Loose(fixed=1, words=ev.words, nested={"deep": [1, (2, 3), None]})

    @step
    async def unpack(self, ev: Loose) -> StopEvent:
        return StopEvent(result=[ev.fixed, ev["words"], ev.get("absent", "none"), ev.nested["deep"], sorted(ev.keys())])


class Heard(Event):
    thread: str


class SyncSteps(Workflow):
    @step
    def begin(self, ctx: Context, ev: StartEvent) -> Heard | None:
        ctx.send_event(Heard(thread=threading.current_thread().name))
        return None

    @step
    def end(self, ev: Heard) -> StopEvent:
        return StopEvent(result=ev.thread)


class Talks(Workflow):
    @step
    def begin(self, ctx: Context, ev: StartEvent) -> Hop | Heard:
        ctx.write_event_to_stream(Heard(thread="begin"))
        ctx.send_event(Heard(thread=threading.current_thread().name))
        ctx.write_event_to_stream(Heard(thread="begun"))
        return Hop(left=0)

    @step
    def hear(self, ev: Heard) -> None:
        pass

    @step
    def end(self, ev: Hop) -> StopEvent:
        return StopEvent()


class Overtaken(SyncSteps):
    """Its first step still has something to publish when the run ends."""

    ended = threading.Event()

    @step
    def begin(self, ctx: Context, ev: StartEvent) -> Heard | None:
        ctx.write_event_to_stream(Heard(thread="begin"))
        ctx.send_event(Heard(thread="sent"))
        self.ended.wait(10)
        ctx.write_event_to_stream(Heard(thread="too late"))
        return None


class FreeFunctions(Workflow):
    pass


@step(workflow=FreeFunctions)
async def first(ev: StartEvent) -> Question:
    return Question(text=ev.text)


@step(workflow=FreeFunctions)
def second(ev: Question) -> StopEvent:
    return StopEvent(result=f"free {ev.text}")


class Both(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Question:
        return Question(text="to both")

    @step
    async def one(self, ctx: Context, ev: Question) -> Hop:
        return Hop(left=1)

    @step
    async def other(self, ctx: Context, ev: Question) -> Hop:
        return Hop(left=2)

    @step
    async def end(self, ctx: Context, ev: Hop) -> StopEvent | None:
        both = ctx.collect_events(ev, [Hop, Hop])
        return None if both is None else StopEvent(result=sorted(hop.left for hop in both))


async def test_what_one_step_returns_the_next_one_gets(stage: Stage) -> None:
    flow = await stage.put_on(Chain)
    assert await within(flow.run(text="quiet")) == "QUIET"


async def test_a_step_may_go_round_in_circles(stage: Stage) -> None:
    flow = await stage.put_on(Laps)
    assert await within(flow.run(laps=60)) == 60


async def test_a_hundred_runs_at_one_time_each_get_their_own_answer(stage: Stage) -> None:
    flow = await stage.put_on(Chain)
    handlers = [flow.run(text=f"run {n}") for n in range(100)]
    assert await within(asyncio.gather(*handlers)) == [f"RUN {n}" for n in range(100)]


async def test_a_start_event_of_the_users_own_is_made_of_the_arguments(stage: Stage) -> None:
    flow = await stage.put_on(Shop)
    receipt = await within(flow.run(item="tea", count=2))
    assert receipt == Receipt(item="tea", price=5.0)


async def test_a_stop_event_of_the_users_own_is_the_result_itself(stage: Stage) -> None:
    flow = await stage.put_on(Shop)
    handler = flow.run(start_event=Order(item="tea"))
    assert type(await within(handler)) is Receipt
    assert await within(handler.stop_event_result()) == Receipt(item="tea", price=2.5)


async def test_a_handler_can_be_awaited_again(stage: Stage) -> None:
    handler = (await stage.put_on(Chain)).run(text="twice")
    assert await within(handler) == await within(handler) == "TWICE"


async def test_fields_that_no_class_declares_travel_too(stage: Stage) -> None:
    flow = await stage.put_on(DynamicFields)
    result = await within(flow.run(words=["a", "b"]))
    assert result == [1, ["a", "b"], "none", [1, (2, 3), None], ["fixed", "nested", "words"]]


async def test_a_step_that_is_not_async_runs_in_a_thread_and_may_send_from_there(stage: Stage) -> None:
    handler = (await stage.put_on(SyncSteps)).run()
    assert (await within(handler)).startswith("broker-wf-step")


async def test_what_a_thread_publishes_keeps_its_order(stage: Stage) -> None:
    handler = (await stage.put_on(Talks)).run()
    published = [event.thread async for event in handler.stream_events() if isinstance(event, Heard)]
    assert published == ["begin", "begun"]


async def test_the_end_of_a_run_waits_for_no_step_that_has_something_to_publish_still(stage: Stage) -> None:
    Overtaken.ended.clear()
    handler = (await stage.put_on(Overtaken)).run()
    assert await within(handler) == "sent"
    Overtaken.ended.set()
    assert [event.thread async for event in handler.stream_events() if isinstance(event, Heard)] == ["begin"]


async def test_free_functions_are_steps_of_the_workflow_they_name(stage: Stage) -> None:
    flow = await stage.put_on(FreeFunctions)
    assert await within(flow.run(text="bird")) == "free bird"


async def test_an_event_goes_to_every_step_that_takes_it(stage: Stage) -> None:
    flow = await stage.put_on(Both)
    assert await within(flow.run()) == [1, 2]
