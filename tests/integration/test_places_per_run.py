"""num_workers_per_run: so many deliveries of a step execute at one time in one run; the others are held back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.broker.broker import open_broker
from broker_wf.core.ids import WorkflowName
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.inspector import Inspector
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within

opened: set[str] = set()


class Begin(StartEvent):
    name: str
    count: int


class Item(Event):
    name: str
    n: int


class Done(Event):
    n: int


class Fan(Workflow):
    @step
    async def begin(self, ev: Begin) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(ev.count)]

    @step(num_workers_per_run=2)
    async def work(self, ev: Item) -> Done:
        with probe.inside(ev.name):
            await asyncio.sleep(0.003)
        return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in ev))


class Both(Workflow):
    @step
    async def begin(self, ev: Begin) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(ev.count)]

    @step(num_workers=3, num_workers_per_run=2)
    async def work(self, ev: Item) -> Done:
        with probe.inside(ev.name), probe.inside(f"{ev.name[:-1]}all"):
            await asyncio.sleep(0.003)
        return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


class Flaky(Workflow):
    """Each item fails once."""

    @step
    async def begin(self, ev: Begin) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(ev.count)]

    @step(num_workers_per_run=1, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def work(self, ctx: Context, ev: Item) -> Done:
        with probe.inside(ev.name):
            await asyncio.sleep(0)
            if ctx.retry_info().retry_number == 0:
                raise ValueError("once")
        return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


class Gated(Workflow):
    """Items end once their run was opened."""

    @step
    async def begin(self, ev: Begin) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(ev.count)]

    @step(num_workers_per_run=1)
    async def work(self, ev: Item) -> Done:
        probe.mark(ev.name, str(ev.n))
        await until(lambda: ev.name in opened)
        return Done(n=ev.n)

    @step
    async def aside(self, ev: Item) -> Done:
        probe.mark(f"{ev.name}/aside", str(ev.n))
        return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


def begun(name: str) -> int:
    """How many of a run's limited deliveries have begun."""
    return len(probe.marks(name))


@contextmanager
def raw(stage: Stage) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stage.url) as client:
        yield client


async def all_but_one_are_held(stage: Stage, handler: WorkflowHandler, count: int) -> None:
    """Wait until claims have met everything there is to execute."""
    key = stage.keys.of("held", handler.run_id, "work")
    with raw(stage) as client:
        await until(lambda: client.llen(key) == count - 1)


async def test_no_more_deliveries_of_a_step_execute_in_one_run_than_num_workers_per_run(stage: Stage) -> None:
    flow, name = await stage.put_on(Fan), stage.settings.namespace
    assert await within(flow.run(name=name, count=40)) == list(range(40))
    assert probe.most(name) == 2


async def test_each_run_has_its_own_places_of_num_workers_per_run(stage: Stage) -> None:
    flow, name = await stage.put_on(Gated), stage.settings.namespace
    handlers = [flow.run(name=f"{name}{n}", count=3) for n in range(3)]
    await until(lambda: all(begun(f"{name}{n}") == 1 for n in range(3)))
    opened.update(f"{name}{n}" for n in range(3))
    assert await within(asyncio.gather(*handlers)) == [6] * 3


async def test_num_workers_and_num_workers_per_run_hold_both(stage: Stage) -> None:
    flow, name = await stage.put_on(Both), stage.settings.namespace
    assert await within(asyncio.gather(*(flow.run(name=f"{name}{n}", count=12) for n in range(3)))) == [12] * 3
    assert all(probe.most(f"{name}{n}") <= 2 for n in range(3))
    assert probe.most(f"{name}all") == 3


async def test_num_workers_per_run_holds_through_retries(stage: Stage) -> None:
    flow, name = await stage.put_on(Flaky), stage.settings.namespace
    assert await within(flow.run(name=name, count=12)) == 12
    assert probe.most(name) == 1


async def test_held_deliveries_neither_fill_the_window_nor_keep_other_steps_of_the_run_waiting(stage: Stage) -> None:
    stage.change(dispatch_window=4)
    flow, name = await stage.put_on(Gated), stage.settings.namespace
    handler = flow.run(name=name, count=3)
    await until(lambda: len(probe.marks(f"{name}/aside")) == 3)
    await all_but_one_are_held(stage, handler, 3)
    assert begun(name) == 1
    opened.add(name)
    assert await within(handler) == 6


async def test_held_deliveries_of_one_run_do_not_keep_another_run_waiting(cluster: Stage) -> None:
    cluster.change(concurrency=2)
    flow, name = await cluster.put_on(Gated, workers=1), cluster.settings.namespace
    first = flow.run(name=f"{name}-first", count=100)
    await all_but_one_are_held(cluster, first, 100)
    opened.add(f"{name}-second")
    assert await within(flow.run(name=f"{name}-second", count=5)) == 10
    assert begun(f"{name}-first") == 1
    opened.add(f"{name}-first")
    assert await within(first) == 200


async def test_the_inspector_counts_what_num_workers_per_run_holds_back(stage: Stage) -> None:
    flow, name = await stage.put_on(Gated), stage.settings.namespace
    handler = flow.run(name=name, count=5)
    await all_but_one_are_held(stage, handler, 5)
    broker = await open_broker(stage.settings, stage.url, patience_s=None)
    view = await Inspector(broker).run(handler.run_id)
    await broker.pipe.close()
    assert {one.step: (one.leased, one.held) for one in view.steps}["work"] == (1, 4)
    opened.add(name)
    assert await within(handler) == 10


async def test_nothing_is_left_of_held_deliveries_when_their_run_is_cancelled(stage: Stage) -> None:
    flow, name = await stage.put_on(Gated), stage.settings.namespace
    handler = flow.run(name=name, count=5)
    await all_but_one_are_held(stage, handler, 5)
    await within(handler.cancel_run())
    with raw(stage) as client:
        assert not client.exists(stage.keys.of("held", handler.run_id, "work"))


async def test_a_worker_that_leaves_hands_its_place_of_num_workers_per_run_on(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Gated), cluster.settings.namespace
    handler = flow.run(name=name, count=4)
    await all_but_one_are_held(cluster, handler, 4)
    holder = next(one for one in cluster.workers if one.worker is not None and one.worker._active.all())
    await cluster.stop_worker(holder, 0)
    await until(lambda: begun(name) == 2)
    opened.add(name)
    assert await within(handler) == 8


@pytest.mark.parametrize("lost", ["inside", "more inside"])
async def test_the_audit_releases_what_is_held_for_nobody(cluster: Stage, lost: str) -> None:
    flow, name = await cluster.put_on(Gated), cluster.settings.namespace
    handler = flow.run(name=name, count=4)
    await all_but_one_are_held(cluster, handler, 4)
    inside = cluster.keys.of("inside", handler.run_id, "work")
    broker = await open_broker(cluster.settings, cluster.url, patience_s=None)
    with raw(cluster) as client:
        before = client.smembers(inside)
        client.delete(inside)
        if lost == "more inside":
            client.sadd(inside, "nobody")
        await broker.schedule.audit(WorkflowName(flow.workflow_name), 0, 20)
        assert client.smembers(inside) == before
    await broker.pipe.close()
    opened.add(name)
    assert await within(handler) == 8
