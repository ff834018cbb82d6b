from __future__ import annotations

import asyncio

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.stage import Stage, until, within


class Item(Event):
    n: int


class Other(Event):
    n: int


class Batch(Event):
    members: list[int]


class Collecting(Workflow):
    """Sends ``count`` items at once; every ``size`` of them make a batch; after ``batches`` of these it ends."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        await ctx.store.set("asked", [ev.size, ev.batches])
        for n in range(ev.count):
            ctx.send_event(Item(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Item) -> Batch | None:
        size, _ = await ctx.store.get("asked")
        got = ctx.collect_events(ev, [Item] * size)
        return None if got is None else Batch(members=[one.n for one in got])

    @step
    async def end(self, ctx: Context, ev: Batch) -> StopEvent | None:
        _, batches = await ctx.store.get("asked")
        got = ctx.collect_events(ev, [Batch] * batches)
        return None if got is None else StopEvent(result=[one.members for one in got])


class Slowly(Collecting):
    """Executions of one step overlap, so that most decide on a buffer that others are filling."""

    @step
    async def gather(self, ctx: Context, ev: Item) -> Batch | None:
        size, _ = await ctx.store.get("asked")
        got = ctx.collect_events(ev, [Item] * size)
        await asyncio.sleep(0.01)
        return None if got is None else Batch(members=[one.n for one in got])


class Mixed(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | Other | None:
        for n in range(4):
            ctx.send_event(Item(n=n))
        for n in range(2):
            ctx.send_event(Other(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Item | Other) -> StopEvent | None:
        got = ctx.collect_events(ev, [Item, Other, Item, Other])
        return None if got is None else StopEvent(result=[type(one).__name__ for one in got])


class TwoBuffers(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        for n in range(20):
            ctx.send_event(Item(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Item) -> Batch | None:
        got = ctx.collect_events(ev, [Item] * 10, buffer_id="odd" if ev.n % 2 else "even")
        return None if got is None else Batch(members=sorted(one.n for one in got))

    @step
    async def end(self, ctx: Context, ev: Batch) -> StopEvent | None:
        got = ctx.collect_events(ev, [Batch] * 2)
        return None if got is None else StopEvent(result=sorted(one.members for one in got))


class Surplus(Workflow):
    """Three of one class and one of another are wanted; five of the first come before the other."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(5)]

    @step
    async def gather(self, ctx: Context, ev: Item | Other) -> Batch | None:
        got = ctx.collect_events(ev, [Item, Item, Item, Other])
        if got is None:
            return Batch(members=[]) if isinstance(ev, Item) else None
        return Batch(members=[one.n for one in got])

    @step
    async def all_stored(self, ctx: Context, ev: list[Batch]) -> Other:
        return Other(n=99)

    @step
    async def end(self, ev: Batch) -> StopEvent | None:
        return StopEvent(result=ev.members) if ev.members else None


class OfAnotherClass(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ctx.collect_events(ev, [Item]))


class NothingExpected(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ctx.collect_events(ev, []))


class Effects(Workflow):
    """What follows a collect_events call is seen once, though the execution may have been repeated."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        for n in range(40):
            ctx.send_event(Item(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Item) -> StopEvent | None:
        ctx.write_event_to_stream(Other(n=ev.n))
        got = ctx.collect_events(ev, [Item] * 40)
        await asyncio.sleep(0.002)
        async with ctx.store.edit_state() as state:
            state.seen = state.get("seen", 0) + 1
        await ctx.store.set(f"by.{ev.n}", ev.n)
        ctx.write_event_to_stream(Item(n=ev.n))
        if got is None:
            return None
        return StopEvent(result=[await ctx.store.get("seen"), len(await ctx.store.get("by"))])


class Child(Event):
    key: int


class Family(Event):
    key: int
    size: int


class Prolific(Workflow):
    """What completes a collection fans out so wide that it is put down in parts before its commit."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        ctx.send_event(Item(n=0))
        return None

    @step
    async def gather(self, ctx: Context, ev: Item) -> list[Child] | None:
        got = ctx.collect_events(ev, [Item] * 2)
        await asyncio.sleep(0.05)
        return None if got is None else [Child(key=got[0].n + got[1].n) for _ in range(501)]

    @step
    async def grow(self, ev: Child) -> Child | Family:
        return Family(key=ev.key, size=1)

    @step
    async def join(self, ev: list[Family]) -> Batch:
        return Batch(members=[len(ev), *{one.key for one in ev}])

    @step
    async def end(self, ctx: Context, ev: Batch) -> StopEvent | None:
        got = ctx.collect_events(ev, [Batch] * 2)
        return None if got is None else StopEvent(result=[one.members for one in got])


