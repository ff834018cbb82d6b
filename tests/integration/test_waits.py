"""``Context.wait_for_event``: the step leaves, and starts again with the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowCancelledByUser, WorkflowRuntimeError, WorkflowTimeoutError
from broker_wf.events import StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.stage import Stage, within
from tests.integration.waits import Other, Question, Reply, published, waiting


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
    with pytest.raises(asyncio.TimeoutError, match="Timed out waiting for Reply: none came within 0 s"):
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


class Plain(Workflow):
    @step
    def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer: Any = ctx.wait_for_event(Reply)
        return StopEvent(result=answer)


async def test_a_step_that_is_not_async_cannot_wait(stage: Stage) -> None:
    with pytest.raises(WorkflowRuntimeError, match="wait_for_event needs an async step, and step ask is a plain"):
        await within((await stage.put_on(Plain)).run())


class Swallowing(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        try:
            answer = await ctx.wait_for_event(Reply)
        except Exception:
            return StopEvent(result="swallowed")
        return StopEvent(result=answer.text)


async def test_except_exception_around_a_wait_lets_it_pass(stage: Stage) -> None:
    run = (await stage.put_on(Swallowing)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="yes"))
    assert await within(run) == "yes"


class Flaky(Workflow):
    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(Reply, waiter_event=Question(text="?"))
        if ctx.retry_info().retry_number < 2:
            raise ValueError("not yet")
        return StopEvent(result=[answer.text, ctx.retry_info().retry_number])


async def test_a_retry_has_the_answer_and_does_not_ask_again(stage: Stage) -> None:
    run = (await stage.put_on(Flaky)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="once"))
    events = await within(published(run))
    assert await within(run) == ["once", 2]
    assert sum(isinstance(one, Question) for one in events) == 1


class Effects(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Other(text="before"))
        await ctx.store.set("starts", await ctx.store.get("starts", default=0) + 1)
        first = await ctx.wait_for_event(Reply)
        ctx.write_event_to_stream(Other(text="between"))
        second = await ctx.wait_for_event(Reply)
        return StopEvent(result=[first.text, second.text, await ctx.store.get("starts")])


async def test_effects_before_a_wait_are_not_repeated_and_code_is(stage: Stage) -> None:
    run = (await stage.put_on(Effects)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="1"))
    await run.send_event(Reply(text="2"))
    texts = [one.text for one in await within(published(run)) if isinstance(one, Other)]
    assert await within(run) == ["1", "2", 3]
    assert texts == ["before", "between"]
