from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.errors import (
    WorkflowCancelledByUser,
    WorkflowTimeoutError,
    WorkflowValidationError,
)
from broker_wf.events import (
    CollectionReleaseEvent,
    Event,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    WorkflowFailedEvent,
)
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Odd(Exception):
    """An exception of the user's own."""


class Item(Event):
    n: int


class Done(Event):
    n: int


class Left(Event):
    n: int


class Right(Event):
    n: int


class Told(StartEvent):
    """What a scenario is to do; ``name`` is where it leaves its marks."""

    name: str = ""
    n: int = 0


class Rescued(Workflow):
    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
    async def begin(self, ev: Told) -> StopEvent:
        ev.n += 1
        raise Odd("three times")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        given = ev.input_event
        assert isinstance(given, Told)
        return StopEvent(
            result={
                "step": ev.step_name,
                "n": given.n,
                "error": f"{type(ev.exception).__name__}: {ev.exception}",
                "where": "in begin" in getattr(ev.exception, "remote_traceback", ""),
                "attempts": ev.attempts,
                "elapsed": ev.elapsed_seconds,
                "at": ev.failed_at,
            }
        )


class WithoutPolicy(Workflow):
    """The handler's event goes on as any other."""

    @step
    async def begin(self, ev: StartEvent) -> Item | None:
        raise Odd("once")

    @step
    async def go_on(self, ev: Item) -> StopEvent:
        return StopEvent(result=ev.n)

    @catch_error
    def rescue(self, ev: StepFailedEvent) -> Item:
        return Item(n=ev.attempts)


class Scoped(Workflow):
    @step
    async def begin(self, ev: Told) -> Item:
        if ev.n == 0:
            raise Odd("of begin")
        return Item(n=ev.n)

    @step
    async def work(self, ev: Item) -> StopEvent:
        raise Odd("of work")

    @catch_error
    async def any_other(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result=f"any other: {ev.step_name}")

    @catch_error(for_steps=["work"])
    async def of_work(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result=f"of work: {ev.step_name}")


class HandlerRaises(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise KeyError("first")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        raise Odd("of the handler")


class Branches(Workflow):
    """Every third member fails and is recovered in its place."""

    @step
    async def begin(self, ev: Told) -> list[Item]:
        return [Item(n=n) for n in range(ev.n)]

    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def work(self, ev: Item) -> Done:
        if ev.n % 3 == 0:
            raise Odd(str(ev.n))
        return Done(n=ev.n)

    @catch_error(for_steps=["work"])
    async def rescue(self, ev: StepFailedEvent) -> Done | None:
        given = ev.input_event
        assert isinstance(given, Item)
        return None if given.n == 9 else Done(n=1000 + given.n)

    @step
    async def join(self, evs: list[Done]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in evs))


class JoinFails(Workflow):
    @step
    async def begin(self, ev: Told) -> list[Item]:
        return [Item(n=n) for n in range(ev.n)]

    @step
    async def join(self, evs: list[Item]) -> StopEvent:
        raise Odd("of the join")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        given = ev.input_event
        assert isinstance(given, CollectionReleaseEvent)
        assert all(isinstance(one, Item) for one in given.events)
        return StopEvent(result=[len(given.events), given.binding_id, bool(given.stream_id), ev.step_name])


class PairFails(Workflow):
    @step
    async def begin(self, ctx: Context, ev: Told) -> Left | Right | Item | None:
        ctx.send_event(Left(n=1) if ev.n == 0 else Right(n=1))
        ctx.send_event(Item(n=ev.n))
        return None

    @step
    async def later(self, ctx: Context, ev: Item) -> Left | Right:
        return Right(n=2) if ev.n == 0 else Left(n=2)

    @step
    async def pair(self, left: Left, right: Right) -> StopEvent:
        raise Odd("of the pair")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result=type(ev.input_event).__name__)


class Slow(Workflow):
    @step
    async def begin(self, ev: Told) -> StopEvent:
        probe.mark(ev.name, "begun")
        await asyncio.sleep(60)
        return StopEvent()

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        given = ev.input_event
        probe.mark(given.name if isinstance(given, Told) else "", "rescued")
        return StopEvent()


class PolicyRaises:
    def next(self, elapsed_time: float, attempts: int, error: Exception) -> float | None:
        raise Odd("of the policy")


class BadPolicy(Workflow):
    @step(retry_policy=PolicyRaises())
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise KeyError("first")

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result="rescued")


