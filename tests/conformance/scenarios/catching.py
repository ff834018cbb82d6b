"""Handlers for steps that have failed for good."""

from __future__ import annotations

import pytest
from workflows import Workflow, catch_error, step
from workflows.errors import WorkflowValidationError
from workflows.events import Event, StartEvent, StepFailedEvent, StopEvent, WorkflowFailedEvent
from workflows.retry_policy import retry_policy, stop_after_attempt, wait_none

from tests.conformance.play import Play, streamed


class Fetched(Event):
    text: str


class Fragile(Workflow):
    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def fetch(self, ev: StartEvent) -> Fetched:
        raise ConnectionError(f"cannot reach {ev.host}")

    @step
    async def read(self, ev: Fetched) -> StopEvent:
        return StopEvent(result=ev.text)

    @catch_error
    async def recover(self, ev: StepFailedEvent) -> StopEvent:
        told = (ev.step_name, type(ev.exception).__name__, str(ev.exception), ev.attempts, ev.input_event.host)
        return StopEvent(result=told)


async def a_handler_ends_the_run_well(play: Play) -> None:
    flow = await play(Fragile, timeout=20)
    handler = flow.run(host="there")
    events = await streamed(handler)
    assert not any(isinstance(one, WorkflowFailedEvent) for one in events)
    told = tuple(await handler)
    assert told == ("fetch", "ConnectionError", "cannot reach there", 2, "there")


class Scoped(Workflow):
    @step
    async def first(self, ev: StartEvent) -> Fetched:
        if ev.breaks == "first":
            raise ValueError("first broke")
        return Fetched(text="whole")

    @step
    async def second(self, ev: Fetched) -> StopEvent:
        if ev.text == "whole":
            raise ValueError("second broke")
        return StopEvent(result=ev.text)

    @catch_error(for_steps=["first"])
    async def mend_first(self, ev: StepFailedEvent) -> Fetched:
        return Fetched(text="mended")

    @catch_error
    async def mend_any(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result=f"any: {ev.step_name}")


async def a_scoped_handler_goes_before_the_one_for_all(play: Play) -> None:
    flow = await play(Scoped, timeout=20)
    assert await flow.run(breaks="first") == "mended"
    assert await flow.run(breaks="second") == "any: second"


class Stubborn(Workflow):
    @step
    async def always(self, ev: StartEvent | Fetched) -> StopEvent:
        raise ValueError("again")

    @catch_error(max_recoveries=2)
    async def retry_other_way(self, ev: StepFailedEvent) -> Fetched:
        return Fetched(text="once more")


async def a_handlers_budget_is_counted_along_the_lineage(play: Play) -> None:
    flow = await play(Stubborn, timeout=20)
    handler = flow.run()
    last = (await streamed(handler))[-1]
    assert type(last) is WorkflowFailedEvent
    with pytest.raises(ValueError, match="again"):
        await handler


async def two_handlers_for_all_are_refused(play: Play) -> None:
    class Twice(Fragile):
        @catch_error
        async def other(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="Only one wildcard @catch_error handler"):
        (await play(Twice)).run(host="x")


class Checked(Event):
    text: str


class Batch(Workflow):
    @step
    async def spread(self, ev: StartEvent) -> list[Fetched]:
        return [Fetched(text=str(n)) for n in range(4)]

    @step
    async def check(self, ev: Fetched) -> Checked:
        if ev.text == "2":
            raise ValueError("two")
        return Checked(text=ev.text)

    @catch_error
    async def replace(self, ev: StepFailedEvent) -> Checked:
        return Checked(text=f"not {ev.exception}")

    @step
    async def gather(self, ev: list[Checked]) -> StopEvent:
        return StopEvent(result=sorted(one.text for one in ev))


async def what_a_handler_gives_takes_the_failed_members_place(play: Play) -> None:
    flow = await play(Batch, timeout=20)
    assert await flow.run() == ["0", "1", "3", "not two"]
