"""Waits beside the other things a step does."""

from __future__ import annotations

import asyncio

from broker_wf import Context, Workflow, step
from broker_wf.events import StartEvent, StopEvent
from tests.integration.stage import Stage, within
from tests.integration.waits import Hint, Other, Question, Reply, Seen, published, told_to_go, waiting


class Inside(Workflow):
    """The answer is sent by another step of the run."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Hint | None:
        ctx.send_event(Hint(n=1))
        ctx.send_event(Seen(n=2, answer="by call"))
        return None

    @step
    async def ask(self, ctx: Context, ev: Hint) -> StopEvent:
        answer = await ctx.wait_for_event(Reply, requirements={"user": 2})
        return StopEvent(result=answer.text)

    @step
    async def tell(self, ctx: Context, ev: Seen) -> Reply:
        ctx.send_event(Reply(user=1, text="wrong"))
        ctx.send_event(Reply(user=2, text=ev.answer))
        return Reply(user=2, text="returned")


async def test_an_event_of_the_run_itself_may_be_the_answer(stage: Stage) -> None:
    flow = await stage.put_on(Inside, disable_validation=True)
    assert await within(flow.run()) == "by call"


class Grouped(Workflow):
    @step(num_workers=1)
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Hint]:
        return [Hint(n=n) for n in range(3)]

    @step(num_workers=1)
    async def ask(self, ctx: Context, ev: Hint) -> Seen:
        return Seen(n=ev.n, answer=(await ctx.wait_for_event(Reply, requirements={"user": ev.n})).text)

    @step
    async def join(self, evs: list[Seen]) -> StopEvent:
        return StopEvent(result=len(evs))


async def test_a_step_that_waits_is_not_running_and_its_place_is_free(stage: Stage) -> None:
    run = (await stage.put_on(Grouped)).run()
    await waiting(stage, run, 3)
    assert run.ctx is not None
    assert await run.ctx.running_steps() == []
    assert run.ctx.is_running
    for n in range(3):
        await run.send_event(Reply(user=n))
    assert await within(run) == 3
    assert not run.ctx.is_running


class Slow(Workflow):
    @step
    async def crawl(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await told_to_go(ctx.store)
        return StopEvent()


async def test_running_steps_names_what_executes(stage: Stage) -> None:
    run = (await stage.put_on(Slow)).run()
    assert run.ctx is not None
    for _ in range(500):
        if await run.ctx.running_steps() == ["crawl"]:
            break
        await asyncio.sleep(0.01)
    assert await run.ctx.running_steps() == ["crawl"]
    await run.ctx.store.set("go", True)
    await within(run)
    assert await run.ctx.running_steps() == []


class Atomic(Workflow):
    @step(atomic=True)
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Other(text="held"))
        await ctx.store.set("seen", [*await ctx.store.get("seen", default=[]), "before"])
        answer = await ctx.wait_for_event(Reply, waiter_event=Question(text="?"))
        return StopEvent(result=[answer.text, await ctx.store.get("seen")])


async def test_an_atomic_step_that_waits_has_done_nothing_until_it_returns(stage: Stage) -> None:
    run = (await stage.put_on(Atomic)).run()
    await waiting(stage, run)
    assert run.ctx is not None
    assert await run.ctx.store.get("seen", default=None) is None
    await run.send_event(Reply(text="yes"))
    events = await within(published(run))
    assert await within(run) == ["yes", ["before"]]
    assert [type(one).__name__ for one in events] == ["Question", "Other", "StopEvent"]


class Gathering(Workflow):
    """The decision of collect_events before a wait is made again after it."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Hint | None:
        for n in range(2):
            ctx.send_event(Hint(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Hint) -> StopEvent | None:
        hints = ctx.collect_events(ev, [Hint, Hint])
        if hints is None:
            return None
        answer = await ctx.wait_for_event(Reply)
        return StopEvent(result=[sorted(one.n for one in hints), answer.text])


async def test_collected_events_are_there_after_the_wait(stage: Stage) -> None:
    run = (await stage.put_on(Gathering)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="go"))
    assert await within(run) == [[0, 1], "go"]


class Large(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(Reply, waiter_event=Question(text="q" * 2_000_000))
        return StopEvent(result=len(answer.text))


async def test_questions_and_answers_may_be_large(stage: Stage) -> None:
    run = (await stage.put_on(Large)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="a" * 3_000_000))
    questions = [len(one.text) for one in await within(published(run)) if isinstance(one, Question)]
    assert (await within(run), questions) == (3_000_000, [2_000_000])


class Style(Workflow):
    """Human in the loop by events alone: a step asks by returning, another takes the answer."""

    @step
    async def ask(self, ev: StartEvent) -> Question:
        return Question(text="name?")

    @step
    async def greet(self, ev: Reply) -> StopEvent:
        return StopEvent(result=f"hello {ev.text}")


async def test_a_question_that_is_returned_is_answered_to_a_step_that_takes_the_answer(stage: Stage) -> None:
    run = (await stage.put_on(Style)).run()
    async for event in run.stream_events():
        if isinstance(event, Question):
            await run.send_event(Reply(text="Ada"))
    assert await within(run) == "hello Ada"
