from __future__ import annotations

import asyncio
from typing import Any, cast

import msgpack
import redis

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Go(Event):
    name: str


class Long(Workflow):
    """The first execution never ends by itself, the next one does at once."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Go | StopEvent:
        probe.mark(ev.name, f"attempt {ctx.retry_info().retry_number + 1}")
        if len(probe.marks(ev.name)) == 1:
            await asyncio.sleep(60)
        return StopEvent(result="done elsewhere")

    @step
    async def never(self, ev: Go) -> StopEvent:
        return StopEvent()


class Short(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Go:
        probe.mark(ev.name, "begun")
        await until(lambda: probe.count(ev.name, "draining") == 1)
        return Go(name=ev.name)

    @step
    async def next(self, ev: Go) -> StopEvent:
        probe.mark(ev.name, "next")
        return StopEvent(result="next worker")


async def test_a_step_that_does_not_end_in_time_is_handed_back_and_not_aged(cluster: Stage) -> None:
    worker, name = await cluster.add_worker(Long), cluster.settings.namespace
    handler = cluster.flow(Long).run(name=name)
    await until(lambda: probe.marks(name) == ["attempt 1"])
    await cluster.stop_worker(worker, 50)
    with redis.Redis.from_url(cluster.url) as client:
        ((_, raw),) = cast("dict[bytes, bytes]", client.hgetall(cluster.keys.of("live", handler.run_id))).items()
        record = cast("dict[bytes, Any]", msgpack.unpackb(raw, raw=True, strict_map_key=False))
        assert (record[b"st"], record[b"a"], record[b"c"]) == (b"q", 1, 0)
    await cluster.add_worker(Long)
    assert await within(handler) == "done elsewhere"
    assert probe.marks(name) == ["attempt 1", "attempt 1"]


async def test_a_step_that_ends_in_time_is_committed_and_others_go_on(cluster: Stage) -> None:
    worker, name = await cluster.add_worker(Short), cluster.settings.namespace
    handler = cluster.flow(Short).run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    leaving = asyncio.ensure_future(cluster.stop_worker(worker, 20_000))
    assert worker.worker is not None
    await until(lambda: not worker.worker._claimer._open)
    probe.mark(name, "draining")
    await within(leaving)
    assert probe.marks(name) == ["begun", "draining"]
    await cluster.add_worker(Short)
    assert await within(handler) == "next worker"
    assert probe.count(name, "begun") == 1


async def test_what_a_worker_is_given_while_it_leaves_it_gives_back(cluster: Stage) -> None:
    """Its commit is on its way, and offers to go on, when it is told to stop."""
    worker, name = await cluster.add_worker(Short), cluster.settings.namespace
    handler = cluster.flow(Short).run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    assert worker.worker is not None
    with redis.Redis.from_url(cluster.url) as client:
        client.client_pause(2_000)
        probe.mark(name, "draining")
        await until(lambda: worker.worker._active.all()[0].offers)
        await cluster.stop_worker(worker, 20_000)
        ((_, raw),) = cast("dict[bytes, bytes]", client.hgetall(cluster.keys.of("live", handler.run_id))).items()
        record = cast("dict[bytes, Any]", msgpack.unpackb(raw, raw=True, strict_map_key=False))
        assert (record[b"s"], record[b"st"], record[b"a"], record[b"c"]) == (b"next", b"q", 1, 0)
    await cluster.add_worker(Short)
    assert await within(handler) == "next worker"
    assert probe.marks(name) == ["begun", "draining", "next"]


async def test_a_worker_that_left_is_on_no_roster(cluster: Stage) -> None:
    worker = await cluster.add_worker(Short)
    with redis.Redis.from_url(cluster.url) as client:
        assert client.zcard(cluster.keys.of("roster")) == 1
        await cluster.stop_worker(worker)
        assert client.zcard(cluster.keys.of("roster")) == 0
        assert client.zcard(cluster.keys.of("serving", cluster.flow(Short).workflow_name)) == 0


async def test_a_worker_that_joins_later_takes_its_share(cluster: Stage) -> None:
    first, name = await cluster.add_worker(Short), cluster.settings.namespace
    handlers = [cluster.flow(Short).run(name=f"{name}-{n}") for n in range(3)]
    await until(lambda: all(probe.count(f"{name}-{n}", "begun") == 1 for n in range(3)))
    await cluster.add_worker(Short)
    await cluster.stop_worker(first, 0)
    for n in range(3):
        probe.mark(f"{name}-{n}", "draining")
    assert await within(asyncio.gather(*handlers)) == ["next worker"] * 3


async def test_a_run_in_process_that_was_left_behind_can_be_resumed(alone: Stage) -> None:
    name = alone.settings.namespace
    handler = alone.flow(Long).run(name=name)
    await until(lambda: probe.marks(name) == ["attempt 1"])
    await alone.clear()
    resumed = alone.flow(Long).attach(handler.run_id, resume=True)
    assert await within(resumed) == "done elsewhere"
    assert probe.marks(name) == ["attempt 1", "attempt 1"]
