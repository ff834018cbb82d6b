from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.broker.keys import RedisKey
from broker_wf.core.ids import Lane
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Item(Event):
    name: str
    n: int


class Done(Event):
    n: int


class Limited(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(ev.count)]

    @step(num_workers=2)
    async def work(self, ev: Item) -> Done:
        with probe.inside(ev.name):
            await asyncio.sleep(0.005)
        return Done(n=ev.n)

    @step
    async def aside(self, ev: Item) -> Done:
        return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


class LimitedAndFlaky(Workflow):
    """Every delivery fails once, so that it is read from the second stream too."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(20)]

    @step(num_workers=2, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def work(self, ctx: Context, ev: Item) -> Done:
        with probe.inside(ev.name):
            await asyncio.sleep(0.005)
            if ctx.retry_info().retry_number == 0:
                raise ValueError("once")
        return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


class LimitedThreads(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(20)]

    @step(num_workers=3)
    def work(self, ev: Item) -> Done:
        with probe.inside(ev.name):
            return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


class Holding(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Item:
        return Item(name=ev.name, n=0)

    @step(num_workers=1)
    async def hold(self, ev: Item) -> StopEvent:
        probe.mark(ev.name, "begun")
        if ev.name.endswith("first"):
            await asyncio.sleep(60)
        return StopEvent(result="went through")


class Wide(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(name=ev.name, n=n) for n in range(30)]

    @step
    async def work(self, ev: Item) -> Done:
        with probe.inside(ev.name):
            await until(lambda: probe.most(ev.name) == 30)
        return Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


def consumers(client: redis.Redis, key: RedisKey, group: str) -> set[str]:
    """The names of a group's consumers."""
    found = cast("list[dict[str, Any]]", client.xinfo_consumers(key, group))
    return {one["name"].decode() for one in found}


def groups(client: redis.Redis, key: RedisKey) -> set[str]:
    """The names of a stream's groups."""
    found = cast("list[dict[str, Any]]", client.xinfo_groups(key))
    return {one["name"].decode() for one in found}


async def test_a_limited_step_never_runs_more_often_at_one_time_on_all_workers_together(stage: Stage) -> None:
    flow, name = await stage.put_on(Limited), stage.settings.namespace
    results = await within(asyncio.gather(*(flow.run(name=name, count=20) for _ in range(3))))
    assert results == [40] * 3
    assert probe.most(name) == 2


async def test_a_limit_holds_through_retries(stage: Stage) -> None:
    flow, name = await stage.put_on(LimitedAndFlaky), stage.settings.namespace
    assert await within(flow.run(name=name)) == 20
    assert probe.most(name) == 2


async def test_a_limit_holds_for_steps_in_threads(stage: Stage) -> None:
    flow, name = await stage.put_on(LimitedThreads), stage.settings.namespace
    assert await within(flow.run(name=name)) == 20
    assert probe.most(name) <= 3


async def test_a_step_without_a_limit_takes_all_there_is(stage: Stage) -> None:
    flow, name = await stage.put_on(Wide), stage.settings.namespace
    assert await within(flow.run(name=name)) == 30


@pytest.mark.parametrize("family", ["work", "again"])
async def test_the_consumers_of_a_limited_step_are_its_places(cluster: Stage, family: str) -> None:
    flow, name = await cluster.put_on(LimitedAndFlaky), cluster.settings.namespace
    key = cluster.keys.of(family, Lane(flow.workflow_name), "Item")
    seen: set[str] = set()
    running = asyncio.ensure_future(within(flow.run(name=name)))
    with redis.Redis.from_url(cluster.url) as client:
        while not running.done():
            seen |= consumers(client, key, "work")
            await asyncio.sleep(0)
        assert await running == 20
        assert seen | consumers(client, key, "work") == {"1", "2"}


async def test_streams_are_keyed_by_event_and_have_a_group_for_each_step_that_takes_it(cluster: Stage) -> None:
    flow = await cluster.put_on(Limited)
    lane = Lane(flow.workflow_name)
    assert await within(flow.run(name=cluster.settings.namespace, count=8)) == 16
    with redis.Redis.from_url(cluster.url) as client:
        assert groups(client, cluster.keys.of("work", lane, "StartEvent")) == {"begin"}
        assert groups(client, cluster.keys.of("work", lane, "Item")) == {"work", "aside"}
        assert groups(client, cluster.keys.of("again", lane, "Done")) == {"join"}
        assert not client.exists(cluster.keys.of("work", lane, "Done"))


async def test_the_consumers_of_a_step_without_a_limit_are_worker_processes(cluster: Stage) -> None:
    flow = await cluster.put_on(Limited)
    workers = {one.worker.id for one in cluster.workers if one.worker is not None}
    assert await within(flow.run(name=cluster.settings.namespace, count=60)) == 120
    with redis.Redis.from_url(cluster.url) as client:
        key = cluster.keys.of("work", Lane(flow.workflow_name), "Item")
        assert consumers(client, key, "aside") <= workers


async def test_a_worker_that_left_is_no_consumer_any_more(cluster: Stage) -> None:
    flow = await cluster.put_on(Limited)
    await within(flow.run(name=cluster.settings.namespace, count=60))
    for worker in list(cluster.workers):
        await cluster.stop_worker(worker)
    with redis.Redis.from_url(cluster.url) as client:
        assert consumers(client, cluster.keys.of("work", Lane(flow.workflow_name), "Item"), "aside") == set()


async def test_a_place_is_free_again_when_the_run_that_held_it_is_cancelled(stage: Stage) -> None:
    flow, name = await stage.put_on(Holding), stage.settings.namespace
    first = flow.run(name=f"{name}-first")
    await until(lambda: probe.count(f"{name}-first", "begun") == 1)
    second = flow.run(name=f"{name}-second")
    await within(first.cancel_run())
    assert await within(second) == "went through"
