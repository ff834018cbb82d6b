"""An event that only this module knows."""

from __future__ import annotations

from broker_wf import Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Elsewhere(Event):
    """Known to the workflow below and to no other."""


class Foreign(Workflow):
    """Takes what nobody else can read."""

    @step
    async def begin(self, ev: StartEvent) -> Elsewhere:
        """Make it."""
        return Elsewhere()

    @step
    async def end(self, ev: Elsewhere) -> StopEvent:
        """Take it."""
        return StopEvent()
