"""Runs that have ended, done again from a step that they had finished: what came before it is not done again."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, cast

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.again import rerun
from broker_wf.collect import Collect, Take
from broker_wf.errors import NothingToRerunError, RunConflictError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.inspecting import opened_broker
from broker_wf.inspector import Inspector
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Named(Event):
    """What every step has to know: under which name to mark."""

    name: str
    n: int = 0


class First(Named):
    pass


class Second(Named):
    pass


class Third(Named):
    pass


class Other(Named):
    pass


class Last(Named):
    pass


async def again(cluster: Stage, run_id: str, step_name: str, new_id: str | None = None) -> str:
    async with opened_broker(cluster.settings) as broker:
        return await rerun(broker, run_id, from_step=step_name, new_id=new_id)


async def done_from(cluster: Stage, flow: Workflow, run_id: str, step_name: str) -> tuple[Any, dict[str, int]]:
    """The result of a rerun from a step, and what was executed for it."""
    name = cluster.settings.namespace
    before = Counter(probe.marks(name))
    result = await within(flow.attach(await again(cluster, run_id, step_name)))
    return result, dict(Counter(probe.marks(name)) - before)


def ended(cluster: Stage, run_id: str, step_name: str) -> bool:
    """Whether an execution of the step is committed."""
    with redis.Redis.from_url(cluster.url) as client:
        done = cast("list[bytes]", client.hkeys(cluster.keys.of("done", run_id)))
    return any(one.endswith(f"@{step_name}".encode()) for one in done)


class Chain(Workflow):
    """One after the other; the last one fails while it is told to."""

    @step
    async def a(self, ctx: Context, ev: StartEvent) -> First:
        probe.mark(ev.name, "a")
        await ctx.store.set("seen", "a")
        return First(name=ev.name, n=probe.count(ev.name, "a"))

    @step
    async def b(self, ev: First) -> Second:
        probe.mark(ev.name, "b")
        return Second(name=ev.name, n=10 * ev.n + probe.count(ev.name, "b"))

    @step
    async def c(self, ctx: Context, ev: Second) -> StopEvent:
        probe.mark(ev.name, "c")
        if probe.count(ev.name, "breaks") > probe.count(ev.name, "mended"):
            raise ValueError("broken")
        return StopEvent(result=[ev.n, await ctx.store.get("seen")])


async def test_a_step_is_done_again_with_what_follows_and_without_what_came_before(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Chain), cluster.settings.namespace
    handler = flow.run(name=name)
    assert await within(handler) == [11, "a"]
    assert await done_from(cluster, flow, handler.run_id, "b") == ([12, "a"], {"b": 1, "c": 1})
    assert await done_from(cluster, flow, handler.run_id, "c") == ([11, "a"], {"c": 1})
    assert await done_from(cluster, flow, handler.run_id, "a") == ([23, "a"], {"a": 1, "b": 1, "c": 1})


async def test_a_run_that_failed_is_done_again_from_a_step_it_had_finished(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Chain), cluster.settings.namespace
    probe.mark(name, "breaks")
    handler = flow.run(name=name)
    with pytest.raises(ValueError, match="broken"):
        await within(handler)
    probe.mark(name, "mended")
    assert await done_from(cluster, flow, handler.run_id, "b") == ([12, "a"], {"b": 1, "c": 1})
    assert await done_from(cluster, flow, handler.run_id, "c") == ([11, "a"], {"c": 1})


async def test_a_rerun_is_done_again_from_a_step_that_it_did_not_execute_itself(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Chain), cluster.settings.namespace
    probe.mark(name, "breaks")
    handler = flow.run(name=name)
    with pytest.raises(ValueError, match="broken"):
        await within(handler)
    probe.mark(name, "mended")
    for step_name in ("c", "b"):
        second = await again(cluster, handler.run_id, step_name)
        await within(flow.attach(second))
        _, executed = await done_from(cluster, flow, second, "b")
        assert executed == {"b": 1, "c": 1}


async def test_asked_for_again_it_is_the_rerun_there_is(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Chain), cluster.settings.namespace
    handler = flow.run(name=name)
    await within(handler)
    for _ in range(3):
        assert await again(cluster, handler.run_id, "b", "anew") == "anew"
    await within(flow.attach("anew"))
    assert probe.count(name, "b") == 2
    with pytest.raises(RunConflictError):
        await again(cluster, handler.run_id, "c", "anew")
    async with opened_broker(cluster.settings) as broker:
        run = await Inspector(broker).run("anew")
        assert (run.rerun_of, run.status) == (handler.run_id, "completed")


class Spreads(Workflow):
    """Fans out, joins, and goes on behind that; parts are fanned out once more and joined by the first two."""

    @step
    async def spread(self, ev: StartEvent) -> list[First]:
        probe.mark(ev.name, "spread")
        return [First(name=ev.name, n=n) for n in range(3)]

    @step
    async def part(self, ev: First) -> list[Second]:
        probe.mark(ev.name, f"part {ev.n}")
        return [Second(name=ev.name, n=10 * ev.n + k) for k in range(3)]

    @step
    async def piece(self, ev: Second) -> Third:
        probe.mark(ev.name, f"piece {ev.n}")
        return Third(name=ev.name, n=ev.n)

    @step
    async def two(self, evs: Annotated[list[Third], Collect(Take(2))]) -> Other:
        probe.mark(evs[0].name, f"two {evs[0].n // 10}")
        return Other(name=evs[0].name, n=evs[0].n // 10)

    @step
    async def gather(self, evs: list[Other]) -> Named:
        probe.mark(evs[0].name, "gather")
        return Named(name=evs[0].name, n=sum(one.n for one in evs))

    @step
    async def last(self, ev: Named) -> StopEvent:
        probe.mark(ev.name, "last")
        return StopEvent(result=ev.n)


async def test_before_and_inside_fan_outs_what_is_finished_stays_finished(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Spreads), cluster.settings.namespace
    handler = flow.run(name=name)
    assert await within(handler) == 3
    twos = {f"two {n}": 1 for n in range(3)}
    assert await done_from(cluster, flow, handler.run_id, "last") == (3, {"last": 1})
    assert await done_from(cluster, flow, handler.run_id, "gather") == (3, {"gather": 1, "last": 1})
    assert await done_from(cluster, flow, handler.run_id, "two") == (3, {**twos, "gather": 1, "last": 1})
    pieces = {f"piece {10 * n + k}": 1 for n in range(3) for k in range(3)}
    result, executed = await done_from(cluster, flow, handler.run_id, "piece")
    assert (result, executed) == (3, {**pieces, **twos, "gather": 1, "last": 1})
    assert (await done_from(cluster, flow, handler.run_id, "part"))[1]["part 2"] == 1
    assert probe.count(name, "spread") == 1


class Joins(Workflow):
    """Two branches that meet in the slots of one step, and in a buffer of another."""

    @step
    async def start(self, ctx: Context, ev: StartEvent) -> First | Second | None:
        probe.mark(ev.name, "start")
        for n in range(2):
            ctx.send_event(First(name=ev.name, n=n))
        return Second(name=ev.name)

    @step
    async def left(self, ev: First) -> Third:
        probe.mark(ev.name, f"left {ev.n}")
        return Third(name=ev.name, n=ev.n)

    @step(retry_policy=retry_policy(wait=wait_fixed(0.01), stop=stop_after_attempt(2)))
    async def right(self, ctx: Context, ev: Second) -> Other | Last:
        probe.mark(ev.name, "right")
        ctx.send_event(Other(name=ev.name, n=5))
        if ctx.retry_info().retry_number == 0:
            raise ValueError("at first")
        return Last(name=ev.name, n=100)

    @step
    async def collect(self, ctx: Context, ev: Third | Other) -> Named | None:
        found = ctx.collect_events(ev, [Third, Third, Other, Other])
        probe.mark(ev.name, "collected")
        return None if found is None else Named(name=ev.name, n=sum(one.n for one in found))

    @step
    async def meet(self, one: Named, other: Last) -> StopEvent:
        probe.mark(one.name, "meet")
        return StopEvent(result=one.n + other.n)


async def test_what_waits_for_a_step_in_slots_and_buffers_is_there_again(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Joins), cluster.settings.namespace
    handler = flow.run(name=name)
    assert await within(handler) == 111
    for step_name in ("left", "right", "meet"):
        result, executed = await done_from(cluster, flow, handler.run_id, step_name)
        assert result == 111
        assert executed["meet"] == 1
        assert "start" not in executed
        others = {"left": ["right"], "right": ["left 0", "left 1"], "meet": ["right", "left 0", "collected"]}
        assert not set(others[step_name]) & set(executed)


class Question(InputRequiredEvent):
    name: str


class Answer(HumanResponseEvent):
    name: str
    word: str


class Said(HumanResponseEvent):
    name: str
    n: int


class Asks(Workflow):
    """A person answers: one step that waits for it, and another that takes what is said."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> First:
        said = await ctx.wait_for_event(Answer, waiter_event=Question(name=ev.name), waiter_id="q", timeout=None)
        probe.mark(ev.name, "ask")
        await ctx.store.set("word", said.word)
        return First(name=ev.name)

    @step
    async def then(self, ev: First) -> Question | None:
        probe.mark(ev.name, "then")

    @step
    async def take(self, ctx: Context, ev: Said) -> StopEvent:
        probe.mark(ev.name, "take")
        return StopEvent(result=[await ctx.store.get("word"), ev.n])


