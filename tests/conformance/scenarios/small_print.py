"""What few programs rely on, and some do."""

from __future__ import annotations

import asyncio
import contextvars
import re

import pytest
from workflows import Context, Workflow, step
from workflows.errors import WorkflowValidationError
from workflows.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    UnhandledEvent,
    WorkflowIdleEvent,
)

from tests.conformance.play import Play, streamed


class Item(Event):
    n: int = 0


class Left(Event):
    pass


class Met(Event):
    pass


class Sends(Workflow):
    """Sends a question, which is not the same as returning one."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> InputRequiredEvent | None:
        ctx.send_event(InputRequiredEvent(asked="by call"))
        return InputRequiredEvent(asked="returned")

    @step
    async def end(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent(result="answered")


async def a_question_is_published_when_it_is_returned_and_never_called_unhandled(play: Play) -> None:
    flow = await play(Sends, timeout=20)
    handler = flow.run()
    asked, unhandled = [], []
    async for ev in handler.stream_events(expose_internal=True):
        if isinstance(ev, UnhandledEvent):
            unhandled.append(ev)
        if isinstance(ev, InputRequiredEvent):
            asked.append(ev.asked)
        if isinstance(ev, WorkflowIdleEvent):
            await handler.send_event(HumanResponseEvent())
    assert (asked, unhandled) == (["returned"], [])
    assert await handler == "answered"


kept = contextvars.ContextVar("kept", default="nothing")


class Threaded(Workflow):
    @step
    def one(self, ctx: Context, ev: StartEvent) -> Item:
        assert Context.get_step_context() is ctx
        kept.set("in the thread")
        return Item(n=3)

    @step
    async def two(self, ev: Item) -> StopEvent:
        return StopEvent(result=[ev.n, kept.get()])


async def a_step_that_is_no_coroutine_runs_in_a_thread_with_a_copy_of_the_context(play: Play) -> None:
    flow = await play(Threaded, timeout=20)
    assert list(await flow.run()) == [3, "nothing"]


class OwnStart(StartEvent):
    n: int = 4


class OwnBegin(Workflow):
    @step
    async def begin(self, ev: OwnStart) -> StopEvent:
        return StopEvent(result=ev.n)


async def a_run_has_an_id_of_ten_letters_and_digits_or_the_one_it_is_given(play: Play) -> None:
    flow = await play(OwnBegin, timeout=20)
    first, second = flow.run(), flow.run(n=5)
    assert re.fullmatch("[A-Za-z0-9]{10}", first.run_id)
    assert first.run_id != second.run_id
    assert [await first, await second] == [4, 5]
    named = flow.run(run_id=f"small-print-{first.run_id}", n=6)
    assert named.run_id == f"small-print-{first.run_id}"
    assert await named == 6


async def a_handler_names_its_run_and_its_result(play: Play) -> None:
    flow = await play(OwnBegin, timeout=20)
    handler = flow.run(n=1)
    await handler
    assert "OwnBegin" in str(handler)
    assert handler.run_id in str(handler)
    assert "1" in str(handler)


async def a_step_added_later_is_validated_before_the_next_run(play: Play) -> None:
    class Growing(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

    flow = Growing()
    assert flow.validate() is False

    @step(workflow=Growing)
    async def loose(ev: Item) -> StopEvent:
        return StopEvent()

    with pytest.raises(WorkflowValidationError, match="consumed but never produced: Item"):
        flow.run()


class Ends(Workflow):
    """One step ends the run while another is at work."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | Left | None:
        ctx.send_event(Item(n=1))
        ctx.send_event(Left())
        return None

    @step
    async def slow(self, ctx: Context, ev: Item) -> StopEvent:
        await asyncio.sleep(60)
        ctx.write_event_to_stream(Met())
        return StopEvent(result="slow")

    @step
    async def quick(self, ev: Left) -> StopEvent:
        return StopEvent(result="quick")


async def nothing_of_a_run_comes_after_its_stop_event(play: Play) -> None:
    flow = await play(Ends, timeout=20)
    handler = flow.run()
    events = await streamed(handler)
    assert [type(ev) for ev in events] == [StopEvent]
    assert await handler == "quick"
    assert (await handler.stop_event_result()).result == "quick"
    assert handler.get_stop_event().result == "quick"
