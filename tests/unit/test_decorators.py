# ruff: noqa: UP007, UP045 - the older spellings are tested too
from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Optional, Union, get_args

import pytest
from pydantic import BaseModel

from broker_wf.context import Context
from broker_wf.core.graph import GRAPH_CHECKS
from broker_wf.core.ids import StepName
from broker_wf.core.resource_checks import config_problems, resource_problems
from broker_wf.core.spec import Intake
from broker_wf.decorators import (
    StepConfig,
    WorkflowGraphCheck,
    catch_error,
    is_free_function,
    step,
    step_config,
    steps_of,
)
from broker_wf.errors import WorkflowValidationError
from broker_wf.events import Event, StartEvent, StepFailedEvent, StopEvent
from broker_wf.resource import Resource, ResourceConfig, ResourceManager
from broker_wf.retry_policy import retry_policy
from tests.unit.definitions import specs

if TYPE_CHECKING:
    pass


class A(Event):
    pass


class B(Event):
    pass


class State(BaseModel):
    n: int = 0


class Flow:
    """Stands for a workflow class that takes free functions."""

    added: ClassVar[list[Any]] = []

    @classmethod
    def add_step(cls, func: Any) -> None:
        cls.added.append(func)


def config_of(function: Any) -> StepConfig:
    config = step_config(function)
    assert config is not None
    return config


def test_a_plain_step_takes_one_event_and_gives_others() -> None:
    class W:
        @step
        async def go(self, ev: A) -> B | StopEvent | None: ...

    spec = specs(W)[StepName("go")]
    assert (spec.intake, spec.is_async, spec.slots[0].parameter, spec.slots[0].types) == (
        Intake.SINGLE,
        True,
        "ev",
        (A,),
    )
    assert (spec.returns, spec.list_returns, spec.returns_none, spec.foreign_returns) == ((B, StopEvent), (), True, ())
    assert (spec.num_workers, spec.num_workers_per_run, spec.timeout_ms, spec.atomic) == (None, None, None, False)
    assert (spec.retry_policy, spec.context_parameter, spec.catches) == (None, None, False)


def test_a_step_may_take_one_of_several_classes_and_need_not_be_async() -> None:
    class W:
        @step
        def go(self, ev: Union[A, B], other: int = 1) -> Optional[StopEvent]: ...

    spec = specs(W)[StepName("go")]
    assert (spec.is_async, spec.slots[0].types, spec.returns_none) == (False, (A, B), True)
    assert config_of(W.go).accepted_events == [A, B]


def test_a_return_type_that_is_no_event_is_kept_for_validation() -> None:
    class W:
        @step
        async def go(self, ev: A) -> str | list[int]: ...

    assert specs(W)[StepName("go")].foreign_returns == ("str", "int")


def test_the_context_is_recognised_under_any_name_with_and_without_a_state() -> None:
    class W:
        @step
        async def typed(self, c: Context[State], ev: A) -> B: ...

        @step
        async def untyped(self, c: Context, ev: B) -> StopEvent: ...

        @step
        async def optional(self, ev: B, c: Optional[Context[State]] = None) -> StopEvent: ...

    found = {name: (s.context_parameter, s.state_type) for name, s in specs(W).items()}
    assert found == {"typed": ("c", State), "untyped": ("c", None), "optional": ("c", State)}


def test_the_arguments_of_the_decorator_reach_the_spec() -> None:
    policy = retry_policy()

    class W:
        @step(
            num_workers=2,
            retry_policy=policy,
            skip_graph_checks=["reachability"],
            accept_event_subclasses=True,
            num_workers_per_run=1,
            timeout=1.5,
            atomic=True,
        )
        async def go(self, ev: A) -> B: ...

    spec = specs(W)[StepName("go")]
    assert (spec.num_workers, spec.num_workers_per_run, spec.timeout_ms, spec.atomic) == (2, 1, 1500, True)
    assert (spec.retry_policy, spec.skip_graph_checks) == (policy, frozenset({"reachability"}))
    assert spec.accept_event_subclasses


def test_types_of_the_decorating_function_and_class_resolve() -> None:
    class Local(Event):
        pass

    class W:
        class Inner(Event):
            pass

        @step
        async def go(self, ev: Local) -> Inner: ...

        @step(num_workers=1)
        async def on(self, ev: Inner) -> StopEvent: ...

    assert specs(W)[StepName("go")].slots[0].types == (Local,)
    assert specs(W)[StepName("on")].slots[0].types == (W.Inner,)


def test_types_of_a_caller_resolve() -> None:
    class Outer(Event):  # pyright: ignore[reportUnusedClass]
        pass

    def make() -> type:
        class W:
            @step
            async def go(self, ev: Outer) -> StopEvent: ...

        return W

    assert specs(make())[StepName("go")].slots[0].types[0].__name__ == "Outer"


def test_a_callers_variable_does_not_hide_a_global() -> None:
    B = int  # noqa: N806, F841

    def make() -> type:
        class W:
            @step
            async def go(self, ev: A) -> B: ...

        return W

    assert specs(make())[StepName("go")].foreign_returns == ()


