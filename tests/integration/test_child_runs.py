"""Runs that a step begins: their ids, their end, and the places of the step that awaits them."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.errors import RunNotFoundError, WorkflowCancelledByUser, WorkflowTimeoutError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within

opened: set[str] = set()
children: dict[str, list[str]] = {}


class Begin(StartEvent):
    scene: str
    n: int = 0


class Note(Event):
    text: str


class Item(Event):
    scene: str
    n: int


class Done(Event):
    n: int


class Leaf(Workflow):
    @step(num_workers=1)
    async def count(self, ctx: Context, ev: Begin) -> StopEvent:
        probe.mark(ev.scene, f"leaf {ev.n}")
        ctx.write_event_to_stream(Note(text=f"leaf {ev.n}"))
        return StopEvent(result=ev.n + 1)


class Middle(Workflow):
    @step(num_workers=1)
    async def ask(self, ev: Begin) -> StopEvent:
        return StopEvent(result=10 * await Leaf().run(scene=ev.scene, n=ev.n))


class Top(Workflow):
    @step(num_workers=1)
    async def ask(self, ev: Begin) -> StopEvent:
        with probe.inside(f"{ev.scene}/top"):
            result = await Middle().run(scene=ev.scene, n=ev.n)
        return StopEvent(result=result)


class Wide(Workflow):
    """Parents side by side, each with two children at one time."""

    @step
    async def begin(self, ev: Begin) -> list[Item]:
        return [Item(scene=ev.scene, n=n) for n in range(ev.n)]

    @step(num_workers_per_run=2)
    async def ask(self, ev: Item) -> Done:
        first, second = await asyncio.gather(
            Leaf().run(scene=ev.scene, n=ev.n),
            Leaf().run(scene=ev.scene, n=ev.n),
        )
        with probe.inside(f"{ev.scene}/after"):
            await asyncio.sleep(0)
        return Done(n=first + second)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in ev))


class Forwarding(Workflow):
    @step
    async def ask(self, ctx: Context, ev: Begin) -> StopEvent:
        handler = Leaf().run(scene=ev.scene, n=ev.n)
        async for event in handler.stream_events():
            if isinstance(event, Note):
                ctx.write_event_to_stream(Note(text=f"child: {event.text}"))
        return StopEvent(result=await handler)


class Gated(Workflow):
    """A child that ends once its scene was opened."""

    @step
    async def hold(self, ev: Begin) -> StopEvent:
        probe.mark(ev.scene, "held")
        await until(lambda: ev.scene in opened)
        probe.mark(ev.scene, "let go")
        return StopEvent(result=ev.n + 1)


class Parent(Workflow):
    @step
    async def ask(self, ev: Begin) -> StopEvent:
        handler = Gated().run(scene=ev.scene, n=ev.n)
        children.setdefault(ev.scene, []).append(handler.run_id)
        return StopEvent(result=await handler)


class Leaving(Workflow):
    """Ends while its child goes on."""

    @step
    async def ask(self, ev: Begin) -> StopEvent:
        handler = Gated().run(scene=ev.scene)
        children.setdefault(ev.scene, []).append(handler.run_id)
        if ev.n:
            raise LookupError("the parent fails")
        return StopEvent(result="gone")


class Forgetting(Workflow):
    """Ends while a task of its own still awaits a child."""

    @step
    async def begin(self, ctx: Context, ev: Begin) -> Item | StopEvent:
        kept.append(asyncio.ensure_future(awaited(Gated().run(scene=ev.scene))))
        await until(lambda: probe.count(ev.scene, "held") > 0)
        return Item(scene=ev.scene, n=1)

    @step
    async def end(self, ev: Item) -> StopEvent:
        return StopEvent(result=ev.n)


kept: list[asyncio.Future[object]] = []


async def awaited(child: WorkflowHandler[StopEvent]) -> object:
    try:
        return await child
    except WorkflowCancelledByUser:
        return None


class Detaching(Workflow):
    @step
    async def ask(self, ev: Begin) -> StopEvent:
        handler = Gated().run(scene=ev.scene, run_id=f"{ev.scene}-own")
        return StopEvent(result=handler.run_id)


class Slow(Workflow):
    @step
    async def hold(self, ev: Begin) -> StopEvent:
        await asyncio.sleep(60)
        return StopEvent()


class Failing(Workflow):
    @step
    async def fail(self, ev: Begin) -> StopEvent:
        probe.mark(ev.scene, "child")
        if probe.count(ev.scene, "child") < 3:
            raise LookupError("not yet")
        return StopEvent(result="well")


class Retrying(Workflow):
    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
    async def ask(self, ev: Begin) -> StopEvent:
        return StopEvent(result=await Failing().run(scene=ev.scene))


class Impatient(Workflow):
    @step
    async def ask(self, ev: Begin) -> StopEvent:
        try:
            await asyncio.wait_for(Slow().run(scene=ev.scene), 0.05)
        except asyncio.TimeoutError:
            return StopEvent(result="did not wait")
        return StopEvent(result="waited")


def narrow(stage: Stage) -> None:
    """One delivery at a time."""
    stage.change(concurrency=1)


async def test_children_two_levels_deep_need_no_more_than_one_worker_with_a_concurrency_of_one(stage: Stage) -> None:
    narrow(stage)
    flow, scene = await stage.put_on(Top, workers=1), stage.settings.namespace
    assert await within(flow.run(scene=scene, n=1)) == 20


async def test_a_step_that_awaits_a_child_gives_its_place_of_num_workers_to_others(stage: Stage) -> None:
    narrow(stage)
    flow, scene = await stage.put_on(Top, workers=1), stage.settings.namespace
    results = await within(asyncio.gather(*(flow.run(scene=scene, n=n) for n in range(5))))
    assert results == [10 * (n + 1) for n in range(5)]
    assert probe.most(f"{scene}/top") > 1


async def test_a_step_goes_on_only_when_it_has_its_place_again(stage: Stage) -> None:
    stage.change(concurrency=3)
    flow, scene = await stage.put_on(Wide, workers=1), stage.settings.namespace
    assert await within(flow.run(scene=scene, n=8)) == [2 * (n + 1) for n in range(8)]
    assert probe.most(f"{scene}/after") <= 2


async def test_the_events_of_a_child_can_be_forwarded(stage: Stage) -> None:
    narrow(stage)
    flow, scene = await stage.put_on(Forwarding, workers=1), stage.settings.namespace
    handler = flow.run(scene=scene, n=4)
    texts = [event.text async for event in handler.stream_events() if isinstance(event, Note)]
    assert texts == ["child: leaf 4"]
    assert await within(handler) == 5


async def test_a_step_that_starts_again_after_its_worker_died_attaches_to_its_child(cluster: Stage) -> None:
    scene = cluster.settings.namespace
    flow = await cluster.put_on(Parent, workers=1)
    helper = await cluster.add_worker(Gated)
    handler = flow.run(scene=scene, n=1)
    await until(lambda: probe.count(scene, "held") == 1 and len(children.get(scene, ())) == 1)
    first = next(one for one in cluster.workers if one is not helper)
    await cluster.add_worker(Parent)
    await cluster.stop_worker(first, 0)
    await until(lambda: len(children[scene]) == 2)
    opened.add(scene)
    assert await within(handler) == 2
    assert len(set(children[scene])) == 1
    assert probe.count(scene, "let go") == 1


async def test_who_awaits_a_child_executes_it_when_its_worker_turns_out_to_be_dead(cluster: Stage) -> None:
    """It had died a short time ago, and counted as alive when the child was begun."""
    cluster.change(heartbeat_ms=200)
    flow, lane = await cluster.put_on(Top, workers=1), Middle().workflow_name
    with redis.Redis.from_url(cluster.url, decode_responses=True) as client:
        serving = cluster.keys.of("serving", lane)
        client.zadd(serving, {"dead": time.time() * 1000 + 1_500})
        handler = flow.run(scene=cluster.settings.namespace, n=1)
        assert await within(handler) == 20
        client.zrem(serving, "dead")
        assert client.zcard(serving) == 1


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled", "timed_out"])
async def test_a_child_is_cancelled_when_its_parent_ends(stage: Stage, ending: str) -> None:
    scene = stage.settings.namespace
    cls = Parent if ending in ("cancelled", "timed_out") else Leaving
    flow = await stage.put_on(cls, timeout=0.5 if ending == "timed_out" else 30)
    handler = flow.run(scene=scene, n=int(ending == "failed"))
    await until(lambda: scene in children)
    if ending == "cancelled":
        await until(lambda: probe.count(scene, "held") == 1)
        await within(handler.cancel_run())
    expected = {
        "failed": LookupError,
        "cancelled": WorkflowCancelledByUser,
        "timed_out": WorkflowTimeoutError,
    }
    if ending == "completed":
        assert await within(handler) == "gone"
    else:
        with pytest.raises(expected[ending]):
            await within(handler)
    with pytest.raises(WorkflowCancelledByUser):
        await within(stage.flow(Gated).attach(children[scene][0]))


async def test_a_run_with_an_id_of_its_own_outlives_the_step_that_began_it(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Detaching)
    if not stage.in_process:
        await stage.add_worker(Gated)
    assert await within(flow.run(scene=scene)) == f"{scene}-own"
    opened.add(scene)
    for _ in range(500):
        try:
            assert await within(stage.flow(Gated).attach(f"{scene}-own")) == 1
        except RunNotFoundError:
            await asyncio.sleep(0.01)
        else:
            return
    raise AssertionError("the run was never submitted")


async def test_a_retry_begins_its_children_anew(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Retrying)
    assert await within(flow.run(scene=scene)) == "well"
    assert probe.count(scene, "child") == 3


async def test_a_step_may_stop_to_wait_for_a_child(stage: Stage) -> None:
    flow, scene = await stage.put_on(Impatient), stage.settings.namespace
    assert await within(flow.run(scene=scene)) == "did not wait"


async def test_a_step_may_end_while_a_task_of_its_own_awaits_a_child(alone: Stage) -> None:
    flow = await alone.put_on(Forgetting)
    assert await within(flow.run(scene=alone.settings.namespace)) == 1
    await within(kept.pop())
