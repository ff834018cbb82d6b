"""The original's help for tests of workflows."""

from __future__ import annotations

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StepStateChanged, StopEvent
from workflows.testing import WorkflowTestRunner

from tests.conformance.play import Play


class Half(Event):
    text: str


class Tried(Workflow):
    @step
    async def first(self, ctx: Context, ev: StartEvent) -> Half:
        ctx.write_event_to_stream(Half(text="streamed"))
        return Half(text=ev.get("text", "nothing"))

    @step
    async def second(self, ev: Half) -> StopEvent:
        return StopEvent(result=ev.text)


async def a_runner_collects_what_a_run_gives(play: Play) -> None:
    flow = await play(Tried, timeout=20)
    found = await WorkflowTestRunner(flow).run(start_event=StartEvent(text="all"))
    assert str(found.result) == "all"
    assert found.event_types[Half] == 1
    assert found.event_types[StopEvent] == 1
    assert StepStateChanged in found.event_types


async def a_runner_leaves_out_what_is_not_wanted(play: Play) -> None:
    flow = await play(Tried, timeout=20)
    found = await WorkflowTestRunner(flow).run(
        start_event=StartEvent(text="all"), expose_internal=False, exclude_events=[Half]
    )
    assert [type(one) for one in found.collected] == [StopEvent]
