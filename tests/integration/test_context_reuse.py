"""What passes from a run to the next one with the same context: the state, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import ContextStateError, WorkflowCancelledByUser
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Item(Event):
    n: int


class CompletesWithRests(Workflow):
    """Ends well while two of three items are in its buffer."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        for n in range(ev.count):
            ctx.send_event(Item(n=ev.first + n))
        return None

    @step(num_workers=1)
    async def gather(self, ctx: Context, ev: Item) -> StopEvent | None:
        got = ctx.collect_events(ev, [Item] * 3)
        if got is not None:
            return StopEvent(result=[one.n for one in got])
        return StopEvent(result="left") if ev.n == 1 else None


async def test_what_a_completed_run_had_collected_does_not_reach_the_next_one(stage: Stage) -> None:
    flow = await stage.put_on(CompletesWithRests)
    context: Context = Context(flow)
    assert await within(flow.run(ctx=context, first=0, count=2)) == "left"
    assert await within(flow.run(ctx=context, first=10, count=3)) == [10, 11, 12]


class LeavesWaiter(Workflow):
    """Counts its runs, and waits."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item:
        await ctx.store.set("runs", await ctx.store.get("runs", default=0) + 1)
        return Item(n=ev.n)

    @step
    async def ask(self, ctx: Context, ev: Item) -> StopEvent:
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=Item(n=ev.n), waiter_id="same")
        return StopEvent(result=[ev.n, answer.text])


async def test_a_waiter_that_a_run_left_takes_no_event_of_the_next_one(stage: Stage) -> None:
    flow = await stage.put_on(LeavesWaiter)
    context: Context = Context(flow)
    first = flow.run(ctx=context, n=1)
    await _asked(first)
    await first.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await within(first)
    second = flow.run(ctx=context, n=2)
    await _asked(second)
    second.ctx.send_event(HumanResponseEvent(text="two"))
    assert await within(second) == [2, "two"]
    assert await within(context.store.get("runs")) == 2


async def _asked(handler: WorkflowHandler) -> None:
    """Wait until the run has published its question."""
    async for event in handler.stream_events():
        if isinstance(event, Item):
            return


class LeavesQueue(Workflow):
    """Ends at the first of many items; the others are queued, or due for another attempt."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        for n in range(ev.count):
            ctx.send_event(Item(n=n))
        return None

    @step(num_workers=1, retry_policy=retry_policy(wait=wait_fixed(0.05), stop=stop_after_attempt(9)))
    async def take(self, ctx: Context, ev: Item) -> StopEvent | None:
        seen = [*await ctx.store.get("seen", default=[]), ev.n]
        await ctx.store.set("seen", seen)
        if ev.n == 0 and ctx.retry_info().retry_number == 0:
            raise ValueError("once more, later")
        return StopEvent() if ev.n == 1 else None


async def test_what_a_run_left_queued_or_due_is_not_executed_in_the_next_one(stage: Stage) -> None:
    flow = await stage.put_on(LeavesQueue)
    context: Context = Context(flow)
    await within(flow.run(ctx=context, count=9))
    before = await within(context.store.get("seen"))
    second = flow.run(ctx=context, count=2)
    await within(second)
    assert (await within(context.store.get("seen")))[len(before) :] in ([0, 1], [0, 1, 0])


class Meets(Workflow):
    """Goes on when as many runs as wanted have come here."""

    @step
    async def meet(self, ctx: Context, ev: StartEvent) -> StopEvent:
        probe.mark(ev.place, "here")
        await until(lambda: probe.count(ev.place, "here") == ev.wanted)
        await ctx.store.set("number", ev.number)
        return StopEvent(result=ev.number)


async def test_runs_with_different_contexts_execute_at_one_time_and_keep_states_apart(stage: Stage) -> None:
    flow, place = await stage.put_on(Meets), stage.settings.namespace
    contexts: list[Context] = [Context(flow) for _ in range(3)]
    handlers = [flow.run(ctx=one, place=place, wanted=3, number=n) for n, one in enumerate(contexts)]
    assert await within(asyncio.gather(*handlers)) == [0, 1, 2]
    assert [await within(one.store.get("number")) for one in contexts] == [0, 1, 2]


async def test_the_context_of_each_handler_is_the_object_that_was_passed(stage: Stage) -> None:
    flow, place = await stage.put_on(Meets), stage.settings.namespace
    context: Context = Context(flow)
    first = flow.run(ctx=context, place=place, wanted=1, number=1)
    assert first.ctx is context
    await within(first)
    second = flow.run(ctx=context, place=f"{place}-2", wanted=1, number=2)
    assert second.ctx is context
    assert second.run_id != first.run_id
    assert await within(second) == 2


async def test_a_context_in_a_running_run_is_refused_and_the_run_goes_on(stage: Stage) -> None:
    flow, place = await stage.put_on(Meets), stage.settings.namespace
    context: Context = Context(flow)
    running = flow.run(ctx=context, place=place, wanted=2, number=1)
    with pytest.raises(ContextStateError, match="already running"):
        flow.run(ctx=context, place=place, wanted=2, number=2)
    await until(lambda: probe.count(place, "here") == 1)
    probe.mark(place, "here")
    assert await within(running) == 1