async def test_thirty_events_collected_by_ten_give_three_batches_without_a_rest(stage: Stage) -> None:
    flow = await stage.put_on(Collecting)
    batches = await within(flow.run(count=30, size=10, batches=3))
    assert [len(one) for one in batches] == [10, 10, 10]
    assert sorted(n for one in batches for n in one) == list(range(30))


async def test_batches_are_exact_where_executions_overlap(stage: Stage) -> None:
    flow = await stage.put_on(Slowly)
    batches = await within(flow.run(count=120, size=8, batches=15))
    assert [len(one) for one in batches] == [8] * 15
    assert sorted(n for one in batches for n in one) == list(range(120))


@pytest.mark.parametrize("size", [1, 2, 200])
async def test_a_collection_may_be_of_any_size(stage: Stage, size: int) -> None:
    flow = await stage.put_on(Collecting)
    batches = await within(flow.run(count=200, size=size, batches=200 // size))
    assert sorted(n for one in batches for n in one) == list(range(200))


async def test_collected_events_come_in_the_order_they_were_asked_for(stage: Stage) -> None:
    flow = await stage.put_on(Mixed)
    assert await within(flow.run()) == ["Item", "Other", "Item", "Other"]


async def test_buffers_of_one_step_are_kept_apart_by_their_id(stage: Stage) -> None:
    flow = await stage.put_on(TwoBuffers)
    assert await within(flow.run()) == [list(range(0, 20, 2)), list(range(1, 20, 2))]


async def test_surplus_events_of_a_class_are_not_kept(stage: Stage) -> None:
    flow = await stage.put_on(Surplus)
    members = await within(flow.run())
    assert len(set(members)) == 4
    assert members[-1] == 99


async def test_an_event_of_a_class_that_is_not_collected_gives_nothing(stage: Stage) -> None:
    """As the original: no event is kept, and none is waited for."""
    assert await within((await stage.put_on(OfAnotherClass)).run()) is None


async def test_a_collection_of_nothing_is_complete_at_once(stage: Stage) -> None:
    flow = await stage.put_on(NothingExpected)
    assert await within(flow.run()) == []


async def test_what_a_step_does_after_collecting_is_done_once(stage: Stage) -> None:
    handler = (await stage.put_on(Effects)).run()
    seen, by = await within(handler)
    published = [event async for event in handler.stream_events()]
    assert (seen, by) == (40, 40)
    assert sorted(event.n for event in published if isinstance(event, Other)) == list(range(40))


async def test_a_wide_fan_out_of_a_collection_holds_nothing_of_an_execution_that_was_stale(stage: Stage) -> None:
    handler = (await stage.put_on(Prolific)).run()
    buffer = stage.keys.of("buffer", handler.run_id, "gather:default", "Item")
    with redis.Redis.from_url(stage.url) as client:
        await until(lambda: client.llen(buffer) == 1)
    for n in (1, 2, 3):
        handler.ctx.send_event(Item(n=n))
    (size, key), (other_size, other_key) = await within(handler)
    assert (size, other_size, key + other_key) == (501, 501, 6)


class Fewer(Workflow):
    """Wants three at first, and later two: then the buffer holds one that no claim has brought."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item:
        return Item(n=0)

    @step(num_workers=1)
    async def gather(self, ctx: Context, ev: Item) -> Item | StopEvent:
        got = ctx.collect_events(ev, [Item] * (3 if ev.n == 0 else 2))
        return Item(n=ev.n + 1) if got is None else StopEvent(result=[one.n for one in got])


async def test_a_step_that_wants_fewer_than_before_gets_what_is_there(stage: Stage) -> None:
    flow = await stage.put_on(Fewer)
    assert await within(flow.run()) == [0, 1]
