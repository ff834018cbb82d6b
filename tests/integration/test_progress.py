"""How far a step has come, as those see it who stream the run."""

from __future__ import annotations

import asyncio
import time

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.broker.broker import open_broker
from broker_wf.errors import ContextStateError
from broker_wf.events import Event, HumanResponseEvent, ProgressEvent, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.inspector import Inspector
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Item(Event):
    n: int


async def _told(handler: WorkflowHandler) -> list[ProgressEvent]:
    """What a run tells of its progress until its end, if nothing is told after its result."""
    seen = [event async for event in handler.stream_events()]
    assert isinstance(seen[-1], StopEvent)
    return [event for event in seen if isinstance(event, ProgressEvent)]


class Counts(Workflow):
    """Tells of each of very many small things."""

    @step
    async def count(self, ctx: Context, ev: StartEvent) -> StopEvent:
        began = time.monotonic()
        for n in range(1, 2001):
            ctx.progress(n, 2000, f"{n} done")
            await asyncio.sleep(0)
        return StopEvent(result=time.monotonic() - began)


async def test_progress_is_published_now_and_then_and_the_last_always_before_the_result(stage: Stage) -> None:
    handler = (await stage.put_on(Counts)).run()
    told = await _told(handler)
    assert told[0] == ProgressEvent(step="count", done=1, total=2000, text="1 done")
    assert told[-1] == ProgressEvent(step="count", done=2000, total=2000, text="2000 done")
    assert len(told) <= await within(handler) * 10 + 2
    assert [one.done for one in told] == sorted({one.done for one in told})


class TellsAndWorksOn(Workflow):
    """Tells two things at one time, and then works until both have been seen."""

    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.progress(1, None)
        ctx.progress(2, None)
        await until(lambda: probe.count(ev.name, "seen") == 1)
        return StopEvent()


async def test_what_was_held_back_is_published_while_the_step_works_on(stage: Stage) -> None:
    flow, name = await stage.put_on(TellsAndWorksOn), stage.settings.namespace
    handler = flow.run(name=name)
    async for event in handler.stream_events():
        if isinstance(event, ProgressEvent) and event.done == 2:
            probe.mark(name, "seen")
    await within(handler)


class InThread(Workflow):
    """A plain function tells of its progress."""

    @step
    def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(1, 51):
            ctx.progress(n / 2, 25.0)
        return StopEvent()


async def test_a_step_in_a_thread_tells_of_its_progress(stage: Stage) -> None:
    told = await _told((await stage.put_on(InThread)).run())
    assert (told[0].done, told[-1].done) == (0.5, 25.0)


class Collects(Workflow):
    """Tells of its progress behind a collection."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        for n in range(3):
            ctx.send_event(Item(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Item) -> StopEvent | None:
        got = ctx.collect_events(ev, [Item] * 3)
        if got is None:
            return None
        for n in range(3):
            ctx.progress(n, 2)
        return StopEvent()


async def test_behind_a_collection_the_last_word_is_published_once_with_the_result(stage: Stage) -> None:
    told = await _told((await stage.put_on(Collects)).run())
    assert told == [ProgressEvent(step="gather", done=2, total=2)]


class Mistaken(Workflow):
    """Tells of what is no progress."""

    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        texts: list[str] = []
        for done, total in ((-1, 2), (1, float("nan")), ("1", 2), (True, 2)):
            with pytest.raises((TypeError, ValueError), match="of progress is a number") as caught:
                ctx.progress(done, total)  # pyright: ignore[reportArgumentType]
            texts.append(str(caught.value))
        return StopEvent(result=texts)


async def test_numbers_that_are_no_progress_are_refused_and_nothing_is_published(alone: Stage) -> None:
    handler = alone.flow(Mistaken).run()
    assert await _told(handler) == []
    assert len(await within(handler)) == 4


async def test_progress_is_told_from_steps_only(alone: Stage) -> None:
    context: Context = Context(alone.flow(Counts))
    with pytest.raises(ContextStateError, match="progress requires a running workflow"):
        context.progress(1, 2)


class Own:
    """Holds a class of a user's own under the same name."""

    class ProgressEvent(Event):
        percent: int


class TellsBoth(Workflow):
    """Tells of its progress, publishes an event of its own of that name and fails."""

    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Own.ProgressEvent(percent=5))
        ctx.progress(1, 3, "first")
        ctx.progress(2, 3, "last")
        raise LookupError("told to")


async def test_the_last_word_of_a_step_that_fails_goes_out_too_beside_a_users_class_of_that_name(alone: Stage) -> None:
    handler = alone.flow(TellsBoth).run()
    seen = [event async for event in handler.stream_events()]
    with pytest.raises(LookupError, match="told to"):
        await within(handler)
    assert seen[:3] == [
        Own.ProgressEvent(percent=5),
        ProgressEvent(step="work", done=1, total=3, text="first"),
        ProgressEvent(step="work", done=2, total=3, text="last"),
    ]


class TellsAndAsks(Workflow):
    """Tells of its progress right before it leaves to wait."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.progress(1, 3)
        ctx.progress(2, 3)
        await ctx.wait_for_event(HumanResponseEvent)
        return StopEvent()


async def test_the_last_word_goes_out_before_a_step_leaves_to_wait(stage: Stage) -> None:
    handler = (await stage.put_on(TellsAndAsks)).run()
    done: list[float] = []
    async for event in handler.stream_events():
        if isinstance(event, ProgressEvent):
            done.append(event.done)
            if done == [1, 2]:
                handler.ctx.send_event(HumanResponseEvent())
    await within(handler)
    assert done[:2] == [1, 2]


async def test_progress_is_shown_with_the_events_of_a_run(cluster: Stage) -> None:
    handler = (await cluster.put_on(Collects)).run()
    await within(handler)
    broker = await open_broker(cluster.settings, cluster.url, patience_s=5.0)
    try:
        first, _ = await Inspector(broker).events(handler.run_id)
    finally:
        await broker.pipe.close()
    assert (first.type, first.value) == ("ProgressEvent", {"step": "gather", "done": 2, "total": 2, "text": ""})
