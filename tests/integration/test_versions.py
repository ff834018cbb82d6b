from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import repeat

import pytest
import redis

from broker_wf import Workflow, step
from broker_wf.core.ids import Lane
from broker_wf.errors import NoWorkerForStepError, WorkflowConflictError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.inspecting import open_inspector
from broker_wf.inspector.inspector import Inspector
from broker_wf.inspector.unserved import unserved_runs
from tests.integration.stage import Stage, until, within


class Middle(Event):
    pass


class Further(Event):
    pass


class Original(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result="original")


class Impostor(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result="impostor")


def version(number: int) -> type[Workflow]:
    """One class at two moments of its history: the second one has a step more."""
    if number == 1:

        class Evolving(Workflow):
            @step
            async def begin(self, ev: StartEvent) -> Middle:
                return Middle()

            @step
            async def end(self, ev: Middle) -> StopEvent:
                return StopEvent(result="version 1")

        return Evolving

    class Evolving(Workflow):  # type: ignore[no-redef]
        @step
        async def begin(self, ev: StartEvent) -> Middle:
            return Middle()

        @step
        async def further(self, ev: Middle) -> Further:
            return Further()

        @step
        async def end(self, ev: Further) -> StopEvent:
            return StopEvent(result="version 2")

    return Evolving


async def test_another_class_under_a_name_in_use_is_refused_and_both_are_named(cluster: Stage) -> None:
    await cluster.add_worker(Original, workflow_name="shared")
    with pytest.raises(WorkflowConflictError) as caught:
        await cluster.add_worker(Impostor, workflow_name="shared")
    assert (caught.value.ours, caught.value.theirs) == (
        "tests.integration.test_versions:Impostor",
        "tests.integration.test_versions:Original",
    )
    assert await within(cluster.flow(Original, workflow_name="shared").run()) == "original"


async def test_a_name_that_has_a_live_run_is_in_use(cluster: Stage) -> None:
    worker = await cluster.add_worker(Original, workflow_name="shared")
    await cluster.stop_worker(worker)
    handler = cluster.flow(Original, workflow_name="shared").run()
    with redis.Redis.from_url(cluster.url) as client:
        await until(lambda: client.zcard(cluster.keys.of("live_runs", "shared")) == 1)
    with pytest.raises(WorkflowConflictError):
        await cluster.add_worker(Impostor, workflow_name="shared")
    await within(handler.cancel_run())


async def test_a_name_that_nobody_uses_may_be_taken_over(cluster: Stage) -> None:
    worker = await cluster.add_worker(Original, workflow_name="shared")
    await cluster.stop_worker(worker)
    await cluster.add_worker(Impostor, workflow_name="shared")
    assert await within(cluster.flow(Impostor, workflow_name="shared").run()) == "impostor"


async def test_a_changed_graph_of_the_same_class_is_admitted(cluster: Stage) -> None:
    await cluster.add_worker(version(1))
    await cluster.add_worker(version(2))
    old, new = cluster.flow(version(1)), cluster.flow(version(2))
    assert old.workflow_name == new.workflow_name
    assert old.spec.digest != new.spec.digest
    handlers = [flow.run() for flow in (old, new) for _ in range(30)]
    assert await within(asyncio.gather(*handlers)) == ["version 1"] * 30 + ["version 2"] * 30


async def test_a_run_of_an_older_version_is_set_aside_until_a_worker_has_it(cluster: Stage) -> None:
    await cluster.add_worker(version(2))
    old, new = cluster.flow(version(1)), cluster.flow(version(2))
    waiting = old.run()
    aside = cluster.keys.of("again", Lane(f"{old.workflow_name}#{old.spec.digest}"), "StartEvent")
    with redis.Redis.from_url(cluster.url) as client:
        await until(lambda: client.xlen(aside) == 1)
        assert client.xlen(cluster.keys.of("work", Lane(old.workflow_name), "StartEvent")) == 0
        assert await within(new.run()) == "version 2"
        await cluster.add_worker(version(1))
        assert await within(waiting) == "version 1"


