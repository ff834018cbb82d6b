"""Sentences of the public contract about `Context`, where an engine is needed to see them."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import ContextStateError, WorkflowTimeoutError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.stage import Stage, within


class Item(Event):
    n: int


class SpecialItem(Item):
    pass


class Other(Event):
    n: int


class Done(Event):
    pass


class InOrder(Workflow):
    """Sends a hundred events from one step to a step that executes one at a time."""

    @step
    async def send(self, ctx: Context, ev: StartEvent) -> Item | None:
        for n in range(100):
            ctx.send_event(Item(n=n))
        return None

    @step(num_workers=1)
    async def take(self, ctx: Context, ev: Item) -> StopEvent | None:
        ctx.write_event_to_stream(ev)
        return StopEvent() if ev.n == 99 else None


async def test_the_order_in_which_a_step_sends_is_kept(stage: Stage) -> None:
    handler = (await stage.put_on(InOrder)).run()
    seen = [ev.n async for ev in handler.stream_events() if isinstance(ev, Item)]
    assert seen == list(range(100))


class Talkative(Workflow):
    """Publishes and sends, and ends the run in the same breath."""

    @step
    async def talk(self, ctx: Context, ev: StartEvent) -> StopEvent | Item:
        ctx.write_event_to_stream(None)
        for n in range(300):
            ctx.write_event_to_stream(Item(n=n))
        return StopEvent(result="said")

    @step
    async def take(self, ev: Item) -> None: ...


async def test_what_a_step_publishes_is_there_before_its_result_counts_and_none_is_ignored(stage: Stage) -> None:
    handler = (await stage.put_on(Talkative)).run()
    events = [ev async for ev in handler.stream_events()]
    assert [ev.n for ev in events[:-1]] == list(range(300))
    assert events[-1].result == await within(handler) == "said"


class SendsBeforeItReturns(Workflow):
    """What is sent must have arrived when what is returned is handed on."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Done | Item:
        for n in range(20):
            ctx.send_event(Item(n=n))
        return Done()

    @step(num_workers=1)
    async def gather(self, ctx: Context, ev: Item) -> StopEvent | None:
        got = ctx.collect_events(ev, [Item] * 20)
        return None if got is None else StopEvent(result=len(got))

    @step
    async def done(self, ctx: Context, ev: Done) -> StopEvent | None:
        return None


async def test_what_a_step_sends_is_not_lost_when_it_returns(stage: Stage) -> None:
    assert await within((await stage.put_on(SendsBeforeItReturns)).run()) == 20


