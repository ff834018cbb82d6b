"""``Context.wait_for_event``: the step leaves, and starts again with the answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowCancelledByUser, WorkflowTimeoutError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from tests.integration.stage import Stage, until, within


class Question(InputRequiredEvent):
    text: str = ""


class Reply(HumanResponseEvent):
    text: str = ""
    user: Any = None


class Other(HumanResponseEvent):
    text: str = ""


def raw(stage: Stage) -> redis.Redis:
    return redis.Redis.from_url(stage.url)


def count(stage: Stage, family: str, run_id: str) -> int:
    with raw(stage) as client:
        return cast(int, client.hlen(stage.keys.of(family, run_id)))


async def waiting(stage: Stage, run: WorkflowHandler, deliveries: int = 1) -> None:
    """Until so many deliveries of the run are parked."""
    await until(lambda: count(stage, "waiting", run.run_id) == deliveries)


async def published(run: WorkflowHandler) -> list[Event]:
    return [event async for event in run.stream_events()]


class Asking(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(Reply, waiter_event=Question(text="name?"))
        return StopEvent(result=answer.text)


async def test_a_step_gets_the_event_it_waits_for(stage: Stage) -> None:
    run = (await stage.put_on(Asking)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="Ada"))
    assert await within(run) == "Ada"


async def test_the_waiter_event_is_published_once(stage: Stage) -> None:
    run = (await stage.put_on(Asking)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="Ada"))
    assert [one for one in await within(published(run)) if isinstance(one, Question)] == [Question(text="name?")]


async def test_an_answer_that_came_before_the_waiter_is_found(stage: Stage) -> None:
    run = (await stage.put_on(Asking)).run()
    await run.send_event(Reply(text="early"))
    assert await within(run) == "early"


async def test_another_event_is_no_answer(stage: Stage) -> None:
    run = (await stage.put_on(Asking)).run()
    await waiting(stage, run)
    await run.send_event(Other(text="no"))
    await run.send_event(Reply(text="yes"))
    assert await within(run) == "yes"


class Impatient(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        try:
            await ctx.wait_for_event(Reply, timeout=0.2)
        except asyncio.TimeoutError:
            return StopEvent(result="nobody")
        return StopEvent(result="somebody")


async def test_a_time_out_is_raised_in_the_step_and_may_be_caught(stage: Stage) -> None:
    assert await within((await stage.put_on(Impatient)).run()) == "nobody"


class Uncaught(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.wait_for_event(Reply, timeout=0)
        return StopEvent()


async def test_a_time_out_that_nobody_catches_fails_the_run(stage: Stage) -> None:
    with pytest.raises(asyncio.TimeoutError, match="no Reply came within 0 s"):
        await within((await stage.put_on(Uncaught)).run())


async def test_a_run_times_out_though_a_step_waits(stage: Stage) -> None:
    with pytest.raises(WorkflowTimeoutError, match="No steps active"):
        await within((await stage.put_on(Asking, timeout=0.3)).run())


async def test_a_waiting_run_can_be_cancelled(stage: Stage) -> None:
    run = (await stage.put_on(Asking)).run()
    await waiting(stage, run)
    await run.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await within(run)


class Twice(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        first = await ctx.wait_for_event(Reply, waiter_event=Question(text="first?"))
        second = await ctx.wait_for_event(Reply, waiter_event=Question(text="second?"))
        return StopEvent(result=[first.text, second.text])


async def test_two_waits_of_one_step_have_answers_of_their_own(stage: Stage) -> None:
    run = (await stage.put_on(Twice)).run()
    questions = 0
    async for event in run.stream_events():
        if isinstance(event, Question):
            questions += 1
            await run.send_event(Reply(text=event.text))
    assert await within(run) == ["first?", "second?"]
    assert questions == 2


class Named(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        first = await ctx.wait_for_event(Reply, waiter_id="a")
        second = await ctx.wait_for_event(Reply, waiter_id="b")
        third = await ctx.wait_for_event(Reply, waiter_id="a")
        return StopEvent(result=[first.text, second.text, third.text])


async def test_a_waiter_id_names_one_answer(stage: Stage) -> None:
    run = (await stage.put_on(Named)).run()
    for text in ("1", "2"):
        await run.send_event(Reply(text=text))
    assert await within(run) == ["1", "2", "1"]


class AtOnce(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        both = await asyncio.gather(
            ctx.wait_for_event(Reply, waiter_event=Question(text="a")),
            ctx.wait_for_event(Other, waiter_event=Question(text="b")),
        )
        return StopEvent(result=[one.text for one in both])


async def test_waits_at_one_time_are_asked_at_one_time(stage: Stage) -> None:
    run = (await stage.put_on(AtOnce)).run()
    questions: list[str] = []
    async for event in run.stream_events():
        if isinstance(event, Question):
            questions.append(event.text)
            if len(questions) == 2:
                await run.send_event(Other(text="2"))
                await run.send_event(Reply(text="1"))
    assert await within(run) == ["1", "2"]
    assert questions == ["a", "b"]
