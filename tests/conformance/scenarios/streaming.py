"""Events that a run publishes while it goes on."""

from __future__ import annotations

import asyncio

import pytest
from workflows import Context, Workflow, step
from workflows.errors import WorkflowCancelledByUser, WorkflowRuntimeError
from workflows.events import Event, StartEvent, StepState, StepStateChanged, StopEvent, WorkflowCancelledEvent

from tests.conformance.play import Play, streamed


class FirstEvent(Event):
    first_output: str


class ProgressEvent(Event):
    msg: str


class Reporting(Workflow):
    @step
    async def step_one(self, ctx: Context, ev: StartEvent) -> FirstEvent:
        ctx.write_event_to_stream(ProgressEvent(msg="step one is happening"))
        return FirstEvent(first_output="first step complete")

    @step
    async def step_two(self, ctx: Context, ev: FirstEvent) -> StopEvent:
        for token in ev.first_output.split():
            ctx.write_event_to_stream(ProgressEvent(msg=token))
        return StopEvent(result="done")


async def progress_comes_in_order_and_the_stop_event_last(play: Play) -> None:
    flow = await play(Reporting, timeout=20)
    handler = flow.run()
    events = await streamed(handler)
    said = [ev.msg for ev in events if isinstance(ev, ProgressEvent)]
    assert said == ["step one is happening", "first", "step", "complete"]
    assert type(events[-1]) is StopEvent
    assert await handler == "done"


async def a_stream_can_be_read_only_once_to_its_end(play: Play) -> None:
    flow = await play(Reporting, timeout=20)
    handler = flow.run()
    await streamed(handler)
    with pytest.raises(WorkflowRuntimeError, match="All the streamed events have already been consumed"):
        await streamed(handler)


async def reading_goes_on_where_it_was_left(play: Play) -> None:
    flow = await play(Reporting, timeout=20)
    handler = flow.run()
    async for first in handler.stream_events():
        assert first.msg == "step one is happening"
        break
    rest = await streamed(handler, ProgressEvent)
    assert [ev.msg for ev in rest] == ["first", "step", "complete"]


async def internal_events_tell_of_each_step(play: Play) -> None:
    flow = await play(Reporting, timeout=20)
    told = await streamed(flow.run(), StepStateChanged, expose_internal=True)
    states = [(ev.name, ev.step_state) for ev in told if ev.step_state is not StepState.PREPARING]
    assert states == [
        ("step_one", StepState.RUNNING),
        ("step_one", StepState.NOT_RUNNING),
        ("step_two", StepState.RUNNING),
        ("step_two", StepState.NOT_RUNNING),
    ]


class Endless(Workflow):
    @step
    async def wait(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(ProgressEvent(msg="waiting"))
        await asyncio.sleep(60)
        return StopEvent()


async def a_cancelled_run_says_so_in_its_stream(play: Play) -> None:
    flow = await play(Endless, timeout=30)
    handler = flow.run()
    events = []
    async for ev in handler.stream_events():
        events.append(ev)
        if isinstance(ev, ProgressEvent):
            await handler.cancel_run()
    assert type(events[-1]) is WorkflowCancelledEvent
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    assert handler.is_done()