class KnowsItself(Workflow):
    """Asks within a step for what only a step knows."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            running = ctx.is_running
        info = ctx.retry_info()
        fresh = (info.retry_number, info.elapsed_seconds, info.last_exception, info.last_failed_at)
        return StopEvent(
            result=[
                Context.get_step_context() is ctx,
                running,
                [one.category.__name__ for one in told],
                fresh == (0, 0.0, None, None),
            ]
        )


async def test_a_step_finds_its_own_context_and_knows_that_it_runs_for_the_first_time(stage: Stage) -> None:
    assert await within((await stage.put_on(KnowsItself)).run()) == [True, True, ["DeprecationWarning"], True]


async def test_is_running_tells_in_each_of_the_three_states(stage: Stage) -> None:
    flow = await stage.put_on(Counts)
    context: Context = Context(flow)
    assert not context.is_running
    handler = flow.run(ctx=context)
    assert handler.ctx is context
    assert context.is_running
    await within(handler)
    assert not context.is_running


class Counts(Workflow):
    """Counts its runs in the state; fails, or idles until the time is over, if told to."""

    @step
    async def count(self, ctx: Context, ev: StartEvent) -> StopEvent | Item:
        seen = await ctx.store.get("seen", default=0) + 1
        await ctx.store.set("seen", seen)
        if ev.get("fails"):
            raise ValueError("told to")
        if ev.get("idles"):
            return Item(n=1)
        return StopEvent(result=seen)

    @step
    async def idle(self, ctx: Context, ev: Item) -> StopEvent | None:
        return None


@pytest.mark.parametrize(("told", "error"), [({"fails": True}, ValueError), ({"idles": True}, WorkflowTimeoutError)])
async def test_a_context_whose_run_ended_badly_begins_another_with_the_same_state(
    stage: Stage, told: dict[str, bool], error: type[Exception]
) -> None:
    flow = await stage.put_on(Counts, timeout=0.6)
    context: Context = Context(flow)
    with pytest.raises(error):
        await within(flow.run(ctx=context, **told))
    assert await within(flow.run(ctx=context)) == 2


async def test_a_context_cannot_begin_a_run_while_it_is_running(stage: Stage) -> None:
    flow = await stage.put_on(Counts)
    handler = flow.run(idles=True)
    with pytest.raises(ContextStateError, match="already running"):
        flow.run(ctx=handler.ctx)
    await handler.cancel_run()


async def test_contexts_of_one_workflow_run_side_by_side_and_share_nothing(stage: Stage) -> None:
    flow = await stage.put_on(Counts)
    contexts: list[Context] = [Context(flow) for _ in range(10)]
    for number, context in enumerate(contexts):
        await context.store.set("seen", number)
    results = await within(asyncio.gather(*(flow.run(ctx=context) for context in contexts)))
    assert results == list(range(1, 11))


async def test_the_deprecated_queue_of_events_holds_all_of_the_run_up_to_its_end(stage: Stage) -> None:
    flow = await stage.put_on(Talkative)
    with pytest.warns(DeprecationWarning, match="stream_events"), pytest.raises(ContextStateError):
        _ = Context(flow).streaming_queue
    handler = flow.run()
    with pytest.warns(DeprecationWarning, match="stream_events"):
        queue = handler.ctx.streaming_queue
    seen: list[Event] = []
    while not seen or not isinstance(seen[-1], StopEvent):
        seen.append(await within(queue.get()))
    assert [ev.n for ev in seen if isinstance(ev, Item)] == list(range(300))


class LeavesRests(Workflow):
    """Ends while its buffer and its join hold something; the next run must not find it."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | Other | Done:
        for n in range(ev.count):
            ctx.send_event(Item(n=n))
        if ev.count:
            ctx.send_event(Other(n=1))
        return Done()

    @step
    async def gather(self, ctx: Context, ev: Item) -> StopEvent | None:
        got = ctx.collect_events(ev, [Item] * 3)
        return None if got is None else StopEvent(result="collected")

    @step
    async def join(self, one: Other, two: SpecialItem) -> StopEvent:
        return StopEvent(result="joined")

    @step
    async def special(self, ev: Done) -> SpecialItem | None:
        return None


async def test_what_a_run_left_in_buffers_and_slots_never_reaches_the_next_one(stage: Stage) -> None:
    flow = await stage.put_on(LeavesRests, timeout=0.6)
    context: Context = Context(flow)
    for _ in range(2):
        with pytest.raises(WorkflowTimeoutError):
            await within(flow.run(ctx=context, count=2))


class FailsWhenComplete(Workflow):
    """Its collection completes, and the step fails behind it the first time."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(3)]

    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
    async def gather(self, ctx: Context, ev: Item) -> StopEvent | None:
        got = ctx.collect_events(ev, [Item] * 3)
        if got is None:
            return None
        ctx.write_event_to_stream(Other(n=len(got)))
        if ctx.retry_info().retry_number < 2:
            raise ValueError("not yet")
        return StopEvent(result=sorted(one.n for one in got))


async def test_a_collection_whose_step_fails_is_complete_again_for_the_next_attempt(stage: Stage) -> None:
    assert await within((await stage.put_on(FailsWhenComplete)).run()) == [0, 1, 2]


class Picky(Workflow):
    """Collects by exact class."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | SpecialItem | Other | None:
        ctx.send_event(SpecialItem(n=1))
        ctx.send_event(Other(n=2))
        ctx.send_event(Item(n=3))
        ctx.send_event(Item(n=4))
        return None

    @step(num_workers=1)
    async def gather(self, ctx: Context, ev: Item | SpecialItem | Other) -> StopEvent | None:
        got = ctx.collect_events(ev, [Item, Item])
        return None if got is None else StopEvent(result=[one.n for one in got])


async def test_an_event_that_is_not_expected_or_a_subclass_of_one_is_not_collected(stage: Stage) -> None:
    assert await within((await stage.put_on(Picky)).run()) == [3, 4]
