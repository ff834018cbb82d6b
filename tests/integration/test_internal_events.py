"""The engine's own events, for those who ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.core.ids import RunId
from broker_wf.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepState,
    StepStateChanged,
    StopEvent,
    UnhandledEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
)
from broker_wf.handler import WorkflowHandler
from broker_wf.inspector.inspector import Inspector
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Note(Event):
    n: int = 0


class Next(Event):
    n: int = 0


class Item(Event):
    n: int = 0


class Plain(Workflow):
    @step
    async def first(self, ctx: Context, ev: StartEvent) -> Next:
        ctx.write_event_to_stream(Note(n=1))
        return Next()

    @step
    async def second(self, ev: Next) -> StopEvent:
        return StopEvent(result="done")


class Asking(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="your name?")

    @step
    async def answer(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent(result=ev.name)


class Flaky(Workflow):
    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ev.fails > ctx.retry_info().retry_number:
            raise ValueError("no")
        return StopEvent()


class Losing(Workflow):
    """Gives what no step takes, and goes on when it is told to."""

    @step
    async def begin(self, ev: StartEvent) -> Note | None:
        return Note()

    @step
    async def end(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent()


class Sending(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.send_event(Note())
        return StopEvent()


class Fan(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        probe.mark(ev.name, "begun")
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Next:
        await asyncio.sleep(0.02)
        return Next(n=ev.n)

    @step
    async def join(self, evs: list[Next]) -> StopEvent | None:
        return StopEvent(result=len(evs))


class LimitedFan(Fan):
    @step(num_workers=2)
    async def work(self, ev: Item) -> Next:
        await asyncio.sleep(0.02)
        return Next(n=ev.n)


class Held(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Item:
        probe.mark(ev.name, "begun")
        await until(lambda: probe.count(ev.name, "go on") == 1)
        return Item()

    @step
    async def end(self, ev: Item) -> StopEvent:
        return StopEvent()


class Waiting(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(prefix="name?"))
        return StopEvent(result=answer.name)


class HeldBack(Workflow):
    """One after the other; the last one ends the run."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        for n in range(3):
            ctx.send_event(Item(n=n))

    @step(num_workers_per_run=1)
    async def work(self, ctx: Context, ev: Item) -> StopEvent | None:
        await asyncio.sleep(0.05)
        done = await ctx.store.get("done", default=0) + 1
        await ctx.store.set("done", done)
        return StopEvent() if done == 3 else None


def shown(event: Event) -> str:
    """An event in one word."""
    match event:
        case StepStateChanged(step_state=StepState.PREPARING):
            return f"prepare {event.name}"
        case StepStateChanged(step_state=StepState.RUNNING):
            return f"begin {event.name}({event.input_event_name})"
        case StepStateChanged():
            return f"end {event.name} -> {event.output_event_name}"
        case UnhandledEvent():
            return f"unhandled {event.event_type} {event.idle}"
        case _:
            return type(event).__name__


async def everything(handler: WorkflowHandler) -> list[Event]:
    return [event async for event in handler.stream_events(expose_internal=True)]


async def read(events: AsyncIterator[Event], last: str) -> list[str]:
    """Up to an event of this name."""
    found: list[str] = []
    async for event in events:
        found.append(shown(event))
        if found[-1] == last:
            break
    return found


PLAIN = [
    "begin first(StartEvent)",
    "Note",
    "end first -> Next",
    "begin second(Next)",
    "end second -> StopEvent",
    "StopEvent",
]


