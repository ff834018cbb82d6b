"""A step that does very much by call in one tick."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import Script
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.stage import Stage, within


class Item(Event):
    n: int


class Publishes(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(ev.count):
            ctx.write_event_to_stream(Item(n=n))
        if ev.waits:
            await ctx.store.set("n", ev.count)
        for n in range(ev.count, ev.count + 3):
            ctx.write_event_to_stream(Item(n=n))
        return StopEvent(result="published")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which script was given how many effects, in order."""
    seen: list[tuple[str, int]] = []
    original = Pipe.call

    def call(pipe: Pipe, script: Script, *values: Any) -> Awaitable[object]:
        if script.name == "effect":
            seen.append(("effect", len(values[4])))
        elif script.name == "commit":
            seen.append(("commit", len(values[2]["effects"])))
        return original(pipe, script, *values)

    monkeypatch.setattr(Pipe, "call", call)
    return seen


@pytest.mark.parametrize("waits", [False, True], ids=["sent by the commit", "sent before"])
async def test_effects_of_one_tick_go_out_in_parts_and_in_order(
    stage: Stage, sizes: list[tuple[str, int]], waits: bool
) -> None:
    flow = await stage.put_on(Publishes)
    handler = flow.run(count=1_200, waits=waits)
    assert await within(handler) == "published"
    assert [event.n async for event in handler.stream_events() if isinstance(event, Item)] == list(range(1_203))
    assert max(size for _, size in sizes) <= 500
    assert sum(size for _, size in sizes) == 1_203 + waits
