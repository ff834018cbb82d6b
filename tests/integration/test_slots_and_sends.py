from __future__ import annotations

import asyncio

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import ContextStateError, RunEndedError, WorkflowRuntimeError, WorkflowTimeoutError
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent
from tests.integration.stage import Stage, until, within


class Left(Event):
    n: int


class Right(Event):
    n: int


class Third(Event):
    n: int


class Pair(Event):
    left: int
    right: int


class Pairs(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Left | Right | None:
        for n in range(ev.pairs):
            ctx.send_event(Left(n=n))
        for n in range(ev.pairs):
            ctx.send_event(Right(n=n))
        return None

    @step
    async def join(self, left: Left, right: Right) -> Pair:
        return Pair(left=left.n, right=right.n)

    @step
    async def end(self, ctx: Context, ev: Pair) -> StopEvent | None:
        async with ctx.store.edit_state() as state:
            state.pairs = [*state.get("pairs", []), [ev.left, ev.right]]
            seen = sorted(state.pairs)
        return StopEvent(result=seen) if len(seen) == 20 else None


class Triple(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Left | Right | Third | None:
        ctx.send_event(Third(n=3))
        ctx.send_event(Left(n=1))
        return Right(n=2)

    @step
    async def join(self, a: Left, ctx: Context, b: Right, c: Third) -> StopEvent:
        return StopEvent(result=[a.n, b.n, c.n])


class Branch(Event):
    n: int


class BranchDone(Event):
    pair: Pair


class JoinInBranches(Workflow):
    """Each inner fan-out fills slots of its own."""

    @step
    async def begin(self, ev: StartEvent) -> list[Branch]:
        return [Branch(n=n) for n in range(12)]

    @step
    async def spread(self, ev: Branch) -> list[Left | Right]:
        return [Left(n=ev.n), Right(n=ev.n)]

    @step
    async def join(self, a: Left, b: Right) -> Pair:
        return Pair(left=a.n, right=b.n)

    @step
    async def inner(self, ev: list[Pair]) -> BranchDone:
        (pair,) = ev
        return BranchDone(pair=pair)

    @step
    async def outer(self, ev: list[BranchDone]) -> StopEvent:
        return StopEvent(result=sorted((one.pair.left, one.pair.right) for one in ev))


class Targets(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Left | None:
        for n in range(60):
            ctx.send_event(Left(n=n), step=["one", "other", None][n % 3])
        return None

    @step
    async def one(self, ev: Left) -> Pair:
        return Pair(left=ev.n, right=1)

    @step
    async def other(self, ev: Left) -> Pair:
        return Pair(left=ev.n, right=2)

    @step
    async def end(self, ctx: Context, ev: Pair) -> StopEvent | None:
        got = ctx.collect_events(ev, [Pair] * 80)
        return None if got is None else StopEvent(result=sorted((one.left, one.right) for one in got))


class WrongTarget(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Left | None:
        ctx.send_event(Left(n=1), step=ev.target)
        return None

    @step
    async def end(self, ev: Left) -> StopEvent:
        return StopEvent(result="not reached")


class Waits(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Left | None:
        ctx.write_event_to_stream(Left(n=0))
        return None

    @step
    async def end(self, ctx: Context, ev: Left) -> StopEvent | None:
        got = ctx.collect_events(ev, [Left] * 5)
        return None if got is None else StopEvent(result=[one.n for one in got])


async def test_a_join_of_two_parameters_fires_once_per_pair_in_order_of_arrival(stage: Stage) -> None:
    flow = await stage.put_on(Pairs)
    assert await within(flow.run(pairs=20)) == [[n, n] for n in range(20)]


async def test_a_join_of_three_parameters_gets_each_where_it_belongs(stage: Stage) -> None:
    flow = await stage.put_on(Triple)
    assert await within(flow.run()) == [1, 2, 3]


async def test_slots_of_one_branch_never_take_events_of_another(stage: Stage) -> None:
    flow = await stage.put_on(JoinInBranches)
    assert await within(flow.run()) == [(n, n) for n in range(12)]


async def test_an_event_sent_to_one_step_reaches_that_step_alone(stage: Stage) -> None:
    flow = await stage.put_on(Targets)
    ones = [(n, 1) for n in range(60) if n % 3 != 1]
    others = [(n, 2) for n in range(60) if n % 3 != 0]
    assert await within(flow.run()) == sorted(ones + others)


@pytest.mark.parametrize(
    ("target", "text"),
    [("nowhere", "Step nowhere does not exist"), ("begin", "Step begin does not accept event of type <class")],
)
async def test_a_step_that_cannot_take_an_event_is_named_where_it_is_sent(stage: Stage, target: str, text: str) -> None:
    flow = await stage.put_on(WrongTarget)
    with pytest.raises(WorkflowRuntimeError, match=text):
        await within(flow.run(target=target))


class SendsToJoin(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Left]:
        return [Left(n=n) for n in range(3)]

    @step
    async def work(self, ctx: Context, ev: Left) -> Right:
        if ev.n == 1:
            ctx.send_event(Right(n=99), step=await ctx.store.get("target", default=None))
        return Right(n=ev.n)

    @step
    async def join(self, ev: list[Right]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in ev))


async def test_an_event_sent_by_call_joins_no_fan_out(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    flow = await stage.put_on(SendsToJoin)
    assert await within(flow.run()) == [0, 1, 2]
    assert "step work sent Right, which join cannot join" in caplog.text


async def test_an_event_cannot_be_sent_to_a_step_that_joins_a_fan_out(stage: Stage) -> None:
    flow = await stage.put_on(SendsToJoin)
    context = Context(flow)
    await context.store.set("target", "join")
    with pytest.raises(WorkflowRuntimeError, match="targeted events"):
        await within(flow.run(ctx=context))


async def test_events_from_outside_reach_the_run_in_order(stage: Stage) -> None:
    handler = (await stage.put_on(Waits)).run()
    for n in range(4):
        handler.ctx.send_event(Left(n=n))
    await within(handler.send_event(Left(n=4), step="end"))
    assert sorted(await within(handler)) == [0, 1, 2, 3, 4]


async def test_an_event_from_outside_for_a_step_that_cannot_take_it_is_refused_at_the_call(stage: Stage) -> None:
    handler = (await stage.put_on(Waits)).run()
    with pytest.raises(WorkflowRuntimeError, match="Step nowhere does not exist"):
        handler.ctx.send_event(Left(n=1), step="nowhere")
    with pytest.raises(WorkflowRuntimeError, match="Step begin does not accept"):
        await handler.send_event(Left(n=1), step="begin")
    await within(handler.cancel_run())


async def test_an_event_for_a_run_that_has_ended_is_refused(stage: Stage) -> None:
    handler = (await stage.put_on(Triple)).run()
    await within(handler)
    with pytest.raises(RunEndedError, match="completed"):
        await within(handler.send_event(Left(n=1)))


async def test_an_event_that_came_too_late_and_that_nobody_asks_after_is_told_of(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    handler = (await stage.put_on(Triple)).run()
    await within(handler)
    handler.ctx.send_event(Left(n=1))
    await until(lambda: "an event was sent in vain" in caplog.text)
    assert f"run {handler.run_id} has already ended: completed" in caplog.text


async def test_a_context_refuses_to_send_before_its_run(stage: Stage) -> None:
    flow = await stage.put_on(Waits)
    with pytest.raises(ContextStateError, match="before workflow started"):
        Context(flow).send_event(Left(n=1))


async def test_a_run_from_outside_can_be_answered_while_it_idles(stage: Stage) -> None:
    handler = (await stage.put_on(Waits)).run()
    seen: list[Event] = []

    async def read() -> None:
        async for event in handler.stream_events():
            seen.append(event)

    reading = asyncio.ensure_future(read())
    await until(lambda: len(seen) == 1)
    for n in range(5):
        await within(handler.send_event(Left(n=n)))
    await within(handler)
    await within(reading)
    assert [type(event) for event in seen] == [Left, StopEvent]


class Meeting(Workflow):
    """Begins with half of a join; the other half comes from outside."""

    @step
    async def meet(self, begun: StartEvent, said: HumanResponseEvent) -> StopEvent:
        return StopEvent(result=[begun.who, said.who])


async def test_a_run_that_begins_with_half_of_a_join_times_out_and_may_be_completed(stage: Stage) -> None:
    with pytest.raises(WorkflowTimeoutError, match="No steps active"):
        await within((await stage.put_on(Meeting, timeout=0.3)).run(who="Ada"))
    handler = stage.flow(Meeting).run(who="Ada")
    await handler.send_event(HumanResponseEvent(who="Bob"))
    assert list(await within(handler)) == ["Ada", "Bob"]


async def test_runs_that_begin_with_half_of_a_join_time_out_one_after_the_other_where_they_wait_for_their_turn(
    stage: Stage,
) -> None:
    flow = await stage.put_on(Meeting, timeout=0.3, num_concurrent_runs=1)
    handlers = [flow.run(who=f"{n}") for n in range(3)]
    for handler in handlers:
        with pytest.raises(WorkflowTimeoutError, match="No steps active"):
            await within(handler)