class Unencodable(Workflow):
    """What a step returns and cannot travel is its failure too."""

    @step
    async def begin(self, ev: StartEvent) -> Item | StopEvent:
        return StopEvent(result=object())

    @step
    async def work(self, ev: Item) -> StopEvent:
        return StopEvent(result=ev.n)

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result=type(ev.exception).__name__)


class Unconnected(Workflow):
    """No step makes what ``lost`` takes."""

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise Odd("once")

    @step
    async def lost(self, ev: Item) -> StopEvent:
        return StopEvent()

    @catch_error(for_steps=["begin"])
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result="rescued")


async def test_a_handler_is_called_when_the_attempts_are_used_up_and_told_all_about_it(stage: Stage) -> None:
    flow = await stage.put_on(Rescued)
    handler = flow.run(n=7)
    streamed = [event async for event in handler.stream_events()]
    result = await within(handler)
    assert 0 <= result.pop("elapsed") < 20
    at = result.pop("at")
    assert at.tzinfo is not None
    assert abs((datetime.now(timezone.utc) - at).total_seconds()) < 60
    assert result == {
        "step": "begin",
        "n": 7,
        "error": "Odd: three times",
        "where": True,
        "attempts": 3,
    }
    assert [type(event) for event in streamed] == [StopEvent]


async def test_a_handler_is_called_without_any_retry_policy_and_its_event_goes_on(stage: Stage) -> None:
    assert await within((await stage.put_on(WithoutPolicy)).run()) == 1


async def test_a_scoped_handler_comes_before_the_one_for_all_steps(stage: Stage) -> None:
    flow = await stage.put_on(Scoped)
    assert await within(flow.run(n=0)) == "any other: begin"
    assert await within(flow.run(n=1)) == "of work: work"


async def test_a_handler_that_raises_ends_the_run_under_its_own_name(stage: Stage) -> None:
    handler = (await stage.put_on(HandlerRaises)).run()
    with pytest.raises(Odd, match="of the handler"):
        await within(handler)
    last = [event async for event in handler.stream_events()][-1]
    assert isinstance(last, WorkflowFailedEvent)
    assert last.step_name == "rescue"


async def test_a_member_that_is_recovered_joins_the_batch_once_in_its_place(stage: Stage) -> None:
    expected = sorted(1000 + n if n % 3 == 0 else n for n in range(30) if n != 9)
    assert await within((await stage.put_on(Branches)).run(n=30)) == expected


@pytest.mark.parametrize("count", [0, 3, 1200])
async def test_the_handler_of_a_list_join_gets_the_batch(stage: Stage, count: int) -> None:
    assert await within((await stage.put_on(JoinFails)).run(n=count)) == [count, "join", True, "join"]


@pytest.mark.parametrize(("first", "name"), [(0, "Right"), (1, "Left")])
async def test_the_handler_of_a_join_of_several_parameters_gets_the_event_that_came_last(
    cluster: Stage, first: int, name: str
) -> None:
    assert await within((await cluster.put_on(PairFails)).run(n=first)) == name


async def test_a_run_that_times_out_calls_no_handler(stage: Stage) -> None:
    name = stage.settings.namespace
    with pytest.raises(WorkflowTimeoutError):
        await within((await stage.put_on(Slow, timeout=0.1)).run(name=name))
    assert probe.marks(name) == ["begun"]


async def test_a_run_that_is_cancelled_calls_no_handler(stage: Stage) -> None:
    name = stage.settings.namespace
    handler = (await stage.put_on(Slow)).run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await within(handler)
    await stage.clear()
    assert probe.marks(name) == ["begun"]


async def test_what_a_retry_policy_raises_ends_the_run_whoever_handles_the_step(stage: Stage) -> None:
    with pytest.raises(Odd, match="of the policy"):
        await within((await stage.put_on(BadPolicy)).run())


async def test_a_result_that_cannot_travel_goes_to_the_handler(cluster: Stage) -> None:
    assert await within((await cluster.put_on(Unencodable)).run()) == "EncodeError"


async def test_handlers_are_called_though_validation_is_off(stage: Stage) -> None:
    with pytest.raises(WorkflowValidationError):
        stage.flow(Unconnected).run()
    assert await within((await stage.put_on(Unconnected, disable_validation=True)).run()) == "rescued"


async def test_a_failure_that_is_too_large_for_its_handler_fails_the_run_with_its_own_error(stage: Stage) -> None:
    stage.change(max_bytes=40_000)
    flow = await stage.put_on(WithoutPolicy)
    with pytest.raises(Odd):
        await within(flow.run(text="x" * 39_800))
