"""A workflow that publishes much, in parts; each part tells how long its step took."""

from __future__ import annotations

import time

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Much(StartEvent):
    parts: int
    each: int


class Part(Event):
    first: int
    each: int


class Heard(Event):
    n: int


class Said(Event):
    took_s: float


class Loud(Workflow):
    @step
    async def begin(self, ev: Much) -> list[Part]:
        return [Part(first=n * ev.each, each=ev.each) for n in range(ev.parts)]

    @step(num_workers=1)
    async def speak(self, ctx: Context, ev: Part) -> Said:
        began = time.monotonic()
        for n in range(ev.each):
            ctx.write_event_to_stream(Heard(n=ev.first + n))
        await ctx.store.get("anything", default=None)
        return Said(took_s=time.monotonic() - began)

    @step
    async def join(self, evs: list[Said]) -> StopEvent:
        return StopEvent(result=[one.took_s for one in evs])


workflow = Loud(timeout=600)
