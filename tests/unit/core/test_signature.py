# ruff: noqa: UP006, UP035, UP045 - the older spellings are tested too
from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any, List, Optional

import pytest

from broker_wf.collect import All, Cardinality, Collect, Take
from broker_wf.context import Context
from broker_wf.core.ids import StepName
from broker_wf.core.spec import Intake
from broker_wf.decorators import (
    StepConfig,
    step,
    step_config,
)
from broker_wf.errors import WorkflowValidationError
from broker_wf.events import Event, StopEvent
from tests.unit.definitions import specs

if TYPE_CHECKING:
    from collections import OrderedDict as NeverImported


class A(Event):
    pass


class B(Event):
    pass


def config_of(function: Any) -> StepConfig:
    config = step_config(function)
    assert config is not None
    return config


def test_several_event_parameters_are_a_join() -> None:
    class W:
        @step
        async def go(self, one: A, ctx: Context, two: B | None) -> StopEvent: ...

    spec = specs(W)[StepName("go")]
    assert spec.intake is Intake.SLOTS
    assert [(s.parameter, s.types) for s in spec.slots] == [("one", (A,)), ("two", (B,))]
    assert config_of(W.go).collect_params == [("one", A), ("two", B)]
    assert spec.context_parameter == "ctx"


@pytest.mark.parametrize(
    ("annotation", "types", "cardinality"),
    [
        (list[A], (A,), All()),
        (List[A | B], (A, B), All()),
        (Optional[list[A]], (A,), All()),
        (Annotated[list[A], Collect()], (A,), All()),
        (Annotated[list[A], Collect(Take(2))], (A,), Take(2)),
        (Annotated[Optional[list[A]], "note", Collect(Take(2))], (A,), Take(2)),
    ],
)
def test_a_list_of_events_is_a_collection(annotation: Any, types: Any, cardinality: Cardinality) -> None:
    async def go(self: Any, evs: Any) -> StopEvent: ...

    go.__qualname__, go.__annotations__["evs"] = "W.go", annotation

    spec = specs(type("W", (), {"go": step(go)}))[StepName("go")]
    assert (spec.intake, spec.slots[0].types, spec.cardinality) == (Intake.COLLECTION, types, cardinality)
    assert config_of(go).collection_param == ("evs", types)


@pytest.mark.parametrize(
    ("annotation", "returns", "listed", "none"),
    [
        (list[A], (), (A,), False),
        (list[A] | B, (B,), (A,), False),
        (list[A] | None, (), (A,), True),
        (list[A | B], (), (A, B), False),
        (list[A] | A, (A,), (A,), False),
        (list[Optional[A]], (), (A,), False),
        (list[list[A]], (), (A,), False),
        (type(None), (), (), True),
        (None, (), (), True),
    ],
)
def test_a_returned_list_is_told_from_what_is_returned_bare(
    annotation: Any, returns: Any, listed: Any, none: bool
) -> None:
    async def go(self: Any, ev: A) -> Any: ...

    go.__qualname__, go.__annotations__["return"] = "W.go", annotation

    spec = specs(type("W", (), {"go": step(go)}))[StepName("go")]
    assert (spec.returns, spec.list_returns, spec.returns_none) == (returns, listed, none)
    assert config_of(go).is_fan_out is bool(listed)
    assert config_of(go).return_types


def refused(function: Callable[..., Any], **options: Any) -> str:
    function.__qualname__ = "W.go"
    with pytest.raises(WorkflowValidationError) as caught:
        step(**options)(function)
    return str(caught.value)


@pytest.mark.parametrize("name", ["num_workers", "num_workers_per_run"])
@pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
def test_a_number_of_workers_is_a_count(name: str, count: Any) -> None:
    async def go(self: Any, ev: A) -> B: ...

    assert refused(go, **{name: count}) == f"{name} must be an integer greater than 0"


def test_a_timeout_is_positive_and_a_skipped_check_exists() -> None:
    async def go(self: Any, ev: A) -> B: ...

    assert "timeout must be" in refused(go, timeout=0)
    assert "Unknown graph check names: reach" in refused(go, skip_graph_checks=["reach"])


def test_a_step_must_take_an_event() -> None:
    async def nothing(self: Any, n: int, ev: Any, other) -> B: ...  # noqa: ANN001 # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]

    async def mixed(self: Any, ev: A | int) -> B: ...

    async def noted(self: Any, ev: Annotated[A, "note"]) -> B: ...

    for function in (nothing, mixed, noted):
        assert "at least one parameter annotated as type Event" in refused(function)


def test_what_a_step_returns_must_be_annotated() -> None:
    async def go(self: Any, ev: A): ...  # noqa: ANN202

    assert "must be annotated with their type" in refused(go)


def test_a_parameter_of_a_join_has_a_single_event_type() -> None:
    async def go(self: Any, one: A | B, two: B) -> StopEvent: ...

    assert "single event type" in refused(go)


def test_there_is_at_most_one_list_and_no_event_beside_it() -> None:
    async def two(self: Any, one: list[A], two: list[B]) -> StopEvent: ...

    async def mixed(self: Any, one: list[A], two: B) -> StopEvent: ...

    assert "at most one list[E]" in refused(two)
    assert "cannot be combined with other" in refused(mixed)


def test_a_collect_marker_belongs_to_a_list_of_events_with_a_known_cardinality() -> None:
    class Odd(Cardinality):
        pass

    async def bare(self: Any, ev: Annotated[A, Collect()]) -> B: ...

    async def foreign(self: Any, ev: Annotated[list[int], Collect()]) -> B: ...

    async def odd(self: Any, ev: Annotated[list[A], Collect(Odd())]) -> B: ...

    assert "only to collection fan-in" in refused(bare)
    assert "only to collection fan-in" in refused(foreign)
    assert "All() or Take(n)" in refused(odd)


def test_async_iterators_are_refused() -> None:
    async def annotated(self: Any, ev: A) -> AsyncIterator[B]: ...  # pyright: ignore[reportReturnType]

    async def generator(self: Any, ev: A) -> Any:
        yield B()

    for function in (annotated, generator):
        assert "Async-iterator fan-out" in refused(function)


def test_an_annotation_that_cannot_be_resolved_is_named() -> None:
    async def go(self: Any, ev: A, other: NeverImported) -> B: ...

    message = refused(go)
    assert message.startswith("Failed to resolve type annotations for W.go.")
    assert "Missing name: NeverImported" in message
