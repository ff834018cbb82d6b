"""What a workflow checks before anything runs: its arguments, its classes, what ``run`` is given."""

from __future__ import annotations

from typing import Any

import pytest

from broker_wf import Workflow, step
from broker_wf.errors import WorkflowConfigurationError, WorkflowRuntimeError, WorkflowValidationError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.resource import ResourceManager


class Middle(Event):
    n: int


class Other(Event):
    n: int


class Ask(StartEvent):
    question: str


class Again(StartEvent):
    pass


class Answer(StopEvent):
    pass


class Chain(Workflow):
    @step
    async def first(self, ev: Ask) -> Middle:
        return Middle(n=len(ev.question))

    @step
    async def second(self, ev: Middle) -> Answer:
        return Answer()


class Unmade(Workflow):
    """Takes what nobody makes."""

    @step
    async def first(self, ev: StartEvent) -> StopEvent:
        return StopEvent()

    @step
    async def second(self, ev: Middle) -> StopEvent:
        return StopEvent()


class Unreached(Workflow):
    @step
    async def first(self, ev: StartEvent) -> StopEvent:
        return StopEvent()

    @step
    async def round(self, ev: Middle) -> Other:
        return Other(n=ev.n)

    @step
    async def about(self, ev: Other) -> Middle:
        return Middle(n=ev.n)


