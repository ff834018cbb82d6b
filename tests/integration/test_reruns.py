"""Runs that have ended are done again: whole, or from what they had not finished."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.broker.broker import Broker
from broker_wf.core.ids import RunId
from broker_wf.errors import NothingToRerunError, RunConflictError, RunNotFoundError, WorkflowTimeoutError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.inspecting import opened_broker
from broker_wf.inspector import Inspector
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within

_NEW = RunId("again")


async def result_of(flow: Workflow, run_id: str) -> Any:
    return await within(flow.attach(run_id))


async def fields(broker: Broker, run_id: str, *names: str) -> Any:
    return await broker.pipe.command("HMGET", broker.keys.of("run", run_id), *names)


class Item(Event):
    n: int


class Done(Event):
    n: int


class Gathers(Workflow):
    """Fans out, and one of the parts, or the join, fails until it is told not to."""

    @step
    async def spread(self, ctx: Context, ev: StartEvent) -> list[Item]:
        probe.mark(ev.name, "spread")
        await ctx.store.set("name", ev.name)
        await ctx.store.set("fails", ev.get("fails", "work"))
        return [Item(n=n) for n in range(6)]

    @step(retry_policy=retry_policy(wait=wait_fixed(0.01), stop=stop_after_attempt(2)))
    async def work(self, ctx: Context, ev: Item) -> Done:
        name = await ctx.store.get("name")
        if ev.n == 5 and await ctx.store.get("fails") == "work" and not probe.count(name, "mended"):
            await until(lambda: len({one for one in probe.marks(name) if one.startswith("work ")}) == 5)
            raise ValueError(f"attempt {ctx.retry_info().retry_number}")
        probe.mark(name, f"work {ev.n}")
        return Done(n=ev.n)

    @step
    async def gather(self, ctx: Context, ev: list[Done]) -> StopEvent:
        name = await ctx.store.get("name")
        if await ctx.store.get("fails") == "gather" and not probe.count(name, "mended"):
            raise ValueError("cannot gather")
        probe.mark(name, "gather")
        return StopEvent(result=sorted(one.n for one in ev))


async def test_a_failed_member_of_a_fan_out_is_done_again_and_nothing_that_was_finished(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Gathers), cluster.settings.namespace
    handler = flow.run(name=name)
    with pytest.raises(ValueError, match="attempt 1"):
        await within(handler)
    async with opened_broker(cluster.settings) as broker:
        rest = await broker.reruns.rest(handler.run_id)
        assert rest is not None
        assert "work" in rest.steps
        probe.mark(name, "mended")
        assert await broker.reruns.unfinished(handler.run_id, _NEW, "work") == "running"
        assert await result_of(flow, _NEW) == [0, 1, 2, 3, 4, 5]
        assert await fields(broker, _NEW, "rerun_of") == [handler.run_id.encode()]
        assert await fields(broker, handler.run_id, "rerun_as") == [_NEW.encode()]
    marks = probe.marks(name)
    assert sorted(marks) == sorted(["spread", *(f"work {n}" for n in range(6)), "mended", "gather"])


async def test_a_join_that_failed_gets_its_list_again(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Gathers), cluster.settings.namespace
    handler = flow.run(name=name, fails="gather")
    with pytest.raises(ValueError, match="cannot gather"):
        await within(handler)
    async with opened_broker(cluster.settings) as broker:
        assert await broker.reruns.unfinished(handler.run_id, _NEW, "gather") == "running"
        with pytest.raises(ValueError, match="cannot gather"):
            await result_of(flow, _NEW)
        probe.mark(name, "mended")
        assert await broker.reruns.unfinished(_NEW, RunId("third")) == "running"
        assert await result_of(flow, "third") == [0, 1, 2, 3, 4, 5]
    assert probe.count(name, "spread") == 1
    assert probe.count(name, "work 5") == 1


async def test_the_same_rerun_asked_for_again_is_the_one_there_is(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Gathers), cluster.settings.namespace
    handler = flow.run(name=name, fails="gather")
    with pytest.raises(ValueError, match="cannot gather"):
        await within(handler)
    probe.mark(name, "mended")
    async with opened_broker(cluster.settings) as broker:
        for _ in range(3):
            await broker.reruns.unfinished(handler.run_id, _NEW)
        assert await result_of(flow, _NEW) == [0, 1, 2, 3, 4, 5]
        assert await broker.reruns.unfinished(handler.run_id, _NEW) == "completed"
        with pytest.raises(RunConflictError):
            await broker.reruns.whole(handler.run_id, _NEW)
    assert probe.count(name, "gather") == 1


async def test_a_run_is_done_again_whole_with_its_start_event_and_its_first_state(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Gathers), cluster.settings.namespace
    probe.mark(name, "mended")
    ctx: Context[Any] = Context(flow)
    await ctx.store.set("before", "x" * 2_000_000)
    handler = flow.run(ctx=ctx, name=name, large="y" * 2_000_000)
    await within(handler)
    async with opened_broker(cluster.settings) as broker:
        for new in ("again", "once more"):
            old = handler.run_id if new == "again" else "again"
            assert await broker.reruns.whole(RunId(old), RunId(new)) == "running"
            assert await result_of(flow, new) == [0, 1, 2, 3, 4, 5]
            state = await Inspector(broker).state(new)
            assert state["before"] == "x" * 2_000_000
        assert await broker.reruns.whole(handler.run_id, _NEW) == "completed"
    assert probe.count(name, "spread") == 3
    assert probe.count(name, "gather") == 3


class Large(Event):
    text: str


class Small(Event):
    name: str


class Packed(Event):
    text: str


class Carries(Workflow):
    """Joins what one step has made of a large event with what another makes, which fails at first."""

    @step
    async def load(self, ev: StartEvent) -> list[Large | Small]:
        return [Large(text="z" * 2_000_000), Small(name=ev.name)]

    @step
    async def keep(self, ev: Large) -> Packed:
        return Packed(text=ev.text + "z")

    @step
    async def fail(self, ev: Small) -> Packed:
        await until(lambda: probe.count(ev.name, "go") == 1)
        if not probe.count(ev.name, "mended"):
            raise ValueError("not yet")
        return Packed(text="")

    @step
    async def join(self, ev: list[Packed]) -> StopEvent:
        return StopEvent(result=sorted(len(one.text) for one in ev))


async def test_large_parts_that_are_still_needed_are_there_and_no_others(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Carries), cluster.settings.namespace
    handler = flow.run(name=name)
    async with opened_broker(cluster.settings) as broker:
        await within(handler.followed.broker())
        for _ in range(500):
            done = [one.step for one in await Inspector(broker).steps(handler.run_id) if one.state == "done"]
            if "keep" in done:
                break
            await asyncio.sleep(0.02)
        probe.mark(name, "go")
        with pytest.raises(ValueError, match="not yet"):
            await within(handler)
        blobs = await broker.pipe.command("HKEYS", broker.keys.of("blob", handler.run_id))
        assert sorted(map(len, blobs)) == [16, 17]  # pyright: ignore[reportArgumentType]
        probe.mark(name, "mended")
        await broker.reruns.unfinished(handler.run_id, _NEW, "fail")
        assert await result_of(flow, _NEW) == [0, 2_000_001]


class Question(InputRequiredEvent):
    pass


class Answer(HumanResponseEvent):
    word: str


class Slow(Workflow):
    """Asks, remembers, and then takes too long."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        said = await ctx.wait_for_event(Answer, waiter_event=Question(), waiter_id="q", timeout=None)
        word = await ctx.once("word", lambda: probe.mark(ev.name, "once") or said.word)
        await until(lambda: probe.count(ev.name, "mended") == 1)
        return StopEvent(result=word)


