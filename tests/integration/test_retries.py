from __future__ import annotations

import asyncio

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import StepTimeoutError, WorkflowRuntimeError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.retry_policy import (
    retry_if_exception_type,
    retry_policy,
    stop_after_attempt,
    stop_after_delay,
    wait_chain,
    wait_fixed,
    wait_none,
)
from tests.integration.probe import probe
from tests.integration.stage import Stage, within


class Odd(Exception):
    """An exception of the user's own."""


class TwoParts(Exception):
    """One that cannot be built from its text alone."""

    def __init__(self, part: str, other: int) -> None:
        super().__init__(f"{part} and {other}")


class Seen(Event):
    number: int
    error: str
    waited: bool
    when: bool


class Counted(Event):
    n: int


class Flaky(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(0.05), stop=stop_after_attempt(3)))
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        info = ctx.retry_info()
        ctx.write_event_to_stream(
            Seen(
                number=info.retry_number,
                error=repr(info.last_exception),
                waited=info.elapsed_seconds >= 0.05 * info.retry_number,
                when=info.last_failed_at is not None,
            )
        )
        if info.retry_number < ev.fails:
            raise Odd(f"attempt {info.retry_number}")
        return StopEvent(result=info.retry_number)


class AtOnce(Workflow):
    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(20)))
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ctx.retry_info().retry_number < 15:
            raise ValueError("again")
        return StopEvent(result=ctx.retry_info().retry_number)


class Picky(Workflow):
    @step(retry_policy=retry_policy(retry=retry_if_exception_type(OSError), wait=wait_none()))
    async def begin(self, ev: StartEvent) -> StopEvent:
        probe.mark(ev.name, "begun")
        raise TwoParts("not worth it", 2)


class InParallel(Workflow):
    """Every branch of a fan-out fails once; the join gets each once."""

    @step
    async def begin(self, ev: StartEvent) -> list[Seen]:
        return [Seen(number=n, error="", waited=False, when=False) for n in range(40)]

    @step(retry_policy=retry_policy(wait=wait_chain(wait_none(), wait_fixed(0.02)), stop=stop_after_attempt(4)))
    async def work(self, ctx: Context, ev: Seen) -> Event:
        if ctx.retry_info().retry_number < ev.number % 3:
            raise ValueError("not yet")
        return Event(n=ev.number)

    @step
    async def end(self, ev: list[Event]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in ev))


class BrokenPolicy:
    def next(self, elapsed_time: float, attempts: int, error: Exception) -> float | None:
        raise RuntimeError("the policy is broken")


class Broken(Workflow):
    @step(retry_policy=BrokenPolicy())
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise KeyError("first")


class SyncFlaky(Workflow):
    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_delay(30)))
    def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ctx.retry_info().retry_number == 0:
            raise Odd("in a thread")
        return StopEvent(result=repr(ctx.retry_info().last_exception))


class SendsAnew(Workflow):
    """Effects made by call before a failure stand, and the next attempt makes them anew."""

    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
    async def begin(self, ctx: Context, ev: StartEvent) -> Counted | None:
        ctx.send_event(Counted(n=1))
        ctx.write_event_to_stream(Counted(n=2))
        if ctx.retry_info().retry_number < 2:
            raise ValueError("again")
        return None

    @step
    async def end(self, ctx: Context, ev: Counted) -> StopEvent | None:
        got = ctx.collect_events(ev, [Counted] * 3)
        return None if got is None else StopEvent(result=[one.n for one in got])


