from __future__ import annotations

import sys
import types
from dataclasses import replace

import pytest
from pydantic import BaseModel

from broker_wf.context import Context
from broker_wf.context.state_store import DictState
from broker_wf.core.class_names import class_path, qualified_name
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.spec import WorkflowSpec
from broker_wf.core.spec_builder import build_spec, event_names, events_of, state_type
from broker_wf.decorators import step
from broker_wf.errors import WorkflowConfigurationError, WorkflowValidationError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from tests.unit.definitions import specs


class A(Event):
    pass


class Other:
    class A(Event):
        pass

    class HumanResponseEvent(Event):
        pass


class Parent(BaseModel):
    n: int = 0


class Child(Parent):
    m: int = 0


class Flow:
    @step
    async def fan(self, ctx: Context[Parent], ev: StartEvent) -> list[A]: ...

    @step
    async def join(self, ctx: Context[Child], evs: list[A]) -> StopEvent: ...


def built(workflow: type, timeout: float | None = 45.0) -> WorkflowSpec:
    return build_spec(name="flow", class_path=class_path(workflow), steps=specs(workflow), timeout=timeout)


def test_the_spec_of_a_workflow_has_what_follows_from_its_steps() -> None:
    spec = built(Flow)
    assert (spec.name, spec.class_path) == ("flow", f"{__name__}:Flow")
    assert (spec.start_class, spec.stop_class, spec.timeout_ms) == (StartEvent, StopEvent, 45_000)
    assert (spec.state_type, spec.bindings) == (Child, {"fan": ("join",)})
    assert spec.names == {StartEvent: "StartEvent", A: "A", StopEvent: "StopEvent"}


@pytest.mark.parametrize(("timeout", "expected"), [(None, None), (float("inf"), None), (0.0015, 2), (1, 1000)])
def test_a_timeout_becomes_milliseconds(timeout: float | None, expected: int | None) -> None:
    assert built(Flow, timeout).timeout_ms == expected


def test_a_workflow_without_a_start_has_no_spec() -> None:
    class Bad:
        @step
        async def go(self, ev: A) -> StopEvent: ...

    with pytest.raises(WorkflowConfigurationError, match=r"Workflow 'Bad' has no @step that accepts StartEvent"):
        built(Bad)


def test_classes_that_share_a_name_are_called_by_their_qualified_names() -> None:
    assert event_names([A, Other.A, StartEvent]) == {
        A: f"{__name__}.A",
        Other.A: f"{__name__}.Other.A",
        StartEvent: "StartEvent",
    }


def test_an_event_named_like_one_of_the_librarys_is_called_by_its_qualified_name() -> None:
    assert event_names([Other.HumanResponseEvent]) == {Other.HumanResponseEvent: f"{__name__}.Other.HumanResponseEvent"}
    assert event_names([HumanResponseEvent, InputRequiredEvent])[HumanResponseEvent] == "HumanResponseEvent"


def test_two_classes_that_cannot_be_told_apart_are_refused() -> None:
    def make() -> type[Event]:
        class Twin(Event):
            pass

        return Twin

    with pytest.raises(WorkflowValidationError, match=r"both called .*Twin"):
        event_names([make(), make()])


def test_each_event_of_the_signatures_is_listed_once() -> None:
    assert events_of(specs(Flow)) == [StartEvent, A, StopEvent]


def test_the_most_derived_state_counts() -> None:
    class Untyped:
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent: ...

    class Explicit(Untyped):
        @step
        async def other(self, ctx: Context[DictState], ev: StartEvent) -> StopEvent: ...

    assert state_type(specs(Flow)) is Child
    assert state_type(specs(Untyped)) is DictState
    assert state_type(specs(Explicit)) is DictState


def test_states_that_do_not_derive_from_each_other_are_refused() -> None:
    class Stranger(BaseModel):
        pass

    class W(Flow):
        @step
        async def odd(self, ctx: Context[Stranger], ev: A) -> StopEvent: ...

    with pytest.raises(ValueError, match=r"not in a compatible inheritance hierarchy.* Child, Parent, Stranger"):
        built(W)


def test_the_digest_tells_graphs_apart_and_nothing_else() -> None:
    spec = built(Flow)
    assert spec.digest == built(Flow, timeout=1).digest

    class Changed(Flow):
        @step
        async def extra(self, ev: A) -> StopEvent: ...

    assert replace(built(Changed), class_path=spec.class_path).digest != spec.digest


def test_a_class_of_the_main_module_has_the_modules_importable_name(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = type("Flow", (), {"__module__": "__main__"})
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert qualified_name(cls) == "__main__.Flow"
    main.__file__ = "/somewhere/app.py"
    assert (qualified_name(cls), class_path(cls)) == ("app.Flow", "app:Flow")
    main.__spec__ = types.SimpleNamespace(name="pkg.tool.__main__")  # pyright: ignore[reportAttributeAccessIssue]
    assert class_path(cls) == "pkg.tool.__main__:Flow"
    assert qualified_name(A) == f"{__name__}.A"


def test_an_event_goes_to_every_step_that_takes_it_under_its_name() -> None:
    spec = built(Flow)
    assert [s.name for s in spec.acceptors(StartEvent)] == ["fan"]
    assert spec.acceptors(Other.A) == ()
    assert (spec.name_of(A), spec.name_of(InputRequiredEvent)) == ("A", "InputRequiredEvent")


async def test_the_system_clock_goes_on() -> None:
    clock: Clock = SystemClock()
    before, wall = clock.monotonic_ms(), clock.now_ms()
    await clock.sleep_ms(2)
    await clock.sleep_ms(-1)
    assert clock.monotonic_ms() - before >= 1
    assert clock.now_ms() >= wall > 1_600_000_000_000
