# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false
from __future__ import annotations

from broker_wf.core.levels import bindings, level_of, levels_by_producer
from broker_wf.decorators import catch_error, step
from broker_wf.events import Event, StartEvent, StepFailedEvent, StopEvent
from tests.unit.definitions import specs


class A(Event):
    pass


class B(Event):
    pass


class C(Event):
    pass


class D(Event):
    pass


class Sub(B):
    pass


class Plain:
    @step
    async def fan(self, ev: StartEvent) -> list[A]: ...

    @step
    async def work(self, ev: A) -> B: ...

    @step
    async def join(self, evs: list[B]) -> StopEvent: ...


class Nested:
    @step
    async def outer(self, ev: StartEvent) -> list[A]: ...

    @step
    async def inner(self, ev: A) -> list[B]: ...

    @step
    async def join_inner(self, evs: list[B]) -> C: ...

    @step
    async def join_outer(self, evs: list[C]) -> StopEvent: ...


def test_members_and_what_becomes_of_them_are_closed_by_the_step_that_takes_their_list() -> None:
    assert levels_by_producer(specs(Plain)) == {"fan": {A, B}}
    assert bindings(specs(Plain)) == {"fan": ("join",)}


def test_an_inner_join_comes_back_to_the_outer_level() -> None:
    assert levels_by_producer(specs(Nested)) == {"outer": {A, C}, "inner": {B}}
    assert bindings(specs(Nested)) == {"outer": ("join_outer",), "inner": ("join_inner",)}


def test_two_joins_on_one_type_are_both_bound() -> None:
    class W(Plain):
        @step
        async def count(self, evs: list[B]) -> StopEvent: ...

    assert bindings(specs(W)) == {"fan": ("join", "count")}


def test_two_producers_may_share_a_join() -> None:
    class W(Plain):
        @step
        async def more(self, ev: StartEvent) -> list[B]: ...

    assert bindings(specs(W)) == {"fan": ("join",), "more": ("join",)}


def test_what_a_producer_returns_bare_stays_on_its_own_level() -> None:
    class W(Plain):
        @step
        async def fan(self, ev: StartEvent) -> list[A] | C: ...

    assert levels_by_producer(specs(W)) == {"fan": {A, B}}
    assert level_of(specs(W), [StartEvent]) == {StartEvent, C, StopEvent}


def test_a_join_that_fans_out_itself_is_followed_to_the_next_join() -> None:
    class W:
        @step
        async def fan(self, ev: StartEvent) -> list[A]: ...

        @step
        async def again(self, evs: list[A]) -> list[B]: ...

        @step
        async def join(self, evs: list[B]) -> C: ...

    assert level_of(specs(W), [StartEvent]) == {StartEvent, C}
    assert bindings(specs(W)) == {"fan": ("again",), "again": ("join",)}


def test_a_loop_of_fan_outs_comes_to_an_end() -> None:
    class W:
        @step
        async def fan(self, ev: StartEvent | B) -> list[A]: ...

        @step
        async def work(self, ev: A) -> B | C: ...

        @step
        async def join(self, evs: list[C]) -> StopEvent: ...

    assert levels_by_producer(specs(W)) == {"fan": {A, B, C}}
    assert bindings(specs(W)) == {"fan": ("join",)}


def test_a_producer_without_a_join_is_bound_to_none() -> None:
    class W:
        @step
        async def fan(self, ev: StartEvent) -> list[A]: ...

    assert bindings(specs(W)) == {"fan": ()}


def test_a_join_that_accepts_subclasses_is_bound_by_them() -> None:
    class W:
        @step
        async def fan(self, ev: StartEvent) -> list[Sub]: ...

        @step(accept_event_subclasses=True)
        async def join(self, evs: list[B]) -> StopEvent: ...

        @step
        async def exact(self, evs: list[B]) -> StopEvent: ...

    assert bindings(specs(W)) == {"fan": ("join",)}


def test_what_a_handler_returns_stands_where_the_step_failed() -> None:
    class W(Plain):
        @catch_error(for_steps=["work"])
        async def scoped(self, ev: StepFailedEvent) -> C: ...

        @catch_error
        async def rest(self, ev: StepFailedEvent) -> D: ...

    assert levels_by_producer(specs(W)) == {"fan": {A, B, C}}
    assert D in level_of(specs(W), [StartEvent])
