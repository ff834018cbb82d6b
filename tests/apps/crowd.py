"""Runs whose events many listen to at one time."""

from __future__ import annotations

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent

NOTES = 4


class Note(Event):
    number: int


class Go(HumanResponseEvent):
    pass


class Told(Workflow):
    """Tells some things when all listen."""

    @step
    async def tell(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.wait_for_event(Go, timeout=None)
        for number in range(NOTES):
            ctx.write_event_to_stream(Note(number=number))
        return StopEvent()


class Short(Workflow):
    """Ends at once."""

    @step
    async def end(self, ev: StartEvent) -> StopEvent:
        return StopEvent()


FLOWS = [Told(workflow_name="told", timeout=None), Short(workflow_name="short")]
