"""``Context.once`` and ``Context.idempotency_key``: what is the same on every start of a delivery."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import EncodeError, WorkflowRuntimeError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, within
from tests.integration.waits import Reply, waiting

RETRIED = retry_policy(wait=wait_none(), stop=stop_after_attempt(3))


async def costly(run_id: str, value: Any) -> Any:
    probe.mark(run_id, "costly")
    await asyncio.sleep(0)
    return value


class Asking(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        made = await ctx.once("made", costly, ev.key, {"a": [1, (2,)]})
        answer = await ctx.wait_for_event(Reply)
        return StopEvent(result=[made, answer.text])


async def test_what_stands_before_a_wait_is_done_once(stage: Stage) -> None:
    flow = await stage.put_on(Asking)
    run = flow.run(key=stage.settings.namespace)
    await waiting(stage, run)
    await run.send_event(Reply(text="yes"))
    assert await within(run) == [{"a": [1, (2,)]}, "yes"]
    assert probe.marks(stage.settings.namespace) == ["costly"]


class Flaky(Workflow):
    @step(retry_policy=RETRIED)
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        made = await ctx.once("made", costly, ev.key, 7)
        probe.mark(f"{ev.key} key", ctx.idempotency_key)
        if ctx.retry_info().retry_number < 2:
            raise ValueError("again")
        return StopEvent(result=made)


async def test_a_retry_finds_the_result(stage: Stage) -> None:
    assert await within((await stage.put_on(Flaky)).run(key=stage.settings.namespace)) == 7
    assert probe.marks(stage.settings.namespace) == ["costly"]


async def test_the_idempotency_key_is_run_and_delivery_on_every_start(stage: Stage) -> None:
    run = (await stage.put_on(Flaky)).run(key=stage.settings.namespace)
    await within(run)
    assert probe.marks(f"{stage.settings.namespace} key") == [f"{run.run_id}/0@work"] * 3


class Failing(Workflow):
    @step(retry_policy=RETRIED)
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        async def fails_once() -> str:
            probe.mark(ev.key, "called")
            if ctx.retry_info().retry_number == 0:
                raise ValueError("no")
            return "yes"

        return StopEvent(result=await ctx.once("made", fails_once))


async def test_a_function_that_raised_is_called_again(stage: Stage) -> None:
    assert await within((await stage.put_on(Failing)).run(key=stage.settings.namespace)) == "yes"
    assert probe.marks(stage.settings.namespace) == ["called", "called"]


class Item(Event):
    n: int


class Done(Event):
    n: int


class Many(Workflow):
    """Each item remembers a result of its own under the one key."""

    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(3)]

    @step(retry_policy=RETRIED)
    async def work(self, ctx: Context, ev: Item) -> Done:
        made = await ctx.once("n", lambda: ev.n)
        if ctx.retry_info().retry_number == 0:
            raise ValueError("again")
        return Done(n=made)

    @step
    async def join(self, evs: list[Done]) -> StopEvent:
        return StopEvent(result=sorted(one.n for one in evs))


async def test_each_delivery_remembers_for_itself(stage: Stage) -> None:
    assert await within((await stage.put_on(Many)).run()) == [0, 1, 2]


class Threads(Workflow):
    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        here = threading.get_ident()
        made = await asyncio.gather(*(ctx.once("plain", threading.get_ident) for _ in range(3)))
        return StopEvent(result=[len(set(made)), made[0] != here])


async def test_a_plain_function_runs_in_a_thread_and_calls_at_one_time_are_one(stage: Stage) -> None:
    assert await within((await stage.put_on(Threads)).run()) == [1, True]


class Unknown(Workflow):
    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await ctx.once("lock", threading.Lock))


async def test_a_result_that_cannot_travel_is_an_error_that_names_the_key(stage: Stage) -> None:
    with pytest.raises(EncodeError, match=r"the result of once\('lock'\)"):
        await within((await stage.put_on(Unknown)).run())


class Plain(Workflow):
    @step
    def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        made: Any = ctx.once("made", costly, "", 1)
        return StopEvent(result=made)


async def test_a_step_that_is_not_async_cannot_use_once(stage: Stage) -> None:
    with pytest.raises(WorkflowRuntimeError, match="once needs an async step, and step work is a plain function"):
        await within((await stage.put_on(Plain)).run())
