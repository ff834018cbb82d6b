"""Spans and events for the handlers of ``llama_index_instrumentation``."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import llama_index_instrumentation as instrumentation
import pytest
from llama_index_instrumentation.dispatcher import active_instrument_tags, instrument_tags
from llama_index_instrumentation.event_handlers.base import BaseEventHandler
from llama_index_instrumentation.span import active_span_id
from llama_index_instrumentation.span.base import BaseSpan
from llama_index_instrumentation.span_handlers.base import BaseSpanHandler

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowCancelledByUser
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


@dataclass
class Seen:
    """What the handlers were told, by whichever thread."""

    opened: dict[str, tuple[str | None, dict[str, Any]]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    restored: list[Any] = field(default_factory=list)

    def ids(self, name: str) -> list[str]:
        """The spans of this name, in the order in which they were opened."""
        return [one for one in self.opened if re.fullmatch(rf"(.*\.)?{re.escape(name)}-[0-9a-f-]{{36}}", one)]


_told: list[Seen] = []


def told() -> Seen:
    """What the handlers of this test were told."""
    return _told[-1]


class Spans(BaseSpanHandler[BaseSpan]):
    def new_span(
        self,
        id_: str,
        bound_args: Any,
        instance: Any = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BaseSpan:
        told().opened[id_] = (parent_span_id, dict(tags or {}))
        return BaseSpan(id_=id_, parent_id=parent_span_id)

    def prepare_to_exit_span(self, id_: str, *args: Any, **kwargs: Any) -> BaseSpan:
        told().closed[id_] = "exit"
        return self.open_spans[id_]

    def prepare_to_drop_span(self, id_: str, *args: Any, **kwargs: Any) -> BaseSpan:
        told().closed[id_] = "drop"
        return self.open_spans[id_]

    def capture_propagation_context(self) -> dict[str, Any]:
        return {"mine": {"below": active_span_id.get()}}

    def restore_propagation_context(self, context: dict[str, Any]) -> None:
        told().restored.append(context["mine"])


class Events(BaseEventHandler):
    def handle(self, event: Any, **kwargs: Any) -> None:
        text = getattr(event, "output", None) or getattr(event, "reason", None) or getattr(event, "err_str", "")
        told().events.append((event.class_name(), text, event.tags.get("llamaindex.run_id", "")))


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Handlers for as long as a test lasts."""
    found, dispatcher = Seen(), instrumentation.get_dispatcher()
    before = list(dispatcher.span_handlers), list(dispatcher.event_handlers)
    dispatcher.span_handlers = [*before[0], Spans()]
    dispatcher.event_handlers = [*before[1], Events()]
    _told.append(found)
    yield found
    dispatcher.span_handlers, dispatcher.event_handlers = before


class Item(Event):
    n: int


class Traced(Workflow):
    @step
    async def first(self, ctx: Context, ev: StartEvent) -> Item:
        probe.mark(ev.name, f"{active_span_id.get()} {active_instrument_tags.get()['mine']}")
        return Item(n=2)

    @step
    def second(self, ev: Item) -> StopEvent:
        assert threading.current_thread() is not threading.main_thread()
        assert str(active_span_id.get()).startswith("Traced.second-")
        return StopEvent(result="done")


class Failing(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise ValueError("no")


class Slow(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        probe.mark(ev.name, "begun")
        if ev.how == "waits":
            await ctx.wait_for_event(HumanResponseEvent)
        else:
            await asyncio.sleep(60)
        return StopEvent()


async def test_a_run_has_a_span_and_each_execution_one_below_it(stage: Stage, seen: Seen) -> None:
    flow, name = await stage.put_on(Traced), stage.settings.namespace
    with instrument_tags({"mine": "tag"}):
        handler = flow.run(name=name)
    assert await within(handler) == "done"
    run, first, second = (seen.ids(one) for one in ("Traced.run", "Traced.first", "Traced.second"))
    assert (len(run), len(first), len(second)) == (1, 1, 1)
    assert seen.opened[first[0]][0] == seen.opened[second[0]][0] == run[0]
    assert seen.closed == dict.fromkeys((*run, *first, *second), "exit")
    assert probe.marks(name) == [f"{first[0]} tag"]
    assert seen.opened[run[0]][1] == {
        "mine": "tag",
        "llamaindex.run_id": handler.run_id,
        "llamaindex.start_event": f"StartEvent(name='{name}')",
    }
    assert seen.opened[second[0]][1] == {
        "mine": "tag",
        "llamaindex.run_id": handler.run_id,
        "llamaindex.step.input_event": "Item",
        "llamaindex.step.input_summary": "Item(n=2)",
    }
    assert seen.restored == [{"below": run[0]}] * 2, "what handlers captured at run() is restored for each execution"
    assert [(name, text) for name, text, run_id in seen.events if run_id == handler.run_id] == [
        ("step.output", "Item(n=2)"),
        ("step.output", "StopEvent(result='done')"),
        ("workflow.output", "StopEvent(result='done')"),
    ]


async def test_a_failure_drops_the_spans_of_its_step_and_its_run(stage: Stage, seen: Seen) -> None:
    with pytest.raises(ValueError, match="no"):
        await within((await stage.put_on(Failing)).run())
    assert seen.closed == dict.fromkeys((*seen.ids("Failing.begin"), *seen.ids("Failing.run")), "drop")
    assert [(name, text) for name, text, _ in seen.events] == [("SpanDropEvent", "no")] * 2


async def test_a_cancellation_closes_the_spans_as_cancelled(stage: Stage, seen: Seen) -> None:
    flow, name = await stage.put_on(Slow), stage.settings.namespace
    handler = flow.run(name=name, how="sleeps")
    await until(lambda: probe.count(name, "begun") == 1)
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await within(handler)
    await until(lambda: len(seen.closed) == 2)
    assert set(seen.closed.values()) == {"exit"}
    said = sorted((name, text) for name, text, _ in seen.events)
    assert said == [("SpanCancelledEvent", "step cancelled"), ("SpanCancelledEvent", "workflow cancelled by user")]


async def test_a_wait_closes_the_span_and_the_next_start_has_another(stage: Stage, seen: Seen) -> None:
    flow, name = await stage.put_on(Slow), stage.settings.namespace
    handler = flow.run(name=name, how="waits")
    await until(lambda: len(seen.closed) == 1)
    await handler.send_event(HumanResponseEvent())
    await within(handler)
    assert len(seen.ids("Slow.begin")) == 2
    assert set(seen.closed.values()) == {"exit"}


async def test_without_handlers_no_run_carries_anything(cluster: Stage) -> None:
    handler = (await cluster.put_on(Failing)).run()
    with pytest.raises(ValueError, match="no"):
        await within(handler)
    broker = await handler._run.broker()  # pyright: ignore[reportPrivateUsage]
    assert await broker.pipe.command("HEXISTS", cluster.keys.of("run", handler.run_id), "trace") == 0
