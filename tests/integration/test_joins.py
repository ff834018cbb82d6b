"""Shapes of fan-outs and joins, as API.md section 10 lists them."""

from __future__ import annotations

from typing import Annotated

import msgpack
import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.collect import Collect, Take
from broker_wf.errors import WorkflowRuntimeError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from tests.integration.stage import Stage, within


class Item(Event):
    n: int


class Big(Item):
    """A derived class."""


class Even(Event):
    n: int


class Odd(Event):
    n: int


class Direct(Event):
    text: str


class Sum(Event):
    total: int


class Unions(Workflow):
    """Members of two classes, made by one step and joined by one."""

    @step
    async def begin(self, ev: StartEvent) -> list[Even | Odd]:
        return [Even(n=n) if n % 2 == 0 else Odd(n=n) for n in range(ev.count)]

    @step
    async def join(self, evs: list[Even | Odd]) -> StopEvent:
        return StopEvent(result=sorted((type(one).__name__, one.n) for one in evs))


class Maybe(Workflow):
    """A list, another event or nothing."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Item] | Direct | None:
        match ev.give:
            case "list":
                return [Item(n=1), Item(n=2)]
            case "empty":
                return []
            case "bare":
                return Direct(text="no fan-out")
            case _:
                ctx.send_event(Direct(text="nothing was opened"))
                return None

    @step
    async def plain(self, ev: Direct) -> StopEvent:
        return StopEvent(result=ev.text)

    @step
    async def join(self, evs: list[Item]) -> StopEvent:
        return StopEvent(result=[one.n for one in evs])


class TwoSources(Workflow):
    """Two fan-outs into one join, which fires for each apart."""

    @step
    async def first(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in (1, 2, 3)]

    @step
    async def second(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in (10, 20)]

    @step
    async def join(self, evs: list[Item]) -> Sum:
        return Sum(total=sum(one.n for one in evs))

    @step
    async def end(self, ctx: Context, ev: Sum) -> StopEvent | None:
        got = ctx.collect_events(ev, [Sum, Sum])
        return None if got is None else StopEvent(result=sorted(one.total for one in got))


class Drops(Workflow):
    """Members that die, are dropped and are late, all in one fan-out."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(10)]

    @step
    async def odd_ones_die(self, ev: Item) -> Even | None:
        return Even(n=ev.n) if ev.n % 2 == 0 else None

    @step
    async def join(self, evs: Annotated[list[Even], Collect(Take(7))]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in evs))


class Derived(Workflow):
    """A join of two parameters that takes derived classes in its slots."""

    @step
    async def one(self, ev: StartEvent) -> Big:
        return Big(n=5)

    @step
    async def other(self, ev: StartEvent) -> Odd:
        return Odd(n=7)

    @step(accept_event_subclasses=True)
    async def join(self, left: Item, right: Odd) -> StopEvent:
        return StopEvent(result=[type(left).__name__, left.n, right.n])


class BothKinds(Workflow):
    """A join of two parameters inside a fan-out pairs its events in order of arrival."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(5)]

    @step
    async def even(self, ev: Item) -> Even:
        return Even(n=ev.n)

    @step
    async def odd(self, ev: Item) -> Odd:
        return Odd(n=10 * ev.n)

    @step
    async def pair(self, left: Even, right: Odd) -> Sum:
        return Sum(total=left.n + right.n)

    @step
    async def join(self, evs: list[Sum]) -> StopEvent:
        return StopEvent(result=[len(evs), sum(one.total for one in evs)])


class Loose(Workflow):
    """Returns whatever it is told to."""

    @step
    async def returns(self, ev: StartEvent) -> StopEvent:
        return ev.get("value")


@pytest.mark.parametrize("count", [0, 1, 7])
async def test_a_fan_out_of_a_union_is_joined_by_a_list_of_the_union(stage: Stage, count: int) -> None:
    flow = await stage.put_on(Unions)
    names = [("Even" if n % 2 == 0 else "Odd", n) for n in range(count)]
    assert [tuple(one) for one in await within(flow.run(count=count))] == sorted(names)


@pytest.mark.parametrize(
    ("give", "result"),
    [("list", [1, 2]), ("empty", []), ("bare", "no fan-out"), ("nothing", "nothing was opened")],
)
async def test_a_step_of_lists_may_give_an_empty_one_or_another_event_or_nothing(
    stage: Stage, give: str, result: object
) -> None:
    flow = await stage.put_on(Maybe)
    got = await within(flow.run(give=give))
    assert (sorted(got) if isinstance(got, list) else got) == result


async def test_two_fan_outs_into_one_join_fire_it_for_each(stage: Stage) -> None:
    assert await within((await stage.put_on(TwoSources)).run()) == [6, 30]


async def test_a_join_that_takes_n_closes_with_the_survivors_where_there_are_fewer(stage: Stage) -> None:
    assert await within((await stage.put_on(Drops)).run()) == [0, 2, 4, 6, 8]


async def test_accept_event_subclasses_holds_for_the_slots_of_a_join(stage: Stage) -> None:
    assert await within((await stage.put_on(Derived)).run()) == ["Big", 5, 7]


async def test_joins_of_several_parameters_work_inside_a_fan_out(stage: Stage) -> None:
    assert await within((await stage.put_on(BothKinds)).run()) == [5, 110]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "Step function returns returned str instead of an Event instance"),
        ([1], "Step function returns returned list instead of an Event instance"),
        (5, "Step function returns returned int instead of an Event instance"),
    ],
)
async def test_what_is_no_event_cannot_be_returned(stage: Stage, value: object, text: str) -> None:
    flow = await stage.put_on(Loose)
    with pytest.raises(WorkflowRuntimeError, match=text):
        await within(flow.run(value=value))


class Idling(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent()

    @step
    async def end(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent()


async def test_a_run_that_idles_with_an_open_fan_out_fails_and_names_it(stage: Stage) -> None:
    stage.change(audit_ms=50)
    handler = (await stage.put_on(Idling)).run()
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    # Work that was lost: nothing the engine does leaves a collection open without any.
    with redis.Redis.from_url(stage.url) as client:
        collection = msgpack.packb({"m": "", "joins": {}, "fired": {}, "r": {}})
        client.hset(stage.keys.of("collections", handler.run_id), "0@ask", collection)
    said = "Workflow is idle but collection streams are still open, so the run can never complete: 0@ask"
    with pytest.raises(WorkflowRuntimeError) as refused:
        await within(handler)
    assert str(refused.value) == said
