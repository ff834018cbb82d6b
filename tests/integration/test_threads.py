"""Steps in threads that nobody can stop: what they hold while they still run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import cast

import pytest
import redis

from broker_wf import Workflow, step
from broker_wf.core.ids import Lane, StepName
from broker_wf.events import StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Gate:
    """Closed until the test opens it."""

    opened = threading.Event()


class Free(Workflow):
    @step
    def work(self, ev: StartEvent) -> StopEvent:
        probe.mark(ev.name, "begun")
        if ev.waits:
            Gate.opened.wait(20)
        return StopEvent(result="went through")


class Limited(Workflow):
    @step(num_workers=1)
    def work(self, ev: StartEvent) -> StopEvent:
        probe.mark(ev.name, "begun")
        if ev.waits:
            Gate.opened.wait(20)
        return StopEvent(result="went through")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    Gate.opened.clear()
    yield
    Gate.opened.set()


async def test_a_thread_whose_run_was_cancelled_keeps_its_worker_busy_until_it_ends(cluster: Stage) -> None:
    cluster.change(concurrency=1)
    worker, name = await cluster.add_worker(Free), cluster.settings.namespace
    first = cluster.flow(Free).run(name=f"{name}-first", waits=True)
    await until(lambda: probe.count(f"{name}-first", "begun") == 1)
    await within(first.cancel_run())
    assert worker.worker is not None
    await until(lambda: any(one.stopped == "ended" for one in worker.worker._active.all()))
    second = cluster.flow(Free).run(name=f"{name}-second", waits=False)
    with redis.Redis.from_url(cluster.url) as client:
        await until(lambda: bool(client.exists(cluster.keys.of("run", second.run_id))))
    assert worker.worker._claimer.is_full
    assert probe.marks(f"{name}-second") == []
    Gate.opened.set()
    assert await within(second) == "went through"


async def test_a_thread_whose_run_was_cancelled_keeps_its_place_longer_than_its_lease_until_it_ends(
    cluster: Stage,
) -> None:
    cluster.change(lease_ms=600)
    await cluster.put_on(Limited, workers=2)
    flow, name = cluster.flow(Limited), cluster.settings.namespace
    first = flow.run(name=f"{name}-first", waits=True)
    await until(lambda: probe.count(f"{name}-first", "begun") == 1)
    await within(first.cancel_run())
    running = cluster.keys.of("running", Lane(flow.workflow_name), StepName("work"))
    with redis.Redis.from_url(cluster.url) as client:

        def held_until() -> float:
            ((_, score),) = cast("list[tuple[bytes, float]]", client.zrange(running, 0, -1, withscores=True))
            return score

        second, cancelled_with = flow.run(name=f"{name}-second", waits=False), held_until()
        await until(lambda: held_until() > cancelled_with + 600)
    assert probe.marks(f"{name}-second") == []
    Gate.opened.set()
    assert await within(second) == "went through"


async def test_a_thread_that_never_began_is_taken_back(cluster: Stage) -> None:
    cluster.change(concurrency=1, drain_timeout_ms=0)
    worker, name = await cluster.add_worker(Free), cluster.settings.namespace
    assert worker.worker is not None
    worker.worker._threads.submit(Gate.opened.wait, 20)
    handler = cluster.flow(Free).run(name=name, waits=False)
    await until(lambda: len(worker.worker._active) == 1)
    await within(handler.cancel_run())
    await until(lambda: len(worker.worker._active) == 0)
    assert probe.marks(name) == []
