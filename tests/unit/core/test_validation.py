# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false
from __future__ import annotations

import pytest

from broker_wf.core.handlers import handler_of
from broker_wf.core.ids import StepName
from broker_wf.core.validation import check_classes, check_graph_check_names, validate
from broker_wf.decorators import catch_error, step
from broker_wf.errors import WorkflowConfigurationError, WorkflowValidationError
from broker_wf.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
)
from tests.unit.definitions import specs


class A(Event):
    pass


class B(Event):
    pass


class C(Event):
    pass


class SubA(A):
    pass


class MyStart(StartEvent):
    pass


class MyStop(StopEvent):
    pass


class Good:
    @step
    async def start(self, ev: StartEvent) -> A: ...

    @step
    async def end(self, ev: A) -> StopEvent: ...


def fault(workflow: type, *skipped: str) -> str:
    with pytest.raises(WorkflowValidationError) as caught:
        validate(specs(workflow), workflow.__name__, skipped)
    return str(caught.value)


def misconfigured(workflow: type) -> str:
    with pytest.raises(WorkflowConfigurationError) as caught:
        validate(specs(workflow), workflow.__name__)
    return str(caught.value)


def test_a_good_workflow_passes() -> None:
    assert validate(specs(Good), "Good") is False
    assert check_classes(specs(Good), "Good") == (StartEvent, StopEvent)


def test_custom_start_and_stop_classes_are_found() -> None:
    class W:
        @step
        async def go(self, ev: MyStart) -> MyStop: ...

    assert check_classes(specs(W), "W") == (MyStart, MyStop)


def test_a_workflow_has_steps() -> None:
    class W:
        pass

    assert misconfigured(W).startswith("Workflow 'W' has no configured steps.")


def test_a_workflow_has_one_start_class_and_one_stop_class() -> None:
    class NoStart:
        @step
        async def go(self, ev: A) -> StopEvent: ...

    class NoStop:
        @step
        async def go(self, ev: StartEvent) -> A: ...

    class TwoStarts:
        @step
        async def go(self, ev: StartEvent | MyStart) -> StopEvent: ...

    class TwoStops:
        @step
        async def go(self, ev: StartEvent) -> StopEvent | MyStop: ...

    assert misconfigured(NoStart).startswith("At least one Event of type StartEvent must be received by any step.")
    assert "'NoStart'" in misconfigured(NoStart)
    assert misconfigured(NoStop).startswith("At least one Event of type StopEvent must be returned by any step.")
    assert misconfigured(TwoStarts) == (
        "Only one type of StartEvent is allowed per workflow, found 2: MyStart, StartEvent in workflow 'TwoStarts'."
    )
    assert "Only one type of StopEvent is allowed per workflow, found 2" in misconfigured(TwoStops)


def test_the_start_class_is_looked_at_before_the_stop_class() -> None:
    class W:
        @step
        async def go(self, ev: A) -> B: ...

    with pytest.raises(WorkflowConfigurationError, match=r"StartEvent"):
        check_classes(specs(W), "W")


def test_a_list_parameter_needs_a_returned_list_producer() -> None:
    class W:
        @step
        async def start(self, ev: StartEvent) -> A | B: ...

        @step
        async def join(self, evs: list[A | B]) -> C: ...

        @step
        async def other(self, them: list[C]) -> StopEvent: ...

    lines = fault(W).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Step 'join' parameter 'evs' collects list[A, B], but no returned-list producer")
    assert lines[1].startswith("Step 'other' parameter 'them' collects list[C]")


def test_the_inputs_of_a_join_arise_on_one_level() -> None:
    class W:
        @step
        async def fan(self, ev: StartEvent) -> list[A]: ...

        @step
        async def emit(self, ev: StartEvent) -> B: ...

        @step
        async def join(self, a: A, b: B) -> StopEvent: ...

    assert "common stream level: 'a' (A) is produced at the stream of step 'fan'; 'b' (B) is produced at the top" in (
        fault(W)
    )


def test_a_join_inside_a_fan_out_and_one_with_a_persons_answer_pass() -> None:
    class Inside:
        @step
        async def fan(self, ev: StartEvent) -> list[A]: ...

        @step
        async def left(self, ev: A) -> B: ...

        @step
        async def right(self, ev: A) -> C: ...

        @step
        async def join(self, b: B, c: C) -> StopEvent: ...

    class Asked:
        @step
        async def start(self, ev: StartEvent) -> A: ...

        @step
        async def join(self, a: A, answer: HumanResponseEvent) -> StopEvent: ...

    class Collected(Inside):
        @step
        async def also(self, evs: list[A]) -> None: ...

    assert validate(specs(Inside), "Inside") is False
    assert validate(specs(Collected), "Collected") is False
    assert validate(specs(Asked), "Asked") is True


def test_no_step_takes_the_stop_event() -> None:
    class One(Good):
        @step
        async def after(self, ev: StopEvent) -> None: ...

    class Two(One):
        @step
        async def too(self, ev: A | StopEvent) -> None: ...

    assert fault(One).startswith("Step 'after' cannot accept StopEvent. StopEvent signals the end of the workflow.")
    assert fault(Two).startswith("Steps 'after', 'too' cannot accept StopEvent.")


