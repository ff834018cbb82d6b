"""A workflow that carries as much as it is told to, or as deep a value."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Ask(StartEvent):
    """``carrier`` is what carries it."""

    carrier: Literal["event", "sent", "published", "result", "state"]
    size: int = 0
    depth: int = 0


class Carried(Event):
    value: Any


def deep(levels: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


class Large(Workflow):
    @step
    async def begin(self, ctx: Context, ev: Ask) -> Carried | StopEvent | None:
        value = deep(ev.depth) if ev.depth else await asyncio.to_thread(os.urandom, ev.size)
        match ev.carrier:
            case "event":
                return Carried(value=value)
            case "sent":
                ctx.send_event(Carried(value=value))
                return None
            case "published":
                ctx.write_event_to_stream(Carried(value=value))
                return StopEvent(result=len(value))
            case "result":
                return StopEvent(result=value)
            case "state":
                await ctx.store.set("value", value)
                return StopEvent(result=len(await ctx.store.get("value")))

    @step
    async def end(self, ev: Carried) -> StopEvent:
        return StopEvent(result=len(ev.value))


workflows = [Large(timeout=120)]
