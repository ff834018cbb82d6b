"""What the public interface of retries promises, across processes."""

from __future__ import annotations

import hashlib
import time
from datetime import datetime, timezone

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent, WorkflowFailedEvent
from broker_wf.retry_policy import (
    ConstantDelayRetryPolicy,
    ExponentialBackoffRetryPolicy,
    RetryIn,
    retry_if_exception_cause_type,
    retry_if_exception_message,
    retry_never,
    retry_policy,
    stop_after_attempt,
    stop_before_delay,
    wait_fixed,
    wait_none,
    wait_random,
)
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Odd(Exception):
    """An exception of the user's own."""


class Told(StartEvent):
    """``name`` is where a scenario leaves its marks."""

    name: str = ""
    n: int = 0


class Item(Event):
    n: int
    name: str = ""


class Recording:
    """Notes what it is asked."""

    def next(self, elapsed_time: float, attempts: int, error: Exception, *, seed: int | None = None) -> float | None:
        probe.mark(str(error), f"{attempts} {seed} {elapsed_time >= 0}")
        return 0 if attempts < 3 else None


class Seedless:
    def next(self, elapsed_time: float, attempts: int, error: Exception) -> float | None:
        probe.mark(str(error), f"{attempts}")
        return 0.0 if attempts < 2 else None


class Seeds(Workflow):
    @step(retry_policy=Recording())
    async def begin(self, ev: Told) -> StopEvent:
        raise Odd(ev.name)


class WithoutSeed(Workflow):
    @step(retry_policy=Seedless())
    async def begin(self, ev: Told) -> StopEvent:
        raise Odd(ev.name)


class RetryAfter(Workflow):
    """Knows when it is to be tried again; its policy's wait and condition do not count, its stop does."""

    @step(retry_policy=retry_policy(retry=retry_never(), wait=wait_fixed(600), stop=stop_after_attempt(3)))
    async def begin(self, ctx: Context, ev: Told) -> StopEvent:
        info = ctx.retry_info()
        probe.mark(ev.name, "begun")
        if info.retry_number < ev.n:
            raise RetryIn(0.1, "busy")
        return StopEvent(result=[info.retry_number, info.elapsed_seconds >= 0.1 * info.retry_number])


class RetryAfterAlone(Workflow):
    @step
    async def begin(self, ev: Told) -> StopEvent:
        probe.mark(ev.name, "begun")
        raise RetryIn(0, "busy")


class RetryAfterTooLong(Workflow):
    @step(retry_policy=retry_policy(stop=stop_before_delay(60)))
    async def begin(self, ev: Told) -> StopEvent:
        probe.mark(ev.name, "begun")
        raise RetryIn(3600, "come back in an hour")


class Delayed(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(1.0), stop=stop_after_attempt(2)))
    async def begin(self, ctx: Context, ev: Told) -> StopEvent:
        probe.mark(ev.name, "begun")
        info = ctx.retry_info()
        if info.retry_number == 0:
            raise Odd("first")
        assert info.last_failed_at is not None
        since = (datetime.now(timezone.utc) - info.last_failed_at).total_seconds()
        return StopEvent(result=[info.elapsed_seconds, since, str(info.last_exception)])


class OnePlace(Workflow):
    """A failed delivery that waits for its next attempt leaves its place to the others."""

    @step
    async def begin(self, ctx: Context, ev: Told) -> Item | None:
        for n in range(3):
            ctx.send_event(Item(n=n, name=ev.name))

    @step(num_workers=1, retry_policy=retry_policy(wait=wait_fixed(0.5)))
    async def work(self, ctx: Context, ev: Item) -> StopEvent | None:
        if ev.n == 0 and ctx.retry_info().retry_number == 0:
            raise Odd("once")
        probe.mark(ev.name, str(ev.n))
        return StopEvent() if ev.n == 0 else None


class Causes(Workflow):
    """Conditions look at the live exception and its causes, where it was raised."""

    @step(
        retry_policy=retry_policy(
            retry=retry_if_exception_cause_type(OSError) & retry_if_exception_message(match="^wrapped"),
            wait=wait_none() + wait_random(0, 0.01),
            stop=stop_after_attempt(4),
        )
    )
    async def begin(self, ctx: Context, ev: Told) -> StopEvent:
        number = ctx.retry_info().retry_number
        probe.mark(ev.name, "begun")
        try:
            raise OSError("the root") if number < 2 else KeyError("another")
        except (OSError, KeyError) as error:
            raise Odd("wrapped in something") from error