async def test_a_run_that_timed_out_goes_on_with_new_time_and_asks_nothing_again(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Slow, timeout=2.0), cluster.settings.namespace
    handler = flow.run(name=name)
    async for event in handler.stream_events():
        if isinstance(event, Question):
            await handler.send_event(Answer(word="yes"))
            await until(lambda: probe.count(name, "once") == 1)
            break
    with pytest.raises(WorkflowTimeoutError):
        await within(handler)
    async with opened_broker(cluster.settings) as broker:
        assert await broker.reruns.unfinished(handler.run_id, _NEW) == "running"
        probe.mark(name, "mended")
        assert await result_of(flow, _NEW) == "yes"
        assert (await broker.reruns.whole(handler.run_id, RunId("whole"))) == "running"
        assert await broker.runs.cancel(RunId("whole")) == "cancelled"
    assert probe.count(name, "once") == 1


async def test_what_cannot_be_done_again_is_refused_with_the_reason(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Gathers), cluster.settings.namespace
    failing = flow.run(name=name, fails="gather")
    with pytest.raises(ValueError, match="cannot gather"):
        await within(failing)
    probe.mark(name, "mended")
    fine = flow.run(name=name)
    await within(fine)
    async with opened_broker(cluster.settings) as broker:
        reruns, keys = broker.reruns, broker.keys
        with pytest.raises(NothingToRerunError, match="it completed or went with its parent"):
            await reruns.unfinished(fine.run_id, _NEW)
        with pytest.raises(NothingToRerunError, match="step 'work' has nothing to do in it; left are gather"):
            await reruns.unfinished(failing.run_id, _NEW, "work")
        with pytest.raises(RunNotFoundError):
            await reruns.whole(RunId("nobody"), _NEW)
        with redis.Redis.from_url(cluster.url) as client:
            client.hdel(keys.of("run", fine.run_id), "start")
            with pytest.raises(NothingToRerunError, match="its start event is not known"):
                await reruns.whole(fine.run_id, _NEW)
            client.hset(keys.of("run", fine.run_id), "status", "running")
            with pytest.raises(NothingToRerunError, match="it has not ended"):
                await reruns.whole(fine.run_id, _NEW)
        assert await fields(broker, _NEW, "status") == [None]


