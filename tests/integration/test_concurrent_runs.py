"""num_concurrent_runs: so many runs of a workflow go on at one time in the whole namespace; the others wait in line."""

from __future__ import annotations

import asyncio

import pytest
import redis

from broker_wf import Workflow, step
from broker_wf.broker.broker import open_broker
from broker_wf.core.ids import WorkflowName
from broker_wf.errors import WorkflowCancelledByUser, WorkflowTimeoutError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.inspector import Inspector
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within

opened: set[str] = set()


class Gate(StartEvent):
    scene: str
    name: str


class Note(Event):
    text: str


class Gated(Workflow):
    """Ends once its name was opened."""

    @step
    async def wait(self, ev: Gate) -> StopEvent:
        probe.mark(ev.scene, ev.name)
        with probe.inside(ev.scene):
            await until(lambda: f"{ev.scene}/{ev.name}" in opened)
        return StopEvent(result=ev.name)


class Quick(Workflow):
    @step
    async def count(self, ev: Gate) -> StopEvent:
        with probe.inside(ev.scene):
            await asyncio.sleep(0.005)
        return StopEvent(result=ev.name)


class Failing(Workflow):
    @step
    async def fail(self, ev: Gate) -> StopEvent:
        raise LookupError(ev.name)


class Told(Workflow):
    """Ends with the first note, whether that comes before its turn or in it."""

    @step
    async def begin(self, ev: Gate) -> Note | None:
        probe.mark(ev.scene, ev.name)

    @step
    async def hear(self, ev: Note) -> StopEvent:
        return StopEvent(result=ev.text)


def let(scene: str, *names: str) -> None:
    """Let gated runs end."""
    opened.update(f"{scene}/{name}" for name in names)


async def statuses(stage: Stage) -> dict[str, str]:
    """How the inspector lists the runs."""
    broker = await open_broker(stage.settings, stage.url, patience_s=None)
    try:
        return {one.run_id: one.status for one in await Inspector(broker).runs()}
    finally:
        await broker.pipe.close()


async def test_no_more_runs_go_on_at_one_time_than_num_concurrent_runs_in_the_whole_cluster(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Quick, num_concurrent_runs=3)
    results = await within(asyncio.gather(*(flow.run(scene=scene, name=str(n)) for n in range(20))))
    assert results == [str(n) for n in range(20)]
    assert probe.most(scene) == 3


async def test_runs_that_wait_begin_in_the_order_of_their_arrival(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Gated, num_concurrent_runs=1)
    handlers = [flow.run(scene=scene, name=name, run_id=name) for name in ("a", "b", "c", "d")]
    let(scene, "d", "c", "b", "a")
    assert await within(asyncio.gather(*handlers)) == ["a", "b", "c", "d"]
    assert probe.marks(scene) == ["a", "b", "c", "d"]


async def test_a_run_that_waits_for_its_turn_is_listed_as_queued(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Gated, num_concurrent_runs=1)
    first = flow.run(scene=scene, name="a", run_id="first")
    await until(lambda: probe.count(scene, "a") == 1)
    second = flow.run(scene=scene, name="b", run_id="second")
    assert await second.ctx.store.get("nothing", default=0) == 0
    broker = await open_broker(stage.settings, stage.url, patience_s=None)
    ask = Inspector(broker)
    assert [one.run_id for one in await ask.runs(status="queued")] == ["second"]
    assert [one.run_id for one in await ask.runs(status="running")] == ["first"]
    assert (await ask.run("second")).status == "queued"
    let(scene, "a", "b")
    assert await within(asyncio.gather(first, second)) == ["a", "b"]
    assert (await ask.run("second")).status == "completed"
    await broker.pipe.close()


async def test_the_timeout_of_a_run_starts_when_its_turn_comes(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Gated, num_concurrent_runs=1, timeout=0.6)
    first, second = (flow.run(scene=scene, name=name) for name in ("a", "b"))
    let(scene, "b")
    with pytest.raises(WorkflowTimeoutError):
        await within(first)
    assert await within(second) == "b"


async def test_a_run_can_be_cancelled_while_it_waits_for_its_turn(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Gated, num_concurrent_runs=1)
    first, second, third = (flow.run(scene=scene, name=name) for name in ("a", "b", "c"))
    await until(lambda: probe.count(scene, "a") == 1)
    await within(second.cancel_run())
    with pytest.raises(WorkflowCancelledByUser):
        await within(second)
    let(scene, "a", "c")
    assert await within(asyncio.gather(first, third)) == ["a", "c"]
    assert probe.marks(scene) == ["a", "c"]


