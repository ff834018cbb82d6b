"""What becomes of a member of a fan-out on its way changes neither its place in the batch nor how often it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, cast

import msgpack
import pytest
import redis

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.broker.kinds import FIELD, spread
from broker_wf.collect import Collect, Take
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StepFailedEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within

opened: set[str] = set()


class Begin(StartEvent):
    scene: str
    trouble: str


class Outer(Event):
    scene: str
    trouble: str
    n: int


class Item(Event):
    scene: str
    trouble: str
    n: int


class Done(Event):
    n: int


class Middle(Event):
    ns: list[int]


class Reply(HumanResponseEvent):
    n: int


class Members(Workflow):
    """What each workflow here does with an item; some of it goes wrong at first."""

    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def work(self, ctx: Context, ev: Item) -> Done:
        name = f"{ev.scene} {ev.n}"
        probe.mark(name, "begun")
        match ev.trouble:
            case "retry" if ctx.retry_info().retry_number == 0:
                raise ValueError("once")
            case "crash" if probe.count(name, "begun") == 1:
                await asyncio.sleep(60)
            case "duplicate":
                await until(lambda: ev.scene in opened)
            case "wait":
                await ctx.wait_for_event(Reply, requirements={"n": ev.n})
            case "catch_error":
                raise LookupError("always")
            case _:
                pass
        return Done(n=ev.n)

    @catch_error(for_steps=["work"])
    async def rescue(self, ev: StepFailedEvent) -> Done:
        return Done(n=cast(Item, ev.input_event).n)


class Top(Members):
    count = 1

    @step
    async def begin(self, ev: Begin) -> Item:
        return Item(scene=ev.scene, trouble=ev.trouble, n=0)

    @step
    async def end(self, ev: Done) -> StopEvent:
        return StopEvent(result=[ev.n])


class InFanOut(Members):
    count = 4

    @step
    async def begin(self, ev: Begin) -> list[Item]:
        return [Item(scene=ev.scene, trouble=ev.trouble, n=n) for n in range(4)]

    @step
    async def join(self, evs: list[Done]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in evs))


class Nested(Members):
    count = 6

    @step
    async def begin(self, ev: Begin) -> list[Outer]:
        return [Outer(scene=ev.scene, trouble=ev.trouble, n=n) for n in range(3)]

    @step
    async def split(self, ev: Outer) -> list[Item]:
        return [Item(scene=ev.scene, trouble=ev.trouble, n=2 * ev.n + k) for k in range(2)]

    @step
    async def inner(self, evs: list[Done]) -> Middle:
        return Middle(ns=sorted(one.n for one in evs))

    @step
    async def outer(self, evs: list[Middle]) -> StopEvent:
        batches = sorted(one.ns for one in evs)
        assert batches == [[0, 1], [2, 3], [4, 5]]
        return StopEvent(result=[n for ns in batches for n in ns])


class Held(Workflow):
    """Its joins do not end when they are first started."""

    @step
    async def begin(self, ev: Begin) -> list[Item]:
        return [Item(scene=ev.scene, trouble=ev.trouble, n=n) for n in range(9)]

    @step
    async def work(self, ev: Item) -> Done:
        await asyncio.sleep(0.001 * (ev.n % 3))
        return Done(n=ev.n)

    @step
    async def three(self, ctx: Context, evs: Annotated[list[Done], Collect(Take(3))]) -> Middle | None:
        return await self._started(ctx, "three", [one.n for one in evs])

    @step
    async def all(self, ctx: Context, evs: list[Done]) -> Middle | None:
        return await self._started(ctx, "all", [one.n for one in evs])

    @step
    async def end(self, ctx: Context, ev: Middle) -> StopEvent | None:
        got = ctx.collect_events(ev, [Middle, Middle])
        return None if got is None else StopEvent(result=sorted((one.ns for one in got), key=len))

    async def _started(self, ctx: Context, name: str, ns: list[int]) -> Middle:
        scene = await ctx.store.get("scene")
        probe.mark(f"{scene} {name}", repr(ns))
        if len(probe.marks(f"{scene} {name}")) == 1:
            await asyncio.sleep(60)
        return Middle(ns=ns)


def begun(scene: str, count: int) -> bool:
    return all(probe.count(f"{scene} {n}", "begun") >= 1 for n in range(count))


@contextmanager
def raw(stage: Stage) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stage.url) as client:
        yield client


def live(client: redis.Redis, stage: Stage, handler: WorkflowHandler, *steps: str) -> dict[str, dict[str, Any]]:
    """Records of live deliveries of some steps."""
    found = cast("dict[bytes, bytes]", client.hgetall(stage.keys.of("live", handler.run_id)))
    records = {did.decode(): msgpack.unpackb(one, strict_map_key=False, raw=True) for did, one in found.items()}
    named = {did: {k.decode(): v for k, v in one.items()} for did, one in records.items()}
    return {did: one for did, one in named.items() if one["s"].decode() in steps}


def end_leases(stage: Stage, handler: WorkflowHandler, *steps: str) -> None:
    """As if the workers that hold the deliveries of these steps had died."""
    with raw(stage) as client:
        for did in live(client, stage, handler, *steps):
            client.zadd(stage.keys.of("watch"), {f"{handler.run_id}|{did}": 1}, xx=True)


async def repeat_entries(stage: Stage, handler: WorkflowHandler) -> None:
    """Put each entry of the members into its stream once more, and wait until claims have met them all."""
    with raw(stage) as client:
        kind = cast(bytes, client.hget(stage.keys.of("run", handler.run_id), FIELD))
        lane = spread({FIELD: kind})["lane"].decode()
        stream = stage.keys.of("work", lane, "Item")
        there = client.xlen(stream)
        for did in live(client, stage, handler, "work"):
            client.xadd(stream, {"d": f"{handler.run_id}|{did}"})
        client.zadd(stage.keys.of("ready", lane), {"w:Item|work": 0})
        client.rpush(stage.keys.of("bell", lane), "1")
        await until(lambda: client.xlen(stream) == there)


async def nothing(stage: Stage, handler: WorkflowHandler, scene: str, count: int) -> None:
    """What goes wrong mends itself."""


async def crash(stage: Stage, handler: WorkflowHandler, scene: str, count: int) -> None:
    await until(lambda: begun(scene, count))
    end_leases(stage, handler, "work")


async def duplicate(stage: Stage, handler: WorkflowHandler, scene: str, count: int) -> None:
    await until(lambda: begun(scene, count))
    await repeat_entries(stage, handler)
    await repeat_entries(stage, handler)
    opened.add(scene)


async def wait(stage: Stage, handler: WorkflowHandler, scene: str, count: int) -> None:
    await until(lambda: begun(scene, count))
    for n in reversed(range(count)):
        await handler.send_event(Reply(n=n))


TROUBLES: dict[str, Callable[[Stage, WorkflowHandler, str, int], Awaitable[None]]] = {
    "retry": nothing,
    "crash": crash,
    "duplicate": duplicate,
    "wait": wait,
    "catch_error": nothing,
}


@pytest.mark.parametrize("level", [Top, InFanOut, Nested], ids=["top", "in fan-out", "nested"])
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("round_", [1, 2, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(3, 21))])
async def test_each_member_is_joined_exactly_once_whatever_becomes_of_it(
    stage: Stage, round_: int, trouble: str, level: type[Top] | type[InFanOut] | type[Nested]
) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(level)
    handler = flow.run(scene=scene, trouble=trouble)
    await TROUBLES[trouble](stage, handler, scene, level.count)
    assert await within(handler) == list(range(level.count))


async def test_a_join_that_starts_again_gets_the_identical_batch(stage: Stage) -> None:
    scene = stage.settings.namespace
    flow = await stage.put_on(Held)
    context = Context(flow)
    await context.store.set("scene", scene)
    handler = flow.run(ctx=context, scene=scene, trouble="none")
    await until(lambda: bool(probe.marks(f"{scene} all") and probe.marks(f"{scene} three")))
    end_leases(stage, handler, "all", "three")
    taken, everything = await within(handler)
    assert len(taken) == 3
    assert sorted(everything) == list(range(9))
    assert probe.marks(f"{scene} three") == [repr(taken)] * 2
    assert probe.marks(f"{scene} all") == [repr(everything)] * 2
