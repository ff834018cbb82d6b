"""Workflows whose spans OpenTelemetry exports, to the file that ``SPANS`` names; as a program it begins some runs."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from llama_index.observability.otel import LlamaIndexOpenTelemetry
from llama_index_instrumentation.dispatcher import instrument_tags
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent


class Lines(SpanExporter):
    """Each span as a line of JSON."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with Path(os.environ["SPANS"]).open("a") as out:
            out.write("".join(f"{json.dumps(_told(span))}\n" for span in spans))
        return SpanExportResult.SUCCESS


def _told(span: ReadableSpan) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "name": span.name,
        "trace": span.context.trace_id,
        "id": span.context.span_id,
        "parent": span.parent and span.parent.span_id,
        "status": span.status.status_code.name,
        "events": [event.name for event in span.events],
        "attributes": dict(span.attributes or {}),
    }


LlamaIndexOpenTelemetry(span_exporter=Lines(), span_processor="simple").start_registering()


class Item(Event):
    n: int


class Done(Event):
    n: int


class Child(Workflow):
    @step
    async def inner(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.n)


class Parent(Workflow):
    """Fans out, and each branch runs a child."""

    @step
    async def split(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(6)]

    @step
    async def work(self, ev: Item) -> Done:
        await asyncio.sleep(0.2)
        with trace.get_tracer("mine").start_as_current_span("mine"):
            return Done(n=await Child().run(n=ev.n))

    @step
    async def join(self, evs: list[Done]) -> StopEvent:
        return StopEvent(result=sum(ev.n for ev in evs))


class Failing(Workflow):
    @step
    def fail(self, ev: StartEvent) -> StopEvent:
        raise ValueError("no")


class Asking(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.wait_for_event(HumanResponseEvent, waiter_event=Item(n=0))
        return StopEvent()


workflows = [Parent(), Child(), Failing(), Asking()]


async def main() -> None:
    """Two runs at one time below a span of the caller's own; then one that fails and one that waits, below none."""
    with trace.get_tracer("mine").start_as_current_span("caller"), instrument_tags({"customer": "c1"}):
        first, second = Parent().run(), Parent().run()
        await asyncio.gather(first, second)
    await asyncio.gather(Failing().run(), return_exceptions=True)
    asking = Asking().run()
    async for event in asking.stream_events():
        if isinstance(event, Item):
            await asking.send_event(HumanResponseEvent())
    await asking


if __name__ == "__main__":
    asyncio.run(main())