async def test_a_plain_run_shows_each_step_begin_and_end_and_the_stop_event_last(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run()
    assert [shown(event) for event in await within(everything(handler))] == PLAIN


async def test_internal_events_are_shown_only_to_who_asks_for_them(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run()
    wanted, others = handler.stream_events(expose_internal=True), handler.stream_events(after=0)
    assert [shown(event) async for event in wanted] == PLAIN
    assert [shown(event) async for event in others] == ["Note", "StopEvent"]


async def test_the_context_of_a_handler_streams_internal_events_too(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run()
    assert [shown(event) async for event in handler.ctx.stream_events()] == PLAIN


async def test_a_run_that_nobody_asks_about_publishes_none(stage: Stage) -> None:
    flow = await stage.put_on(Plain)
    handler = flow.run()
    await within(handler)
    assert [shown(event) for event in await within(everything(handler))] == ["Note", "StopEvent"]


async def test_a_reader_that_leaves_among_events_of_one_entry_goes_on_behind_the_last_it_saw(stage: Stage) -> None:
    handler = (await stage.put_on(Losing, disable_validation=True)).run()
    found: list[str] = []
    while "WorkflowIdleEvent" not in found:
        async for event in handler.stream_events(expose_internal=True):
            found.append(shown(event))
            break
    assert found == ["begin begin(StartEvent)", "end begin -> Note", "unhandled Note True", "WorkflowIdleEvent"]
    await handler.cancel_run()


async def test_a_question_comes_behind_the_end_of_its_step_and_then_the_run_is_idle(stage: Stage) -> None:
    handler = (await stage.put_on(Asking)).run()
    events = handler.stream_events(expose_internal=True)
    assert await within(read(events, "WorkflowIdleEvent")) == [
        "begin ask(StartEvent)",
        "end ask -> InputRequiredEvent",
        "InputRequiredEvent",
        "WorkflowIdleEvent",
    ]
    await handler.send_event(HumanResponseEvent(name="Ada"))
    assert await within(read(events, "StopEvent")) == [
        "begin answer(HumanResponseEvent)",
        "end answer -> StopEvent",
        "StopEvent",
    ]


async def test_a_failed_attempt_ends_without_output_and_the_next_one_begins(stage: Stage) -> None:
    flow = await stage.put_on(Flaky)
    once = await within(everything(flow.run(fails=1)))
    assert [shown(event) for event in once] == [
        "begin begin(StartEvent)",
        "end begin -> None",
        "begin begin(StartEvent)",
        "end begin -> StopEvent",
        "StopEvent",
    ]
    twice = await within(everything(flow.run(fails=2)))
    assert [shown(event) for event in twice[-2:]] == ["end begin -> None", "WorkflowFailedEvent"]
    assert isinstance(twice[-1], WorkflowFailedEvent)


async def test_an_event_that_nobody_takes_is_named_and_the_run_is_idle_again_after_each(stage: Stage) -> None:
    handler = (await stage.put_on(Losing, disable_validation=True)).run()
    events = handler.stream_events(expose_internal=True)
    assert (await within(read(events, "WorkflowIdleEvent")))[2:] == ["unhandled Note True", "WorkflowIdleEvent"]
    await handler.send_event(Note())
    first = [await within(anext(events)) for _ in range(2)]
    assert [shown(one) for one in first] == ["unhandled Note True", "WorkflowIdleEvent"]
    lost = first[0]
    assert isinstance(lost, UnhandledEvent)
    assert (lost.qualified_name, lost.step_name) == (f"{__name__}.Note", None)
    await handler.cancel_run()
    assert isinstance(await within(anext(events)), WorkflowCancelledEvent)


async def test_an_event_that_nobody_takes_is_told_while_the_run_goes_on(stage: Stage) -> None:
    events = await within(everything((await stage.put_on(Sending)).run()))
    assert [shown(event) for event in events] == [
        "begin begin(StartEvent)",
        "unhandled Note False",
        "end begin -> StopEvent",
        "StopEvent",
    ]


@pytest.mark.parametrize("cls", [Fan, LimitedFan])
async def test_executions_of_a_step_at_one_time_have_numbers_of_their_own(stage: Stage, cls: type[Fan]) -> None:
    events = await within(everything((await stage.put_on(cls)).run(name="", count=30)))
    changes = [one for one in events if isinstance(one, StepStateChanged) and one.name == "work"]
    inside: set[str] = set()
    for change in changes:
        if change.step_state is StepState.RUNNING:
            assert change.worker_id not in inside
            inside.add(change.worker_id)
        elif change.step_state is StepState.NOT_RUNNING:
            inside.remove(change.worker_id)
        else:
            assert change.worker_id == "<enqueued>"
        if cls is LimitedFan:
            assert inside <= {"0", "1"}
    assert not inside
    waited = sum(one.step_state is StepState.PREPARING for one in changes)
    assert waited == (28 if cls is LimitedFan else 0)


async def test_a_list_is_named_by_its_last_event_and_a_batch_as_handlers_get_it(stage: Stage) -> None:
    events = [shown(one) for one in await within(everything((await stage.put_on(Fan)).run(name="", count=2)))]
    assert events[:2] == ["begin begin(StartEvent)", "end begin -> Item"]
    assert events[-3:] == ["begin join(CollectionReleaseEvent)", "end join -> StopEvent", "StopEvent"]


async def test_whoever_asks_later_sees_what_happens_from_then_on(stage: Stage) -> None:
    flow, name = await stage.put_on(Held), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    reading = asyncio.ensure_future(everything(handler))
    broker = await handler._run.broker()  # pyright: ignore[reportPrivateUsage]
    await broker.runs.expose(RunId(handler.run_id))
    probe.mark(name, "go on")
    assert [shown(one) for one in await within(reading)] == ["begin end(Item)", "end end -> StopEvent", "StopEvent"]


async def test_whoever_asks_while_the_run_is_idle_is_told_so(stage: Stage) -> None:
    handler = (await stage.put_on(Asking)).run()
    events = handler.stream_events()
    assert await within(read(events, "InputRequiredEvent")) == ["InputRequiredEvent"]
    assert await within(read(handler.stream_events(expose_internal=True, after=0), "WorkflowIdleEvent")) == [
        "InputRequiredEvent",
        "WorkflowIdleEvent",
    ]
    await handler.cancel_run()


async def test_beyond_five_thousand_they_are_counted_and_not_stored(cluster: Stage) -> None:
    flow = await cluster.put_on(Fan)
    handler = flow.run(name="", count=2_600)
    events = await within(everything(handler))
    changes = [one for one in events if isinstance(one, StepStateChanged)]
    assert len(changes) <= 5_000
    assert isinstance(events[-1], StopEvent)
    broker = await handler._run.broker()  # pyright: ignore[reportPrivateUsage]
    counted = await broker.pipe.command("HGET", cluster.keys.of("run", handler.run_id), "exposed")
    assert counted == b"%d" % (1 + 2 * 2_602)


async def test_people_see_them_where_somebody_has_asked_for_them(cluster: Stage) -> None:
    handler = (await cluster.put_on(Plain)).run()
    await within(everything(handler))
    broker = await handler._run.broker()  # pyright: ignore[reportPrivateUsage]
    views = await Inspector(broker).events(handler.run_id)
    assert [view.type for view in views] == ["StepStateChanged", "Note", *["StepStateChanged"] * 3, "StopEvent"]
    assert [view.seq for view in views] == sorted(view.seq for view in views)


async def test_deliveries_held_back_in_their_run_are_told_and_the_run_is_not_idle_meanwhile(stage: Stage) -> None:
    events = await within(everything((await stage.put_on(HeldBack)).run()))
    words = [shown(one) for one in events]
    assert words.count("prepare work") == 2
    assert words.count("begin work(Item)") == words.count("end work -> NoneType") + 1 == 3
    assert "WorkflowIdleEvent" not in words


async def test_a_step_that_waits_ends_before_its_question_and_begins_again_with_the_answer(stage: Stage) -> None:
    handler = (await stage.put_on(Waiting)).run()
    events = handler.stream_events(expose_internal=True)
    assert await within(read(events, "WorkflowIdleEvent")) == [
        "begin begin(StartEvent)",
        "end begin -> None",
        "InputRequiredEvent",
        "WorkflowIdleEvent",
    ]
    await handler.send_event(HumanResponseEvent(name="Ada"))
    assert await within(read(events, "StopEvent")) == [
        "begin begin(StartEvent)",
        "end begin -> StopEvent",
        "StopEvent",
    ]
