from __future__ import annotations

from typing import Annotated

import pytest

from broker_wf import Workflow, step
from broker_wf.collect import Collect, Take
from broker_wf.core.ids import EventName, StepName
from broker_wf.core.routing import JoinPlan, Router, SlotRoute, stream_event
from broker_wf.events import Event, StartEvent, StopEvent


class Item(Event):
    pass


class Special(Item):
    pass


class Left(Event):
    pass


class Right(Event):
    pass


class Lonely(Event):
    pass


class Roads(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item] | Left | Right:
        raise NotImplementedError

    @step
    async def one(self, ev: Item) -> Left:
        raise NotImplementedError

    @step(accept_event_subclasses=True)
    async def other(self, ev: Item) -> Right:
        raise NotImplementedError

    @step
    async def pair(self, left: Left, right: Right) -> None:
        raise NotImplementedError

    @step
    async def all_left(self, evs: list[Left]) -> None:
        raise NotImplementedError

    @step
    async def some_right(self, evs: Annotated[list[Right], Collect(Take(2))]) -> StopEvent:
        raise NotImplementedError


@pytest.fixture(scope="module")
def router() -> Router:
    return Roads().program().router


def test_an_event_goes_to_every_step_that_takes_its_class(router: Router) -> None:
    assert router.route(Item).to == ("one", "other")


def test_a_subclass_goes_only_where_subclasses_are_accepted(router: Router) -> None:
    assert router.route(Special).to == ("other",)


def test_an_event_for_one_step_goes_to_no_other(router: Router) -> None:
    assert router.route(Item, StepName("one")).to == ("one",)


def test_an_event_fills_the_slot_of_its_class(router: Router) -> None:
    left, right = router.route(Left).slots, router.route(Right).slots
    assert left == (SlotRoute(step=StepName("pair"), index=1, count=2, event=EventName("Left")),)
    assert right == (SlotRoute(step=StepName("pair"), index=2, count=2, event=EventName("Left")),)


def test_an_event_goes_into_the_collections_of_the_steps_that_take_lists(router: Router) -> None:
    assert router.route(Left).into == ("all_left",)
    assert router.route(Left).to == ()


def test_an_event_that_nobody_takes_has_an_empty_route(router: Router) -> None:
    assert router.route(Lonely).is_empty
    assert not router.route(Item).is_empty


def test_a_route_is_named_as_the_wire_names_the_class(router: Router) -> None:
    assert router.route(Item).name == "Item"


def test_a_route_is_made_once(router: Router) -> None:
    assert router.route(Item) is router.route(Item)


def test_a_step_that_returns_lists_opens_what_the_steps_that_take_them_close(router: Router) -> None:
    assert router.joins_of(StepName("begin")) == (
        JoinPlan(step=StepName("all_left"), take=0, event=EventName("Left")),
        JoinPlan(step=StepName("some_right"), take=2, event=EventName("Right")),
    )


def test_a_step_that_returns_no_list_opens_nothing(router: Router) -> None:
    assert router.joins_of(StepName("one")) == ()


def test_a_join_is_found_in_the_stream_of_its_first_class(router: Router) -> None:
    assert stream_event(router.spec, router.spec.steps[StepName("pair")]) == "Left"
