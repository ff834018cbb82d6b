"""Ways to define a workflow, and what its steps may return, where runs really execute."""

from __future__ import annotations

import logging

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowTimeoutError
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.stage import Stage, within


class Ask(StartEvent):
    question: str


class Base(Event):
    n: int


class Derived(Base):
    more: str


class Hidden(Event):
    n: int


class Echo(Workflow):
    @step
    async def say(self, ev: Ask) -> StopEvent:
        return StopEvent(result=ev.question)


class Undeclared(Workflow):
    """Returns an event of a class that its annotation does not name."""

    @step
    async def begin(self, ev: StartEvent) -> Base | StopEvent:
        undeclared: Event = Hidden(n=4)
        return undeclared if ev.get("declared") is None else Base(n=1)  # pyright: ignore[reportReturnType]

    @step
    async def other(self, ev: Base) -> Hidden:
        return Hidden(n=ev.n)

    @step
    async def end(self, ev: Hidden) -> StopEvent:
        return StopEvent(result=ev.n)


class Exact(Workflow):
    """One step takes exactly the class, the other derived ones too."""

    @step
    async def begin(self, ev: StartEvent) -> Derived | Base | None:
        return Derived(n=ev.n, more="!")

    @step
    async def exact(self, ev: Base) -> StopEvent:
        return StopEvent(result="exact")

    @step(accept_event_subclasses=True)
    async def wide(self, ctx: Context, ev: Base) -> StopEvent:
        return StopEvent(result=f"wide {type(ev).__name__}")


class Silent(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent | None:
        return None


async def test_fields_beside_a_start_event_are_ignored_with_a_warning(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    flow = await stage.put_on(Echo)
    with caplog.at_level(logging.WARNING):
        assert await within(flow.run(start_event=Ask(question="given"), question="beside")) == "given"
    assert "keyword arguments beside start_event are ignored: question" in caplog.text


async def test_classes_of_a_function_work_in_process(alone: Stage) -> None:
    class Local(Event):
        n: int

    class Result(StopEvent):
        n: int

    class Flow(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Local:
            return Local(n=ev.n)

        @step
        async def end(self, ctx: Context, ev: Local) -> Result:
            return Result(n=ev.n + 1)

    result = await within(alone.flow(Flow).run(n=1))
    assert isinstance(result, Result)
    assert result.n == 2


async def test_a_step_added_to_the_class_later_is_part_of_the_next_run(alone: Stage) -> None:
    class Flow(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Base | StopEvent:
            return Base(n=1) if ev.get("far") else StopEvent(result="near")

    flow = alone.flow(Flow, disable_validation=True)
    assert await within(flow.run()) == "near"

    @step(workflow=Flow)
    async def end(ev: Base) -> StopEvent:
        return StopEvent(result=f"far {ev.n}")

    assert await within(flow.run(far=True)) == "far 1"


async def test_a_returned_event_of_an_undeclared_class_is_routed(stage: Stage) -> None:
    flow = await stage.put_on(Undeclared)
    assert await within(flow.run()) == 4


async def test_events_match_by_exact_class_unless_the_step_takes_subclasses(stage: Stage) -> None:
    flow = await stage.put_on(Exact, skip_graph_checks=["reachability"])
    assert await within(flow.run(n=1)) == "wide Derived"


async def test_none_ends_a_branch_and_the_run_goes_on_to_its_time_out(stage: Stage) -> None:
    flow = await stage.put_on(Silent, timeout=0.3)
    with pytest.raises(WorkflowTimeoutError, match=r"Operation timed out after 0\.3 seconds"):
        await within(flow.run())