async def test_what_came_from_outside_is_there_again_and_nobody_is_asked_twice(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Asks), cluster.settings.namespace
    handler = flow.run(name=name)
    async for event in handler.stream_events():
        if isinstance(event, Question):
            await handler.send_event(Answer(name=name, word="yes"))
            break
    # It has begun when it says so; what has not ended when the run does is executed by the rerun.
    await until(lambda: ended(cluster, handler.run_id, "then"))
    await handler.send_event(Said(name=name, n=7))
    assert await within(handler) == ["yes", 7]
    assert await done_from(cluster, flow, handler.run_id, "take") == (["yes", 7], {"take": 1})
    _, executed = await done_from(cluster, flow, handler.run_id, "then")
    assert "ask" not in executed


class Tells(Workflow):
    """One step waits for what another one gives."""

    @step
    async def start(self, ev: StartEvent) -> list[First | Second]:
        return [First(name=ev.name), Second(name=ev.name)]

    @step
    async def give(self, ev: First) -> Answer:
        probe.mark(ev.name, "give")
        return Answer(name=ev.name, word="so")

    @step
    async def wait(self, ctx: Context, ev: Second) -> StopEvent:
        said = await ctx.wait_for_event(Answer, waiter_id="w", timeout=None)
        probe.mark(ev.name, "waited")
        return StopEvent(result=said.word)


