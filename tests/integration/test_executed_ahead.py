"""Steps that are executed before the commit that hands them their event is sent: fewer scripts, the same outcome."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.again import rerun
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StepState, StepStateChanged, StopEvent
from broker_wf.inspecting import opened_broker
from broker_wf.inspector.inspector import Inspector
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within
from tests.integration.turns import Turn, Turns, acts, attempted, be_patient, calls, once_each, warm

MANY = 40


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


async def test_many_steps_take_few_scripts(cluster: Stage) -> None:
    flow, key = await warm(cluster), cluster.settings.namespace
    before = calls(cluster)
    assert await within(flow.run(key=key, last=MANY)) == MANY
    assert once_each(key, MANY)
    assert calls(cluster) - before < MANY / 2


async def test_each_of_them_is_told_as_if_it_had_been_executed_by_itself(cluster: Stage) -> None:
    flow, key = await warm(cluster), cluster.settings.namespace
    handler = flow.run(key=key)
    assert await within(handler) == 5
    async with opened_broker(cluster.settings) as broker:
        told = await Inspector(broker).steps(handler.run_id)
    assert [(one.step, one.outcome, one.attempt) for one in told] == [
        ("begin", "ok", 1),
        *[("turn", "ok", 1)] * 5,
        ("turn", "ended", 1),
    ]


async def test_the_engines_own_events_tell_of_each(cluster: Stage) -> None:
    flow, key = await warm(cluster), cluster.settings.namespace
    handler = flow.run(key=key)
    told = [event async for event in handler.stream_events(expose_internal=True) if isinstance(event, StepStateChanged)]
    begun = [one.name for one in told if one.step_state is StepState.RUNNING]
    ended = [one.output_event_name for one in told if one.step_state is StepState.NOT_RUNNING]
    assert begun == ["begin", *["turn"] * 6]
    assert [str(one).rpartition(".")[2].rstrip("'>") for one in ended] == [*["Turn"] * 6, "StopEvent"]


async def test_one_that_raises_has_had_one_attempt(cluster: Stage) -> None:
    key, result = await attempted(cluster, at=3, what="raise")
    assert result == 5
    assert [probe.count(key, f"turn {n}") for n in range(6)] == [1, 1, 1, 2, 1, 1]


async def test_one_that_raises_for_good_fails_its_run(cluster: Stage) -> None:
    with pytest.raises(ValueError, match="for good"):
        await attempted(cluster, at=3, what="raise for good")
    assert probe.count(cluster.settings.namespace, "turn 3") == 2


async def test_one_that_waits_for_something_goes_on_under_its_lease(cluster: Stage) -> None:
    key, result = await attempted(cluster, at=3, what="wait")
    assert result == 5
    assert once_each(key, 5)


async def test_a_run_that_ends_while_one_waits_ahead_stops_it(cluster: Stage) -> None:
    flow, key = await warm(cluster), cluster.settings.namespace
    handler = flow.run(key=key, at=3, what="wait long")
    await until(lambda: probe.count(key, "turn 3") == 1)
    await handler.cancel_run()
    await until(lambda: probe.count(key, "cancelled") == 1)


@pytest.mark.parametrize("what", ["wait long and end", "raise for good at the end"])
async def test_one_that_is_refused_its_lease_is_stopped(cluster: Stage, what: str) -> None:
    """The run ends between the claim and the commit."""
    flow, key = await warm(cluster), cluster.settings.namespace
    handler = flow.run(key=key, at=3, what=what)

    def mark(status: str) -> None:
        with redis.Redis.from_url(cluster.url) as client:
            client.hset(cluster.keys.of("run", handler.run_id), "status", status)
        probe.mark(key, status)

    acts[what] = partial(mark, "cancelled")
    await until(lambda: probe.count(key, "cancelled") == (2 if what.startswith("wait") else 1))
    assert probe.count(key, "turn 3") == 1
    await asyncio.sleep(0.1)
    mark("running")
    await handler.cancel_run()


@pytest.mark.parametrize("what", ["wait long and hold up", "raise for good and hold up"])
async def test_a_worker_that_leaves_meanwhile_leaves_nothing_undone(cluster: Stage, what: str) -> None:
    """It hears that the delivery is its own when nobody waits for that any more."""
    flow, key = await warm(cluster), cluster.settings.namespace

    def hold_up() -> None:
        with redis.Redis.from_url(cluster.url) as client:
            client.client_pause(700)

    acts[what] = hold_up
    handler = flow.run(key=key, at=3, what=what)
    await until(lambda: probe.count(key, "turn 3") == 1)
    del acts[what]
    await cluster.stop_worker(cluster.workers[0], 0)
    assert probe.count(key, "cancelled") == (1 if what.startswith("wait") else 0)
    await cluster.add_worker(Turns)
    await until(lambda: probe.count(key, "turn 3") >= 2)
    await handler.cancel_run()


async def test_a_step_that_was_not_quick_after_all_is_not_executed_ahead_again(cluster: Stage) -> None:
    flow, key = await warm(cluster), cluster.settings.namespace
    await within(flow.run(key=key, at=3, what="wait"))
    before = calls(cluster)
    assert await within(flow.run(key=key, last=MANY)) == MANY
    assert calls(cluster) - before >= MANY


class Said(HumanResponseEvent):
    text: str


class Done(Event):
    n: int


class Asks(Workflow):
    """A step has waited for somebody, so that events may be for who waits; what follows is executed in one go."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Turn:
        if ev.get("asks", False):
            await ctx.wait_for_event(Said)
        return Turn(key=ev.key, n=0, last=5, at=3 if ev.get("slow", False) else -1, what="")

    @step
    async def turn(self, ev: Turn) -> Turn | Done:
        probe.mark(ev.key, f"turn {ev.n}")
        if ev.n == ev.at:
            await asyncio.sleep(0.02)
        return Done(n=ev.n) if ev.n == ev.last else Turn(key=ev.key, n=ev.n + 1, last=ev.last, at=ev.at, what="")

    @step
    async def end(self, ev: Done) -> StopEvent:
        return StopEvent(result=ev.n)


@pytest.mark.parametrize("slow", [False, True])
async def test_where_somebody_has_waited_each_is_committed_and_none_executed_twice(cluster: Stage, slow: bool) -> None:
    flow, key = await warm(cluster, Asks), cluster.settings.namespace
    handler = flow.run(key=key, asks=True, slow=slow)
    handler.ctx.send_event(Said(text="go on"))
    assert await within(handler) == 5
    assert once_each(key, 5)


async def test_what_was_executed_in_one_go_can_be_done_again_from_each_of_its_steps(cluster: Stage) -> None:
    flow, key = await warm(cluster, Steps), cluster.settings.namespace
    handler = flow.run(key=key)
    assert await within(handler) == 5
    async with opened_broker(cluster.settings) as broker:
        again = await rerun(broker, handler.run_id, from_step="second")
    assert await within(flow.attach(again)) == 5
    assert probe.marks(key) == ["first", "second", "third", "second", "third"]


class First(Event):
    key: str


class Second(First):
    pass


class Steps(Workflow):
    @step
    async def first(self, ev: StartEvent) -> First:
        probe.mark(ev.key, "first")
        return First(key=ev.key)

    @step
    async def second(self, ev: First) -> Second:
        probe.mark(ev.key, "second")
        return Second(key=ev.key)

    @step
    async def third(self, ev: Second) -> StopEvent:
        probe.mark(ev.key, "third")
        return StopEvent(result=5)
