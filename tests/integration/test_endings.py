from __future__ import annotations

import asyncio
import sys
import time

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowCancelledByUser, WorkflowRuntimeError, WorkflowTimeoutError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Work(Event):
    name: str


class Trigger(Event):
    name: str


class Siblings(Workflow):
    """A StopEvent while other steps of the run are at work: two of them on one event."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Work | Trigger | None:
        ctx.send_event(Work(name=ev.name))
        return Trigger(name=ev.name)

    @step
    async def one(self, ev: Work) -> StopEvent:
        return await self._stay(ev.name)

    @step
    async def other(self, ev: Work) -> StopEvent:
        return await self._stay(ev.name)

    @step
    async def end(self, ev: Trigger) -> StopEvent:
        await until(lambda: probe.count(ev.name, "begun") == 2)
        return StopEvent(result="first")

    async def _stay(self, name: str) -> StopEvent:
        probe.mark(name, "begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            probe.mark(name, "cancelled")
            raise
        return StopEvent(result="too late")


class Stubborn(Workflow):
    """Goes on when it is cancelled, and returns a result that comes too late."""

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        probe.mark(ev.name, "begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            probe.mark(ev.name, "cancelled")
        return StopEvent(result="too late")


class Sleepy(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Work | Trigger | None:
        ctx.send_event(Work(name="w"))
        return Trigger(name="t")

    @step
    async def alpha(self, ev: Work) -> StopEvent:
        await asyncio.sleep(60)
        return StopEvent()

    @step
    async def beta(self, ev: Trigger) -> StopEvent:
        await asyncio.sleep(60)
        return StopEvent()


class Canceller(Workflow):
    """Awaits what it has cancelled itself, at its first attempt."""

    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ctx.retry_info().retry_number < ev.times:
            asleep = asyncio.create_task(asyncio.sleep(60))
            asleep.cancel()
            await asleep
        return StopEvent(result="done")


class Idle(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent | None:
        return None


class Delayed(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(60)))
    async def begin(self, ev: StartEvent) -> StopEvent:
        probe.mark(ev.name, "begun")
        raise ValueError("again, much later")


class ManyWaiting(Workflow):
    """A run that ends with deliveries in streams, in the backlog and delayed."""

    @step
    async def begin(self, ev: StartEvent) -> list[Work]:
        return [Work(name=ev.name) for _ in range(300)]

    @step(num_workers=1)
    async def work(self, ev: Work) -> Trigger:
        probe.mark(ev.name, "begun")
        await asyncio.sleep(60)
        return Trigger(name=ev.name)

    @step
    async def end(self, ev: list[Trigger]) -> StopEvent:
        return StopEvent()


async def test_a_result_stands_and_steps_still_at_work_are_cancelled(stage: Stage) -> None:
    flow, name = await stage.put_on(Siblings), stage.settings.namespace
    assert await within(flow.run(name=name)) == "first"
    await until(lambda: probe.count(name, "cancelled") == 2)


async def test_what_a_step_returns_after_the_end_changes_nothing(stage: Stage) -> None:
    flow, name = await stage.put_on(Stubborn), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    await within(handler.cancel_run())
    await until(lambda: probe.count(name, "cancelled") == 1)
    with pytest.raises(WorkflowCancelledByUser):
        await within(handler)
    with pytest.raises(WorkflowCancelledByUser):
        await within(flow.attach(handler.run_id))


async def test_a_run_that_takes_too_long_says_which_steps_were_at_work(stage: Stage) -> None:
    flow = await stage.put_on(Sleepy, timeout=0.4)
    with pytest.raises(WorkflowTimeoutError) as caught:
        await within(flow.run())
    assert str(caught.value) == "Operation timed out after 0.4 seconds. Currently active steps: alpha, beta"


async def test_a_timeout_is_kept_where_sweeps_are_rarer_than_leases_are_long(cluster: Stage) -> None:
    cluster.change(lease_ms=300, sweep_ms=1_000)
    flow = await cluster.put_on(Sleepy, workers=1, timeout=0.4)
    with pytest.raises(WorkflowTimeoutError):
        await within(flow.run(), 5)


async def test_a_run_that_takes_too_long_with_nothing_at_work_says_so(stage: Stage) -> None:
    flow = await stage.put_on(Idle, timeout=0.3)
    with pytest.raises(WorkflowTimeoutError) as caught:
        await within(flow.run())
    assert str(caught.value) == "Operation timed out after 0.3 seconds. No steps active"


async def test_a_run_does_not_time_out_while_nobody_serves_it(cluster: Stage) -> None:
    handler = cluster.flow(Siblings, timeout=0.3).run(name=cluster.settings.namespace)
    serving_others = await cluster.add_worker(Idle)
    with redis.Redis.from_url(cluster.url) as client:
        queued, live = cluster.keys.of("queued"), f"{handler.run_id}|0@begin"
        await until(lambda: client.zscore(queued, live) is not None)
        created_ms = int(client.hget(cluster.keys.of("run", handler.run_id), "created_ms") or 0)
        await until(lambda: int(client.get(cluster.keys.of("swept")) or 0) > created_ms + 900)
        assert client.zcard(cluster.keys.of("watch")) == 0
    await cluster.stop_worker(serving_others)
    await cluster.add_worker(Siblings, timeout=0.3)
    assert await within(handler) == "first"


async def test_steps_hear_that_their_run_was_cancelled_long_before_they_renew_their_leases(cluster: Stage) -> None:
    cluster.change(lease_ms=60_000)
    flow, name = await cluster.put_on(Stubborn), cluster.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    begun = time.monotonic()
    await within(handler.cancel_run())
    await until(lambda: probe.count(name, "cancelled") == 1)
    assert time.monotonic() - begun < 3.0


async def test_a_run_that_waits_for_its_next_attempt_can_be_cancelled(stage: Stage) -> None:
    flow, name = await stage.put_on(Delayed), stage.settings.namespace
    handler = flow.run(name=name)
    with redis.Redis.from_url(stage.url) as client:
        watch, member = stage.keys.of("watch"), f"{handler.run_id}|0@begin"
        await until(lambda: (client.zscore(watch, member) or 0) > (time.time() + 30) * 1000)
    await within(handler.cancel_run())
    with pytest.raises(WorkflowCancelledByUser):
        await within(handler)


async def test_a_run_that_is_cancelled_leaves_nothing_in_streams_and_backlog(stage: Stage) -> None:
    stage.change(dispatch_window=20)
    flow, name = await stage.put_on(ManyWaiting), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    await within(handler.cancel_run())
    await stage.clear()
    assert stage.audit() == []


async def test_cancelling_a_run_that_has_ended_changes_nothing(stage: Stage) -> None:
    flow, name = await stage.put_on(Siblings), stage.settings.namespace
    handler = flow.run(name=name)
    await within(handler)
    await within(handler.cancel_run())
    assert await within(flow.attach(handler.run_id)) == "first"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not tell who was cancelled")
async def test_a_step_that_awaits_what_it_has_cancelled_fails_as_of_any_error(stage: Stage) -> None:
    flow = await stage.put_on(Canceller)
    assert await within(flow.run(times=1)) == "done"
    with pytest.raises(WorkflowRuntimeError, match="though nobody cancelled it"):
        await within(flow.run(times=2))