def test_what_is_consumed_is_produced_somewhere() -> None:
    class W(Good):
        @step
        async def lost(self, ev: C | B) -> StopEvent: ...

    assert fault(W) == "The following events are consumed but never produced: B, C"


def test_what_is_produced_is_consumed_somewhere() -> None:
    class W(Good):
        @step
        async def end(self, ev: A) -> StopEvent | C | str: ...

    assert fault(W) == "The following events are produced but never consumed: C, str"


def test_a_subclass_is_consumed_only_where_subclasses_are_accepted() -> None:
    class Exact(Good):
        @step
        async def start(self, ev: StartEvent) -> SubA | A: ...

    class Open(Exact):
        @step(accept_event_subclasses=True)
        async def end(self, ev: A) -> StopEvent: ...

    class OnlySub(Open):
        @step
        async def start(self, ev: StartEvent) -> SubA: ...

    assert fault(Exact) == "The following events are produced but never consumed: SubA"
    assert validate(specs(Open), "Open") is False
    assert validate(specs(OnlySub), "OnlySub") is False


def test_a_step_that_accepts_any_event_does_not_take_the_stop_event() -> None:
    class W(Good):
        @step(accept_event_subclasses=True)
        async def log(self, ev: Event) -> None: ...

    assert validate(specs(W), "W") is False
    assert not specs(W)[StepName("log")].accepts(MyStop)


def test_a_person_takes_part_if_asked_or_heard() -> None:
    class Asks(Good):
        @step
        async def end(self, ev: A) -> InputRequiredEvent: ...

        @step
        async def answered(self, ev: HumanResponseEvent) -> StopEvent: ...

    class Hears(Good):
        @step
        async def hear(self, ev: HumanResponseEvent) -> StopEvent: ...

    assert validate(specs(Asks), "Asks") is True
    assert validate(specs(Hears), "Hears") is True


def test_faults_of_handlers_are_all_named() -> None:
    class W(Good):
        @catch_error
        async def one(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error
        async def two(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error(for_steps=["nowhere", "one", "end"])
        async def three(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error(for_steps=["end", "four"])
        async def four(self, ev: StepFailedEvent) -> StopEvent: ...

    assert fault(W).splitlines() == [
        "Only one wildcard @catch_error handler is allowed per workflow, found 2: one, two",
        "@catch_error handler 'three' lists unknown step 'nowhere' in for_steps.",
        "@catch_error handler 'three' cannot cover another handler step 'one'.",
        "Step 'end' is claimed by two @catch_error handlers: 'three' and 'four'.",
        "@catch_error handler 'four' cannot cover another handler step 'four'.",
    ]


def test_a_handler_that_names_the_step_comes_before_the_one_for_all() -> None:
    class W(Good):
        @catch_error
        async def rest(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error(for_steps=["end"])
        async def some(self, ev: StepFailedEvent) -> StopEvent: ...

    found = {name: getattr(handler_of(specs(W), name), "name", None) for name in specs(W)}
    assert found == {"start": "rest", "end": "some", "rest": None, "some": None}
    assert handler_of(specs(Good), StepName("end")) is None
    assert validate(specs(W), "W") is False


class Tangled(Good):
    @step
    async def island(self, ev: B) -> C: ...

    @step
    async def beach(self, ev: C) -> B: ...

    @step
    async def told(self, ev: HumanResponseEvent) -> HumanResponseEvent: ...


class Dangling(Good):
    @step
    async def end(self, ev: A) -> StopEvent | HumanResponseEvent: ...


def test_faults_of_the_graph_are_gathered_with_hints() -> None:
    assert fault(Tangled).splitlines() == [
        "Graph validation failed:",
        "  - [reachability] Unreachable steps: beach, island",
        "    Steps must be reachable from StartEvent or HumanResponseEvent.",
        "  - [dead_end] Dead-end steps: beach, island, told",
        "    Steps must have a path to StopEvent or InputRequiredEvent.",
    ]
    assert fault(Dangling).splitlines()[1:] == [
        "  - [terminal_event] Events produced but never consumed: HumanResponseEvent",
        "    Only StopEvent and InputRequiredEvent may be terminal.",
    ]


def test_graph_checks_can_be_skipped_for_a_workflow_and_for_a_step() -> None:
    class W(Tangled):
        @step(skip_graph_checks=["reachability", "dead_end"])
        async def island(self, ev: B) -> C: ...

    assert "Unreachable" not in fault(Tangled, "reachability")
    assert "Unreachable steps: beach\n" in fault(W)
    assert validate(specs(Tangled), "W", {"reachability", "dead_end"}) is True
    assert validate(specs(Dangling), "W", {"terminal_event"}) is False


def test_a_step_that_returns_only_none_is_no_dead_end() -> None:
    class W(Good):
        @step
        async def log(self, ev: A) -> None: ...

    assert validate(specs(W), "W") is False


def test_unknown_checks_are_all_named() -> None:
    with pytest.raises(WorkflowValidationError, match=r"^Unknown graph check names: nope, reach. Valid names are: "):
        check_graph_check_names({"reach", "nope", "dead_end"})