class Person(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent()

    @step
    async def hear(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent()


class Counter(Workflow):
    """Refuses positional surprises: a subclass may have arguments of its own."""

    def __init__(self, size: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.size = size

    @step
    async def count(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=self.size)


@pytest.mark.parametrize("number", [0, -1, True, False, 1.5, "2"])
def test_num_concurrent_runs_is_none_or_a_whole_number_from_one(number: Any) -> None:
    with pytest.raises(WorkflowValidationError, match="num_concurrent_runs must be an integer greater than 0 or None"):
        Chain(num_concurrent_runs=number)


def test_arguments_may_be_given_by_position() -> None:
    manager = ResourceManager()
    flow = Chain(1.5, True, True, manager, 2, None, "named", ["dead_end"], None)
    assert flow.workflow_name == "named"
    assert flow.spec.timeout_ms == 1500
    assert flow.spec.num_concurrent_runs == 2


def test_an_unknown_graph_check_is_refused() -> None:
    with pytest.raises(WorkflowValidationError, match="Unknown graph check names: nope"):
        Chain(skip_graph_checks=["dead_end", "nope"])


def test_a_subclass_may_have_arguments_of_its_own() -> None:
    assert Counter(3, timeout=None).spec.timeout_ms is None


def test_the_name_is_that_of_module_and_class_unless_it_is_given() -> None:
    class Local(Chain):
        pass

    assert Chain().workflow_name == f"{__name__}.Chain"
    assert "<locals>.Local" in Local().workflow_name
    assert Chain(workflow_name="mine").workflow_name == "mine"


def test_a_workflow_knows_its_classes_and_its_events() -> None:
    flow = Chain()
    assert (flow.start_event_class, flow.stop_event_class) == (Ask, Answer)
    assert set(flow.events) == {Ask, Middle, Answer}


def test_a_workflow_without_a_start_event_cannot_be_made() -> None:
    class NoStart(Workflow):
        @step
        async def only(self, ev: Middle) -> StopEvent:
            return StopEvent()

    text = "At least one Event of type StartEvent must be received by any step.*NoStart"
    with pytest.raises(WorkflowConfigurationError, match=text):
        NoStart()


def test_a_workflow_without_a_stop_event_cannot_be_made() -> None:
    class NoStop(Workflow):
        @step
        async def only(self, ev: StartEvent) -> Middle:
            return Middle(n=1)

    text = "At least one Event of type StopEvent must be returned by any step.*NoStop"
    with pytest.raises(WorkflowConfigurationError, match=text):
        NoStop()


def test_two_start_classes_are_refused_even_where_validation_is_off() -> None:
    class TwoStarts(Workflow):
        @step
        async def one(self, ev: Ask) -> StopEvent:
            return StopEvent()

        @step
        async def other(self, ev: Again) -> StopEvent:
            return StopEvent()

    with pytest.raises(
        WorkflowConfigurationError, match="Only one type of StartEvent is allowed per workflow, found 2"
    ):
        TwoStarts(disable_validation=True)


def test_two_stop_classes_are_refused() -> None:
    class TwoStops(Workflow):
        @step
        async def one(self, ev: StartEvent) -> Answer | StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowConfigurationError, match="Only one type of StopEvent is allowed per workflow, found 2"):
        TwoStops()


def test_a_function_without_decorator_cannot_be_added() -> None:
    def plain(ev: StartEvent) -> StopEvent:
        return StopEvent()

    with pytest.raises(WorkflowValidationError, match="Step function plain is missing the `@step` decorator"):
        Chain.add_step(plain)


def test_a_step_of_a_name_that_is_taken_cannot_be_added() -> None:
    class Local(Chain):
        pass

    with pytest.raises(WorkflowValidationError, match="A step first is already part of this workflow"):

        @step(workflow=Local)
        async def first(ev: Ask) -> Middle:
            return Middle(n=1)


def test_steps_added_later_are_seen_by_instances_there_are() -> None:
    class Local(Unmade):
        pass

    flow = Local()
    with pytest.raises(WorkflowValidationError, match="consumed but never produced: Middle"):
        flow.validate()

    @step(workflow=Local)
    async def makes(ev: StartEvent) -> Middle:
        return Middle(n=1)

    assert flow.validate() is False
    assert "makes" in flow.spec.steps


def test_validate_says_whether_a_person_takes_part() -> None:
    assert Person().validate() is True
    assert Chain().validate() is False


def test_graph_checks_can_be_switched_off_by_name() -> None:
    with pytest.raises(WorkflowValidationError, match="Graph validation failed:") as told:
        Unreached().validate()
    assert "[reachability] Unreachable steps: " in str(told.value)
    assert "[dead_end] Dead-end steps: " in str(told.value)
    assert Unreached(skip_graph_checks=["reachability", "dead_end"]).validate() is False


def test_a_run_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Chain().run(question="?")


@pytest.mark.parametrize("fields", [{}, {"question": 5}])
async def test_fields_that_make_no_start_event_are_refused_at_the_call(fields: dict[str, Any]) -> None:
    text = "Failed creating a start event of type 'Ask' with the keyword arguments"
    with pytest.raises(WorkflowRuntimeError, match=text):
        Chain().run(**fields)


async def test_what_is_no_start_event_is_refused_at_the_call() -> None:
    wrong: Any = Middle(n=1)
    with pytest.raises(ValueError, match="The 'start_event' argument must be an instance of 'StartEvent'"):
        Chain().run(start_event=wrong)


async def test_a_start_event_in_the_place_of_the_context_is_refused_with_words() -> None:
    wrong: Any = StartEvent()
    with pytest.raises(
        TypeError, match=r"the first argument of run\(\) is a Context, not StartEvent: give run\(start_ev"
    ):
        Chain().run(wrong)


async def test_a_start_event_that_no_step_takes_is_refused_at_the_call() -> None:
    class Closer(Ask):
        pass

    for given in (StartEvent(), Closer(question="?")):
        with pytest.raises(WorkflowRuntimeError) as refused:
            Chain().run(start_event=given)
        name = type(given).__name__
        assert str(refused.value) == f"No step of Chain takes a {name}: it begins with a Ask"


async def test_a_wrong_graph_is_refused_at_the_call_and_each_time() -> None:
    flow = Unmade()
    for _ in range(2):
        with pytest.raises(WorkflowValidationError, match="consumed but never produced: Middle"):
            flow.run()


async def test_an_explicit_validate_validates_though_validation_is_off() -> None:
    with pytest.raises(WorkflowValidationError, match="consumed but never produced: Middle"):
        Unmade(disable_validation=True).validate()