class Atomic(Workflow):
    """Effects of an atomic step are those of the attempt that succeeds."""

    @step(atomic=True, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
    async def begin(self, ctx: Context, ev: StartEvent) -> Counted | None:
        attempt = ctx.retry_info().retry_number
        ctx.send_event(Counted(n=attempt))
        ctx.write_event_to_stream(Counted(n=attempt))
        await ctx.store.set("plain", attempt)
        await ctx.store.set("deep.er", attempt)
        async with ctx.store.edit_state() as state:
            state.edits = [*state.get("edits", []), attempt]
        if attempt < 2:
            raise ValueError("again")
        assert await ctx.store.get("deep.er") == 2
        return None

    @step
    async def end(self, ctx: Context, ev: Counted) -> StopEvent:
        state = await ctx.store.get_state()
        return StopEvent(result=[ev.n, state.plain, state.deep["er"], state.edits])


class Hanging(Workflow):
    @step(timeout=0.05, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ctx.retry_info().retry_number < ev.hangs:
            await asyncio.sleep(60)
        return StopEvent(result=repr(ctx.retry_info().last_exception))


class WrongReturn(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return "a result"  # pyright: ignore[reportReturnType]


async def test_a_step_that_fails_is_tried_again_after_its_wait(stage: Stage) -> None:
    handler = (await stage.put_on(Flaky)).run(fails=2)
    seen = [event async for event in handler.stream_events() if isinstance(event, Seen)]
    assert await within(handler) == 2
    assert [(one.number, one.error) for one in seen] == [(0, "None"), (1, "Odd('attempt 0')"), (2, "Odd('attempt 1')")]
    assert all(one.waited for one in seen)
    assert [one.when for one in seen] == [False, True, True]


async def test_the_exception_of_the_last_attempt_reaches_the_driver(stage: Stage) -> None:
    handler = (await stage.put_on(Flaky)).run(fails=9)
    with pytest.raises(Odd, match="attempt 2") as caught:
        await within(handler)
    assert "in begin" in str(caught.value.__cause__)
    assert "raise Odd(f" in str(caught.value.__cause__)


async def test_waits_of_nothing_are_tried_again_at_once(stage: Stage) -> None:
    flow = await stage.put_on(AtOnce)
    assert await within(flow.run()) == 15


async def test_an_exception_that_the_policy_does_not_name_is_not_tried_again(stage: Stage) -> None:
    flow = await stage.put_on(Picky)
    name = stage.settings.namespace
    with pytest.raises(Exception, match="not worth it and 2") as caught:
        await within(flow.run(name=name))
    assert "TwoParts" in f"{type(caught.value).__name__} {caught.value!r}"
    assert probe.marks(name) == ["begun"]


async def test_branches_that_failed_are_joined_once(stage: Stage) -> None:
    flow = await stage.put_on(InParallel)
    assert await within(flow.run()) == list(range(40))


async def test_a_policy_that_raises_ends_the_run_with_its_own_error(stage: Stage) -> None:
    flow = await stage.put_on(Broken)
    with pytest.raises(RuntimeError, match="the policy is broken") as caught:
        await within(flow.run())
    assert "KeyError: 'first'" in str(caught.value.__cause__)


async def test_a_step_in_a_thread_is_tried_again_too(stage: Stage) -> None:
    flow = await stage.put_on(SyncFlaky)
    assert await within(flow.run()) == "Odd('in a thread')"


async def test_a_step_that_returns_no_event_fails_its_run(stage: Stage) -> None:
    flow = await stage.put_on(WrongReturn)
    with pytest.raises(WorkflowRuntimeError, match="Step function begin returned str instead of an Event instance"):
        await within(flow.run())


async def test_what_a_failed_attempt_has_sent_stays_sent(stage: Stage) -> None:
    handler = (await stage.put_on(SendsAnew)).run()
    assert await within(handler) == [1, 1, 1]
    assert [event.n async for event in handler.stream_events() if isinstance(event, Counted)] == [2, 2, 2]


async def test_an_atomic_step_leaves_nothing_of_an_attempt_that_failed(stage: Stage) -> None:
    handler = (await stage.put_on(Atomic)).run()
    assert await within(handler) == [2, 2, 2, [2]]
    assert [event.n async for event in handler.stream_events() if isinstance(event, Counted)] == [2]


async def test_a_step_that_hangs_is_stopped_at_its_timeout_and_tried_again(stage: Stage) -> None:
    flow = await stage.put_on(Hanging)
    assert "StepTimeoutError" in await within(flow.run(hangs=1))
    with pytest.raises(StepTimeoutError, match=r"step 'begin' was stopped after its timeout of 0\.05 seconds"):
        await within(flow.run(hangs=2))