class Deprecated(Workflow):
    with pytest.warns(DeprecationWarning, match="use retry_policy"):
        constant = ConstantDelayRetryPolicy(maximum_attempts=2, delay=0)
    with pytest.warns(DeprecationWarning, match="use retry_policy"):
        growing = ExponentialBackoffRetryPolicy(maximum_attempts=3, initial_delay=0, jitter=False)

    @step(retry_policy=constant)
    async def begin(self, ctx: Context, ev: Told) -> Item:
        if ctx.retry_info().retry_number < 1:
            raise Odd("constant")
        return Item(n=1)

    @step(retry_policy=growing)
    async def end(self, ctx: Context, ev: Item) -> StopEvent:
        if ctx.retry_info().retry_number < 2:
            raise Odd("growing")
        return StopEvent(result=ctx.retry_info().retry_number)


async def test_a_policy_is_asked_with_the_failures_and_a_seed_of_run_step_and_failures(stage: Stage) -> None:
    name = stage.settings.namespace
    handler = (await stage.put_on(Seeds)).run(name=name)
    with pytest.raises(Odd):
        await within(handler)

    def seed(failures: int) -> int:
        digest = hashlib.sha256(f"{handler.run_id}:begin:{failures}".encode()).hexdigest()
        return int(digest, 16) & 0xFFFF_FFFF

    assert probe.marks(name) == [f"{n} {seed(n)} True" for n in (1, 2, 3)]


async def test_a_policy_without_seed_is_asked_without(stage: Stage) -> None:
    name = stage.settings.namespace
    with pytest.raises(Odd):
        await within((await stage.put_on(WithoutSeed)).run(name=name))
    assert probe.marks(name) == ["1", "2"]


async def test_retry_in_sets_the_wait_whatever_the_policy_says_of_waits_and_exceptions(stage: Stage) -> None:
    flow = await stage.put_on(RetryAfter)
    assert await within(flow.run(n=2)) == [2, True]


async def test_retry_in_counts_as_an_attempt_and_the_policys_stop_holds(stage: Stage) -> None:
    name = stage.settings.namespace
    with pytest.raises(RetryIn, match="busy"):
        await within((await stage.put_on(RetryAfter)).run(name=name, n=9))
    assert probe.count(name, "begun") == 3


async def test_retry_in_without_a_policy_is_tried_three_times_in_all(stage: Stage) -> None:
    name = stage.settings.namespace
    with pytest.raises(RetryIn, match="busy"):
        await within((await stage.put_on(RetryAfterAlone)).run(name=name))
    assert probe.count(name, "begun") == 3


async def test_a_stop_looks_at_the_wait_that_retry_in_asks_for(stage: Stage) -> None:
    name = stage.settings.namespace
    with pytest.raises(RetryIn, match="come back") as caught:
        await within((await stage.put_on(RetryAfterTooLong)).run(name=name))
    assert (caught.value.seconds, caught.value.reason) == (3600, "come back in an hour")
    assert probe.count(name, "begun") == 1


async def test_the_due_time_is_kept_though_the_worker_that_failed_has_gone(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Delayed, workers=1), cluster.settings.namespace
    handler = flow.run(name=name)
    began = time.monotonic()
    await until(lambda: probe.count(name, "begun") == 1)
    await cluster.stop_worker(cluster.workers[0], 1_000)
    await cluster.add_worker(Delayed)
    elapsed, since, error = await within(handler)
    assert time.monotonic() - began >= 1.0
    assert elapsed >= 1.0
    assert since >= 0.99
    assert error == "first"


async def test_a_delivery_that_waits_for_its_next_attempt_holds_no_place(stage: Stage) -> None:
    name = stage.settings.namespace
    await within((await stage.put_on(OnePlace)).run(name=name))
    assert probe.marks(name) == ["1", "2", "0"]


async def test_conditions_see_the_exception_with_its_causes(stage: Stage) -> None:
    name = stage.settings.namespace
    handler = (await stage.put_on(Causes)).run(name=name)
    with pytest.raises(Odd, match="wrapped in something") as caught:
        await within(handler)
    assert probe.count(name, "begun") == 3
    remote = str(getattr(caught.value, "remote_traceback", ""))
    assert "KeyError: 'another'" in remote
    assert "direct cause" in remote
    last = [event async for event in handler.stream_events()][-1]
    assert isinstance(last, WorkflowFailedEvent)
    assert (last.step_name, last.attempts, type(last.exception)) == ("begin", 3, Odd)
    assert last.elapsed_seconds is not None
    assert 0 <= last.elapsed_seconds < 20


async def test_the_deprecated_factories_make_policies_that_work(stage: Stage) -> None:
    assert await within((await stage.put_on(Deprecated)).run()) == 2
