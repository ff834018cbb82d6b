from __future__ import annotations

from typing import Annotated

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.collect import Collect, Take
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.stage import Stage, within


class Item(Event):
    n: int


class Done(Event):
    n: int


class FanOut(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Done | None:
        return None if ev.n % 10 == 9 else Done(n=ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in ev))


class Barren(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Done | None:
        return None

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=ev)


class FirstThree(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Done | None:
        return Done(n=ev.n) if ev.n < 50 else None

    @step
    async def join(self, ev: Annotated[list[Done], Collect(Take(3))]) -> StopEvent:
        return StopEvent(result=[one.n for one in ev])


class Group(Event):
    name: int
    size: int


class GroupSum(Event):
    name: int
    total: int


class Nested(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Group]:
        return [Group(name=n, size=ev.size) for n in range(ev.groups)]

    @step
    async def spread(self, ev: Group) -> list[Item]:
        return [Item(n=100 * ev.name + n) for n in range(ev.size)]

    @step
    async def work(self, ev: Item) -> Done:
        return Done(n=ev.n)

    @step
    async def inner(self, ev: list[Done]) -> GroupSum:
        return GroupSum(name=min((one.n // 100 for one in ev), default=-1), total=len(ev))

    @step
    async def outer(self, ev: list[GroupSum]) -> StopEvent:
        return StopEvent(result=sorted((one.name, one.total) for one in ev))


class Double(Event):
    n: int


class TwoTakers(Workflow):
    """Every item goes to two steps, and what both make goes to one join."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def once(self, ev: Item) -> Done:
        return Done(n=ev.n)

    @step
    async def again(self, ev: Item) -> Done:
        return Done(n=-ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=(len(ev), sum(one.n for one in ev)))


class TwoJoins(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Done:
        return Done(n=ev.n)

    @step
    async def count(self, ev: list[Done]) -> GroupSum:
        return GroupSum(name=0, total=len(ev))

    @step
    async def total(self, ev: list[Done]) -> GroupSum:
        return GroupSum(name=1, total=sum(one.n for one in ev))

    @step
    async def end(self, ctx: Context, ev: GroupSum) -> StopEvent | None:
        both = ctx.collect_events(ev, [GroupSum] * 2)
        return None if both is None else StopEvent(result=sorted((one.name, one.total) for one in both))


class Longer(Workflow):
    """A branch is followed through whatever it becomes, also through events sent by call."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def double(self, ev: Item) -> Double:
        return Double(n=2 * ev.n)

    @step
    async def work(self, ev: Double) -> Done | Double:
        return Done(n=ev.n) if ev.n >= 100 or ev.n == 0 else Double(n=2 * ev.n)

    @step
    async def join(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=(len(ev), min(one.n for one in ev if one.n)))


def survivors(items: int) -> list[int]:
    return [n for n in range(items) if n % 10 != 9]


@pytest.mark.parametrize("items", [0, 1, 60, 600, 2500])
async def test_a_list_join_gets_what_every_branch_made_once(stage: Stage, items: int) -> None:
    flow = await stage.put_on(FanOut)
    assert await within(flow.run(count=items)) == survivors(items)


@pytest.mark.parametrize("items", [49, 50, 51, 600])
async def test_a_fan_out_larger_than_its_window_goes_through_the_backlog(stage: Stage, items: int) -> None:
    stage.change(dispatch_window=50)
    flow = await stage.put_on(FanOut)
    assert await within(flow.run(count=items)) == survivors(items)


@pytest.mark.parametrize("items", [0, 7, 600])
async def test_a_join_gets_an_empty_list_when_every_branch_dies(stage: Stage, items: int) -> None:
    flow = await stage.put_on(Barren)
    assert await within(flow.run(count=items)) == []


async def test_a_join_that_takes_three_begins_with_the_third(stage: Stage) -> None:
    flow = await stage.put_on(FirstThree)
    taken = await within(flow.run(count=60))
    assert len(taken) == len(set(taken)) == 3
    assert set(taken) <= set(range(60))


@pytest.mark.parametrize("items", [0, 2])
async def test_a_join_that_takes_three_gets_fewer_when_there_are_no_more(stage: Stage, items: int) -> None:
    flow = await stage.put_on(FirstThree)
    assert sorted(await within(flow.run(count=items))) == list(range(items))


@pytest.mark.parametrize("size", [0, 1, 5])
async def test_inner_fan_outs_are_joined_before_the_outer_one(stage: Stage, size: int) -> None:
    flow = await stage.put_on(Nested)
    expected = [(n if size else -1, size) for n in range(12)]
    assert await within(flow.run(groups=12, size=size)) == expected


@pytest.mark.parametrize("window", [1, 2, 3, 20])
async def test_nested_fan_outs_come_through_a_narrow_window(stage: Stage, window: int) -> None:
    stage.change(dispatch_window=window)
    flow = await stage.put_on(Nested)
    assert await within(flow.run(groups=5, size=8)) == [(n, 8) for n in range(5)]


@pytest.mark.parametrize("window", [1, 2, 3, 50])
async def test_events_that_two_steps_take_come_through_a_narrow_window(stage: Stage, window: int) -> None:
    stage.change(dispatch_window=window)
    flow = await stage.put_on(TwoTakers)
    assert await within(flow.run(count=40)) == (80, 0)


@pytest.mark.parametrize("items", [1, 700])
async def test_a_fan_out_whose_items_two_steps_take_is_counted_right(stage: Stage, items: int) -> None:
    flow = await stage.put_on(TwoTakers)
    assert await within(flow.run(count=items)) == (2 * items, 0)


async def test_two_joins_on_one_class_each_get_the_whole_batch(stage: Stage) -> None:
    flow = await stage.put_on(TwoJoins)
    assert await within(flow.run(count=30)) == [(0, 30), (1, 435)]


async def test_a_branch_belongs_to_its_fan_out_whatever_it_becomes(stage: Stage) -> None:
    flow = await stage.put_on(Longer)
    assert await within(flow.run(count=40)) == (40, 100)


async def test_two_joins_come_through_a_window_of_one(stage: Stage) -> None:
    stage.change(dispatch_window=1)
    flow = await stage.put_on(TwoJoins)
    assert await within(flow.run(count=3)) == [(0, 3), (1, 3)]