async def test_a_run_in_process_executes_on_the_very_instance_it_was_begun_on(alone: Stage) -> None:
    class Instance(Workflow):
        def __init__(self, number: int, **arguments: object) -> None:
            super().__init__(**arguments)  # type: ignore[arg-type]
            self.number = number

        @step
        async def begin(self, ev: StartEvent) -> Middle:
            self.begun = True
            return Middle()

        @step
        async def end(self, ev: Middle) -> StopEvent:
            return StopEvent(result=self.number if self.begun else None)

    flows = [alone.flow(Instance, number=number) for number in range(5)]
    handlers = [flow.run() for flow in flows for _ in range(4)]
    assert await within(asyncio.gather(*handlers)) == [n for n in range(5) for _ in range(4)]


async def test_a_run_that_nobody_has_the_version_of_is_reported_and_fails_in_time(cluster: Stage) -> None:
    cluster.change(audit_ms=50, heartbeat_ms=200, skew_timeout_ms=0)
    patient = await cluster.add_worker(version(2))
    handler = cluster.flow(version(1)).run()
    async with open_inspector(cluster.settings) as inspector:
        await until_true(lambda: _is_unserved(inspector, handler.run_id))
        assert (await inspector.run(handler.run_id)).status == "running", "0 is for ever"
        served = await cluster.add_worker(version(1))
        assert await within(handler) == "version 1"
        await cluster.stop_worker(served)
        await cluster.stop_worker(patient)
        cluster.change(skew_timeout_ms=100)
        await cluster.add_worker(version(2))
        lost = cluster.flow(version(1))
        handler = lost.run()
        with pytest.raises(NoWorkerForStepError) as caught:
            await within(handler)
        assert (caught.value.step, caught.value.digest) == ("begin", lost.spec.digest)
        view = await inspector.run(handler.run_id)
        assert view.error is not None
        assert view.error.type.endswith("NoWorkerForStepError")
        assert view.unserved_at is None


async def test_runs_that_no_live_worker_can_execute_are_counted_by_version(cluster: Stage) -> None:
    first, second = (cluster.flow(version(number)) for number in (1, 2))
    handlers = [flow.run() for flow in (first, first, second)]
    async with open_inspector(cluster.settings) as inspector:
        broker = inspector.broker
        for handler in handlers:
            await until_true(lambda one=handler: _is_known(inspector, one.run_id))
        both = {view.digest: (view.runs, view.has_workers) for view in await unserved_runs(broker)}
        assert both == {first.spec.digest: (2, False), second.spec.digest: (1, False)}
        await cluster.add_worker(version(2))
        (left,) = await unserved_runs(broker)
        assert (left.digest, left.runs, left.has_workers) == (first.spec.digest, 2, True)
        assert set(left.examples) == {handler.run_id for handler in handlers[:2]}
        await cluster.add_worker(version(1))
        assert await unserved_runs(broker) == ()
    assert await within(asyncio.gather(*handlers)) == ["version 1", "version 1", "version 2"]


async def test_runs_of_a_process_are_not_unserved_while_it_lives(alone: Stage) -> None:
    gate = asyncio.Event()

    class Held(Workflow):
        @step
        async def hold(self, ev: StartEvent) -> StopEvent:
            await gate.wait()
            return StopEvent()

    handler = alone.flow(Held).run()
    async with open_inspector(alone.settings) as inspector:
        await until_true(lambda: _is_known(inspector, handler.run_id))
        assert await unserved_runs(inspector.broker) == ()
    gate.set()
    await within(handler)


async def test_runs_of_a_workflow_that_nobody_serves_wait_for_their_first_worker(cluster: Stage) -> None:
    cluster.change(audit_ms=50, heartbeat_ms=200, skew_timeout_ms=1)
    await cluster.add_worker(Original)
    handler = cluster.flow(version(1)).run()
    async with open_inspector(cluster.settings) as inspector:
        await until_true(lambda: _is_known(inspector, handler.run_id))
        await asyncio.sleep(0.5)
        view = await inspector.run(handler.run_id)
        assert (view.status, view.unserved_at) == ("running", None)
    await cluster.add_worker(version(1))
    assert await within(handler) == "version 1"


async def _is_unserved(inspector: Inspector, run_id: str) -> bool:
    return await _is_known(inspector, run_id) and (await inspector.run(run_id)).unserved_at is not None


async def _is_known(inspector: Inspector, run_id: str) -> bool:
    return any(one.run_id == run_id for one in await inspector.runs())


async def until_true(question: Callable[[], Awaitable[bool]]) -> None:
    async def asked() -> None:
        for pause_s in repeat(0.02):
            if await question():
                return
            await asyncio.sleep(pause_s)

    await within(asked())