def test_a_free_function_is_added_to_its_workflow() -> None:
    @step(workflow=Flow)
    async def free(ev: A) -> StopEvent: ...

    assert Flow.added == [free]
    with pytest.raises(WorkflowValidationError, match=r"^To decorate lonely please pass a workflow class"):

        @step
        async def lonely(ev: A) -> StopEvent: ...


@pytest.mark.parametrize(
    ("name", "expected"),
    [("f", True), ("C.m", False), ("f.<locals>.g", True), ("f.<locals>.C.m", False), ("C.f.<locals>.g", True)],
)
def test_a_free_function_is_told_by_its_qualified_name(name: str, expected: bool) -> None:
    assert is_free_function(name) is expected


def test_an_empty_qualified_name_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        is_free_function("")


def test_a_handler_takes_failures_of_the_steps_it_names_or_of_all() -> None:
    class W:
        @catch_error
        async def rest(self, ev: StepFailedEvent) -> StopEvent: ...

        @catch_error(for_steps=["a"], max_recoveries=2)
        async def some(self, ctx: Context, ev: StepFailedEvent) -> StopEvent: ...

    found = {n: (s.catches, s.handles, s.max_recoveries, s.num_workers_per_run) for n, s in specs(W).items()}
    assert found == {"rest": (True, None, 1, 1), "some": (True, ("a",), 2, 1)}


@pytest.mark.parametrize("options", [{"max_recoveries": 0}, {"for_steps": "a"}, {"for_steps": [1]}])
def test_a_handlers_arguments_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(WorkflowValidationError, match="@catch_error"):
        catch_error(**options)


def test_a_handler_must_take_a_failure() -> None:
    with pytest.raises(WorkflowValidationError, match="'go' must accept StepFailedEvent"):

        class W:  # pyright: ignore[reportUnusedClass]
            @catch_error
            async def go(self, ev: A) -> StopEvent: ...


def test_steps_come_in_order_of_definition_and_bound_to_an_instance() -> None:
    class Base:
        @step
        async def z(self, ev: StartEvent) -> A: ...

        @step
        async def dropped(self, ev: A) -> B: ...

    class Derived(Base):
        async def dropped(self, ev: A) -> B: ...

        @step
        async def a(self, ev: A) -> StopEvent: ...

        @property
        def trap(self) -> int:
            raise AssertionError("looking for steps asks no property")

        helper = 5

    assert list(steps_of(Derived)) == ["z", "a"]
    instance = Derived()
    assert getattr(steps_of(instance)[StepName("z")], "__self__", None) is instance
    assert specs(instance)[StepName("a")].is_async


def test_what_is_no_step_has_no_config() -> None:
    assert step_config(print) is None


def test_the_literal_and_the_graphs_checks_agree() -> None:
    assert get_args(WorkflowGraphCheck) == GRAPH_CHECKS


def get_number() -> int:
    return 7


def test_resources_are_found_and_learn_their_type() -> None:
    number = Resource(get_number)

    class W:
        @step
        async def go(
            self,
            ev: A,
            n: Annotated[int, number],
            limits: Annotated[State, ResourceConfig("limits.json")],
        ) -> StopEvent: ...

    (first, one), (second, other) = specs(W)[StepName("go")].resources
    assert (first, one.resource, one.type_annotation) == ("n", number, int)
    assert (second, other.resource.name, other.type_annotation) == ("limits", "limits.json", State)


async def test_a_factory_may_use_names_of_the_deciding_function() -> None:
    def get_local() -> int:
        return 8

    def get_sum(n: Annotated[int, Resource(get_local)]) -> int:
        return n + 1

    class W:
        @step
        async def go(self, ev: A, n: Annotated[int, Resource(get_sum)]) -> StopEvent: ...

    assert await ResourceManager().get(specs(W)[StepName("go")].resources[0][1].resource) == 9


async def test_faulty_configs_and_resources_are_named_with_step_and_parameter(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps({"n": 1}))
    bad.write_text(json.dumps({"n": "x"}))

    def get_deep(config: Annotated[State, ResourceConfig(str(bad))]) -> int:
        return config.n

    class W:
        @step
        async def go(
            self,
            ev: A,
            ok: Annotated[State, ResourceConfig(str(good))],
            gone: Annotated[State, ResourceConfig("gone.json")],
            deep: Annotated[int, Resource(get_deep)],
            again: Annotated[int, Resource(get_deep)],
        ) -> StopEvent: ...

    problems = config_problems(specs(W))
    assert problems[0] == "In step 'go', parameter 'gone': No such file: gone.json"
    assert len(problems) == 2
    assert problems[1].startswith("In step 'go', parameter 'deep' (")
    assert "get_deep -> " in problems[1]
    made = await resource_problems(specs(W), ResourceManager())
    assert [p.partition(":")[0] for p in made] == [
        "In step 'go', parameter 'gone'",
        "In step 'go', parameter 'deep'",
        "In step 'go', parameter 'again'",
    ]