async def test_a_run_that_waits_for_its_turn_can_be_attached_to(cluster: Stage) -> None:
    scene = cluster.settings.namespace
    flow = await cluster.put_on(Gated, num_concurrent_runs=1)
    first, second = (flow.run(scene=scene, name=name, run_id=name) for name in ("a", "b"))
    await until(lambda: probe.count(scene, "a") == 1)
    assert await second.ctx.store.get("nothing", default=0) == 0
    again = flow.attach("b")
    let(scene, "a", "b")
    assert await within(asyncio.gather(first, second, again)) == ["a", "b", "b"]


@pytest.mark.parametrize("ending", ["failed", "cancelled", "timed_out"])
async def test_a_turn_is_free_again_however_its_run_ends(stage: Stage, ending: str) -> None:
    scene = stage.settings.namespace
    cls = Failing if ending == "failed" else Gated
    flow = await stage.put_on(cls, num_concurrent_runs=1, timeout=0.3 if ending == "timed_out" else 30)
    handlers = [flow.run(scene=scene, name=f"{n}") for n in range(3)]
    for handler in handlers:
        if ending == "cancelled":
            await within(handler.cancel_run())
        with pytest.raises((LookupError, WorkflowCancelledByUser, WorkflowTimeoutError)):
            await within(handler)
    assert set((await statuses(stage)).values()) == {ending}


async def test_an_event_sent_to_a_run_that_waits_reaches_it_in_its_turn(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Told, num_concurrent_runs=1)
    first, second = (flow.run(scene=scene, name=name) for name in ("a", "b"))
    await until(lambda: probe.count(scene, "a") == 1)
    await within(second.send_event(Note(text="early")))
    assert probe.marks(scene) == ["a"]
    await within(first.send_event(Note(text="now")))
    assert await within(asyncio.gather(first, second)) == ["now", "early"]


async def test_the_audit_takes_back_a_turn_whose_run_is_gone(cluster: Stage) -> None:
    scene = cluster.settings.namespace
    flow = await cluster.put_on(Gated, num_concurrent_runs=1)
    with redis.Redis.from_url(cluster.url) as client:
        client.zadd(cluster.keys.of("admitted_runs", flow.workflow_name), {"lost": 1})
        let(scene, "a")
        handler = flow.run(scene=scene, name="a")
        assert await handler.ctx.store.get("nothing", default=0) == 0
        broker = await open_broker(cluster.settings, cluster.url, patience_s=None)
        await broker.schedule.audit(WorkflowName(flow.workflow_name), 0, 20)
        await broker.pipe.close()
    assert await within(handler) == "a"


async def test_the_audit_puts_a_run_back_that_the_line_has_lost(cluster: Stage) -> None:
    scene = cluster.settings.namespace
    flow = await cluster.put_on(Gated, num_concurrent_runs=1)
    first, second = (flow.run(scene=scene, name=name) for name in ("a", "b"))
    await until(lambda: probe.count(scene, "a") == 1)
    assert await second.ctx.store.get("nothing", default=0) == 0
    broker = await open_broker(cluster.settings, cluster.url, patience_s=None)
    with redis.Redis.from_url(cluster.url) as client:
        client.delete(cluster.keys.of("queued_runs", flow.workflow_name))
        client.delete(cluster.keys.of("admitted_runs", flow.workflow_name))
        await broker.schedule.audit(WorkflowName(flow.workflow_name), 0, 20)
        assert client.zcard(cluster.keys.of("queued_runs", flow.workflow_name)) == 1
        assert client.zcard(cluster.keys.of("admitted_runs", flow.workflow_name)) == 1
    await broker.pipe.close()
    let(scene, "a", "b")
    assert await within(asyncio.gather(first, second)) == ["a", "b"]


async def test_the_turn_of_a_script_that_has_gone_is_given_to_the_next(alone: Stage) -> None:
    scene = alone.settings.namespace
    flow = alone.flow(Gated, num_concurrent_runs=1)
    first = flow.run(scene=scene, name="a", run_id="a")
    await until(lambda: probe.count(scene, "a") == 1)
    await alone.clear()
    let(scene, "b", "a")
    assert await within(alone.flow(Gated, num_concurrent_runs=1).run(scene=scene, name="b")) == "b"
    assert await within(flow.attach("a", resume=True)) == "a"
    del first
