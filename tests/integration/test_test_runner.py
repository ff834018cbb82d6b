"""API.md section 12: WorkflowTestRunner."""

from __future__ import annotations

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StepStateChanged, StopEvent
from broker_wf.testing import WorkflowTestRunner
from tests.integration.stage import Stage, within


class Told(Event):
    text: str


class Loud(Told):
    pass


class Tells(Workflow):
    @step
    async def tell(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("seen", ev.get("text", "nothing"))
        ctx.write_event_to_stream(Told(text="a"))
        ctx.write_event_to_stream(Loud(text="b"))
        return StopEvent(result=ev.get("text"))


class Breaks(Workflow):
    @step
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise ValueError("as ordered")


async def test_the_runner_collects_a_runs_events_and_counts_them_by_class(stage: Stage) -> None:
    runner = WorkflowTestRunner(await stage.put_on(Tells))
    found = await within(runner.run(StartEvent(text="hello"), expose_internal=False))
    assert [type(event) for event in found.collected] == [Told, Loud, StopEvent]
    assert found.event_types == {Told: 1, Loud: 1, StopEvent: 1}
    assert found.result == "hello"
    assert await found.ctx.store.get("seen") == "hello"


async def test_the_runner_collects_internal_events_unless_told_otherwise(stage: Stage) -> None:
    found = await within(WorkflowTestRunner(await stage.put_on(Tells)).run())
    assert found.event_types[StepStateChanged] == 2
    assert found.result is None


async def test_the_runner_leaves_out_the_very_classes_it_is_told_to(alone: Stage) -> None:
    runner = WorkflowTestRunner(await alone.put_on(Tells))
    found = await within(runner.run(exclude_events=[Told, StepStateChanged]))
    assert found.event_types == {Loud: 1, StopEvent: 1}


async def test_the_runner_goes_on_with_a_context(alone: Stage) -> None:
    flow = await alone.put_on(Tells)
    first = await within(WorkflowTestRunner(flow).run(StartEvent(text="one")))
    again = await within(WorkflowTestRunner(flow).run(StartEvent(text="two"), ctx=first.ctx))
    assert again.ctx is first.ctx
    assert await again.ctx.store.get("seen") == "two"


async def test_the_runner_raises_what_the_run_raised(alone: Stage) -> None:
    with pytest.raises(ValueError, match="as ordered"):
        await within(WorkflowTestRunner(await alone.put_on(Breaks)).run())