async def test_a_run_in_process_is_left_to_its_process(alone: Stage) -> None:
    flow = await alone.put_on(Gathers)
    handler = flow.run(name=alone.settings.namespace, fails="gather")
    with pytest.raises(ValueError, match="cannot gather"):
        await within(handler)
    async with opened_broker(alone.settings) as broker:
        with pytest.raises(NothingToRerunError, match="no worker knows its workflow"):
            await broker.reruns.whole(handler.run_id, _NEW)


class Wide(Workflow):
    """Fails beside more work than is kept."""

    @step
    async def spread(self, ctx: Context, ev: StartEvent) -> list[Item | Done]:
        return [Done(n=0), *(Item(n=n) for n in range(10_100))]

    @step(num_workers=1)
    async def work(self, ctx: Context, ev: Item) -> StopEvent | None:
        return None

    @step
    async def fail(self, ev: Done) -> StopEvent | None:
        raise ValueError("beside all that")


async def test_of_a_very_large_run_nothing_is_kept_and_it_is_done_again_whole(cluster: Stage) -> None:
    flow = await cluster.put_on(Wide, workers=1)
    handler = flow.run()
    with pytest.raises(ValueError, match="beside all that"):
        await within(handler)
    async with opened_broker(cluster.settings) as broker:
        assert await broker.reruns.rest(handler.run_id) is None
        assert await broker.reruns.whole(handler.run_id, _NEW) == "running"
        with pytest.raises(ValueError, match="beside all that"):
            await result_of(flow, _NEW)


class OldWay(Workflow):
    """As it was when the run began."""

    @step
    async def first(self, ev: StartEvent) -> Item:
        return Item(n=1)

    @step
    async def second(self, ev: Item) -> StopEvent:
        raise ValueError("the old way")


class NewWay(Workflow):
    """As it was mended: with one step more at either end."""

    @step
    async def first(self, ev: StartEvent) -> Item:
        return Item(n=10)

    @step
    async def beside(self, ev: StartEvent) -> None:
        probe.mark(ev.name, "beside")

    @step
    async def second(self, ev: Item) -> Done:
        return Done(n=ev.n)

    @step
    async def third(self, ev: Done) -> StopEvent:
        return StopEvent(result=ev.n)


class Other(Event):
    pass


class ThirdWay(Workflow):
    """Has none of the old steps but the first."""

    @step
    async def first(self, ev: StartEvent) -> Other:
        return Other()

    @step
    async def last(self, ev: Other) -> StopEvent:
        return StopEvent(result="third")


class Named(StartEvent):
    pass


class FourthWay(Workflow):
    """Begins otherwise."""

    @step
    async def first(self, ev: Named) -> StopEvent:
        return StopEvent()


async def test_a_run_is_done_again_in_the_version_that_its_workers_have_now(cluster: Stage) -> None:
    name = cluster.settings.namespace
    flow = await cluster.put_on(OldWay, workers=1, workflow_name="changing")
    handler = flow.run(name=name)
    with pytest.raises(ValueError, match="the old way"):
        await within(handler)
    await cluster.stop_worker(cluster.workers[0], 0)
    async with opened_broker(cluster.settings) as broker:
        flow = await cluster.put_on(NewWay, workers=1, workflow_name="changing")
        await broker.reruns.unfinished(handler.run_id, _NEW, "second")
        assert await result_of(flow, _NEW) == 1
        await broker.reruns.whole(handler.run_id, RunId("whole"))
        assert await result_of(flow, "whole") == 10
        await until(lambda: probe.count(name, "beside") == 1)
        await cluster.stop_worker(cluster.workers[0], 0)
        flow = await cluster.put_on(ThirdWay, workers=1, workflow_name="changing")
        with pytest.raises(NothingToRerunError, match="has no step second any more"):
            await broker.reruns.unfinished(handler.run_id, RunId("third"))
        await broker.reruns.whole(handler.run_id, RunId("third"))
        assert await result_of(flow, "third") == "third"
        await cluster.stop_worker(cluster.workers[0], 0)
        await cluster.put_on(FourthWay, workers=1, workflow_name="changing")
        with pytest.raises(NothingToRerunError, match="its workflow begins with"):
            await broker.reruns.whole(handler.run_id, RunId("fourth"))
