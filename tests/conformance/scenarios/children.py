"""Workflows that run others in their steps."""

from __future__ import annotations

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from tests.conformance.play import Play, streamed


class Said(Event):
    text: str


class Child(Workflow):
    @step
    async def say(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Said(text=f"child says {ev.text}"))
        return StopEvent(result=ev.text.upper())


class Parent(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        handler = Child(timeout=10).run(text=ev.text)
        async for event in handler.stream_events():
            if isinstance(event, Said):
                ctx.write_event_to_stream(event)
        return StopEvent(result=await handler)


async def a_step_runs_a_child_and_hands_on_its_stream(play: Play) -> None:
    flow = await play(Parent, timeout=20)
    handler = flow.run(text="tea")
    said = await streamed(handler, Said)
    assert [one.text for one in said] == ["child says tea"]
    assert await handler == "TEA"
