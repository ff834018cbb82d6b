"""What is refused, and in which words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from workflows import Context, Workflow, step
from workflows.errors import (
    ContextStateError,
    WorkflowCancelledByUser,
    WorkflowRuntimeError,
    WorkflowTimeoutError,
    WorkflowValidationError,
)
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent

from tests.conformance.play import Play

BEFORE = "{} requires a running workflow. Call workflow.run() first."
IN_HANDLER = "{} is only available from within step functions."
IN_STEP = "{} is only available from handler code, not from within steps."


class Item(Event):
    pass


class Typed(StartEvent):
    n: int


class Said(HumanResponseEvent):
    pass


async def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """What a call raises, whether at once or when awaited or iterated."""
    try:
        found = call()
        if hasattr(found, "__anext__"):
            found = found.__anext__()
        if hasattr(found, "__await__"):
            await found
    except Exception as error:
        return type(error).__name__, str(error)
    return "nothing", ""


def of_steps(ctx: Context) -> dict[str, Callable[[], Any]]:
    return {
        "collect_events": lambda: ctx.collect_events(Item(), [Item]),
        "wait_for_event": lambda: ctx.wait_for_event(Item),
        "write_event_to_stream": lambda: ctx.write_event_to_stream(Item()),
        "retry_info": lambda: ctx.retry_info(),
    }


def of_handlers(ctx: Context) -> dict[str, Callable[[], Any]]:
    return {"stream_events": lambda: ctx.stream_events(), "running_steps": lambda: ctx.running_steps()}


class Asking(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> InputRequiredEvent:
        texts = {name: list(await refusal(call)) for name, call in of_handlers(ctx).items()}
        texts["unknown"] = list(await refusal(lambda: ctx.send_event(Item(), step="nobody")))
        await ctx.store.set("texts", texts)
        return InputRequiredEvent()

    @step
    async def end(self, ctx: Context, ev: Said) -> StopEvent:
        return StopEvent(result=await ctx.store.get("texts", default=None))


async def each_member_of_a_context_says_where_it_may_be_called(play: Play) -> None:
    flow = await play(Asking, timeout=20)
    fresh = Context(flow)
    for name, call in (of_steps(fresh) | of_handlers(fresh)).items():
        assert await refusal(call) == ("ContextStateError", BEFORE.format(name))
    sent = await refusal(lambda: fresh.send_event(Item()))
    assert sent == ("ContextStateError", "send_event() called before workflow started. Call workflow.run() first.")
    handler = flow.run()
    for name, call in of_steps(handler.ctx).items():
        assert await refusal(call) == ("ContextStateError", IN_HANDLER.format(name))
    unknown = ("WorkflowRuntimeError", "Step nobody does not exist")
    assert await refusal(lambda: handler.send_event(Said(), step="nobody")) == unknown
    assert await refusal(lambda: handler.ctx.send_event(Said(), step="nobody")) == unknown
    wrong = await refusal(lambda: handler.send_event(Said(), step="ask"))
    assert wrong[0] == "WorkflowRuntimeError"
    assert wrong[1].startswith("Step ask does not accept event of type <class '")
    assert wrong[1].endswith("Said'>")
    async for ev in handler.stream_events():
        if isinstance(ev, InputRequiredEvent):
            await handler.send_event(Said())
    texts = await handler
    for name in ("stream_events", "running_steps"):
        assert tuple(texts[name]) == ("ContextStateError", IN_STEP.format(name))
    assert tuple(texts["unknown"]) == unknown


async def a_context_does_not_begin_a_run_while_it_is_running(play: Play) -> None:
    flow = await play(Asking, timeout=20)
    handler = flow.run()
    with pytest.raises(ContextStateError, match="already running"):
        flow.run(ctx=handler.ctx)
    await handler.send_event(Said())
    await handler


class Begins(Workflow):
    @step
    async def begin(self, ev: Typed) -> StopEvent:
        return StopEvent(result=ev.n)


async def a_start_event_that_cannot_be_made_is_refused_at_the_call(play: Play) -> None:
    flow = await play(Begins, timeout=20)
    with pytest.raises(WorkflowRuntimeError) as refused:
        flow.run(n="one")
    told = "Failed creating a start event of type 'Typed' with the keyword arguments: {'n': 'one'}"
    assert str(refused.value) == told
    with pytest.raises(ValueError, match="The 'start_event' argument must be an instance of 'StartEvent'"):
        flow.run(start_event=5)
    assert await flow.run(start_event=Typed(n=1), n=2) == 1


class ReturnsText(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return "text"  # type: ignore[return-value]


async def a_step_that_returns_no_event_is_named(play: Play) -> None:
    flow = await play(ReturnsText, timeout=20)
    with pytest.raises(WorkflowRuntimeError) as refused:
        await flow.run()
    assert str(refused.value) == "Step function begin returned str instead of an Event instance."


class Idles(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent | Item:
        return Item() if ev.get("works") else InputRequiredEvent()

    @step
    async def work(self, ev: Item) -> InputRequiredEvent:
        await asyncio.sleep(20)
        return InputRequiredEvent()

    @step
    async def end(self, ev: Said) -> StopEvent:
        return StopEvent()


async def a_run_that_takes_too_long_names_the_steps_at_work(play: Play) -> None:
    flow = await play(Idles, timeout=0.5)
    with pytest.raises(WorkflowTimeoutError) as refused:
        await flow.run(works=True)
    assert str(refused.value) == "Operation timed out after 0.5 seconds. Currently active steps: work"
    with pytest.raises(WorkflowTimeoutError) as refused:
        await flow.run()
    assert str(refused.value) == "Operation timed out after 0.5 seconds. No steps active"


async def a_run_that_was_cancelled_says_so_to_whoever_awaits_it(play: Play) -> None:
    flow = await play(Idles, timeout=20)
    handler = flow.run()
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    assert handler.is_done()
    await handler.cancel_run()


async def a_number_of_concurrent_runs_that_is_none_is_refused(play: Play) -> None:
    for number in (0, -1, True, 1.5, "2"):
        with pytest.raises(WorkflowValidationError) as refused:
            Begins(num_concurrent_runs=number)  # type: ignore[arg-type]
        assert str(refused.value) == "num_concurrent_runs must be an integer greater than 0 or None"


class Paths(Workflow):
    @step
    async def walk(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("items", [1])
        calls = {
            "missing": lambda: ctx.store.get("x.y"),
            "beyond": lambda: ctx.store.get("items.7"),
            "empty": lambda: ctx.store.set("", 1),
            "deep": lambda: ctx.store.set(".".join(["a"] * 1001), 1),
        }
        texts = {name: list(await refusal(call)) for name, call in calls.items()}
        async with ctx.store.edit_state():
            texts["editing"] = list(await refusal(lambda: ctx.store.set("x", 1)))
        return StopEvent(result=texts)


async def paths_that_lead_nowhere_are_refused_and_so_are_writers_inside_an_edit(play: Play) -> None:
    texts = await (await play(Paths, timeout=20)).run()
    assert texts["missing"] == ["ValueError", "Path 'x.y' not found in state"]
    assert texts["beyond"] == ["ValueError", "Path 'items.7' not found in state"]
    assert texts["empty"] == ["ValueError", "Path cannot be empty"]
    assert texts["deep"] == ["ValueError", "Path length exceeds 1000 segments"]
    assert texts["editing"][0] == "RuntimeError"
    assert "edit_state" in texts["editing"][1]