async def test_who_waited_for_an_event_of_another_step_is_given_it_again(cluster: Stage) -> None:
    flow, name = (
        await cluster.put_on(Tells, skip_graph_checks=["terminal_event", "dead_end"]),
        cluster.settings.namespace,
    )
    handler = flow.run(name=name)
    assert await within(handler) == "so"
    assert await done_from(cluster, flow, handler.run_id, "wait") == ("so", {"waited": 1})


async def test_a_step_that_did_nothing_is_refused_with_those_that_did(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Chain), cluster.settings.namespace
    handler = flow.run(name=name)
    await within(handler)
    with pytest.raises(NothingToRerunError, match="step 'x' has executed nothing in it; a, b have"):
        await again(cluster, handler.run_id, "x")


async def test_nothing_is_kept_where_it_is_not_wanted_or_of_no_use(cluster: Stage, alone: Stage) -> None:
    cluster.change(keep_steps=False)
    flow = await cluster.put_on(Chain)
    handler = flow.run(name=cluster.settings.namespace)
    await within(handler)
    with pytest.raises(NothingToRerunError, match="BROKER_WF_KEEP_STEPS was off"):
        await again(cluster, handler.run_id, "b")
    inside = (await alone.put_on(Chain)).run(name=alone.settings.namespace)
    await within(inside)
    async with opened_broker(alone.settings) as broker:
        assert await broker.pipe.command("EXISTS", broker.keys.of("kept", inside.run_id)) == 0


class Large(Workflow):
    """Gives more than is kept: at one time, in one event, or as a part of its own."""

    @step
    async def a(self, ev: StartEvent) -> Second | list[First]:
        if ev.what == "many":
            return [First(name=ev.name, n=n) for n in range(600)]
        return Second(name="x" * (600_000 if ev.what == "huge" else 9_000))

    @step
    async def b(self, ev: First) -> Third:
        return Third(name=ev.name)

    @step
    async def gather(self, evs: list[Third]) -> StopEvent:
        return StopEvent()

    @step
    async def c(self, ev: Second) -> StopEvent:
        return StopEvent()


@pytest.mark.parametrize("what", ["many", "large", "huge"])
async def test_of_what_is_large_nothing_is_kept_and_the_refusal_says_so(cluster: Stage, what: str) -> None:
    flow = await cluster.put_on(Large)
    handler = flow.run(name="n", what=what)
    await within(handler)
    with pytest.raises(NothingToRerunError, match="more than 8 KiB or 500 events at once"):
        await again(cluster, handler.run_id, "gather" if what == "many" else "c")
    async with opened_broker(cluster.settings) as broker:
        assert await broker.pipe.command("EXISTS", broker.keys.of("kept", handler.run_id)) == 0
