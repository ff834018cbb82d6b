"""Waits seen from outside: by who resumes the run, and by who watches the engine's own events."""

from __future__ import annotations

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.events import Event, StartEvent, StepFailedEvent, StepState, StepStateChanged, StopEvent
from tests.integration.stage import Stage, until, within
from tests.integration.waits import Hint, Other, Question, Reply, Seen, count, raw, waiting


class Asking(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Other(text="user's"))
        first = await ctx.wait_for_event(Reply, waiter_event=Question(text="name?"), timeout=None)
        second = await ctx.wait_for_event(Reply, timeout=3600)
        return StopEvent(result=[first.text, second.text])


async def test_a_waiting_run_whose_process_has_gone_goes_on_in_another(alone: Stage) -> None:
    run = alone.flow(Asking).run()
    await waiting(alone, run)
    await run.send_event(Reply(text="before"))
    await until(lambda: count(alone, "live", run.run_id) == 0)
    await waiting(alone, run)
    await alone.clear()
    resumed = alone.flow(Asking).attach(run.run_id, resume=True)
    await resumed.send_event(Reply(text="after"))
    assert await within(resumed) == ["before", "after"]


def named(event: Event) -> str:
    if isinstance(event, StepStateChanged):
        return "begins" if event.step_state is StepState.RUNNING else "ends"
    return type(event).__name__


async def test_a_question_comes_after_the_end_of_the_execution_that_asks_it_and_then_the_run_is_idle(
    stage: Stage,
) -> None:
    run = (await stage.put_on(Asking)).run()
    seen: list[str] = []
    async for event in run.stream_events(expose_internal=True):
        seen.append(named(event))
        if seen[-1] == "WorkflowIdleEvent":
            await run.send_event(Reply(text="yes"))
    pause = ["begins", "Other", "ends", "Question", "WorkflowIdleEvent"]
    assert seen == [*pause, "begins", "ends", "WorkflowIdleEvent", "begins", "ends", "StopEvent"]


class Patient(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.wait_for_event(Reply, timeout=None)
        return StopEvent(result="answered")


async def test_a_wait_without_a_time_out_is_watched_for_ever_and_no_audit_fails_it(cluster: Stage) -> None:
    cluster.change(audit_ms=50)
    run = (await cluster.put_on(Patient, timeout=None)).run()
    await waiting(cluster, run)
    watch, member = cluster.keys.of("watch"), f"{run.run_id}|0@ask"
    with raw(cluster) as client:
        assert client.zscore(watch, member) == float("inf")
        client.zrem(watch, member)
        await until(lambda: client.zscore(watch, member) == float("inf"))
    await run.send_event(Reply())
    assert await within(run) == "answered"


class OneByOne(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Hint]:
        return [Hint(n=n) for n in range(3)]

    @step(num_workers_per_run=1)
    async def ask(self, ctx: Context, ev: Hint) -> Seen:
        return Seen(n=ev.n, answer=(await ctx.wait_for_event(Reply, requirements={"user": ev.n})).text)

    @step
    async def join(self, evs: list[Seen]) -> StopEvent:
        return StopEvent(result=sorted(one.answer for one in evs))


async def test_a_step_that_waits_holds_no_place_in_its_run(stage: Stage) -> None:
    run = (await stage.put_on(OneByOne)).run()
    await waiting(stage, run, 3)
    for n in range(3):
        await run.send_event(Reply(user=n, text=str(n)))
    assert await within(run) == ["0", "1", "2"]


class Handled(Workflow):
    """What failed is shown to a person, inside the fan-out it belongs to."""

    @step
    async def begin(self, ev: StartEvent) -> list[Hint]:
        return [Hint(n=n) for n in range(2)]

    @step
    async def work(self, ev: Hint) -> Seen:
        if ev.n == 1:
            raise ValueError("broken")
        return Seen(n=ev.n, answer="worked")

    @catch_error
    async def ask(self, ctx: Context, ev: StepFailedEvent) -> Seen:
        answer = await ctx.wait_for_event(Reply, waiter_event=Question(text=str(ev.exception)))
        return Seen(n=1, answer=answer.text)

    @step
    async def join(self, evs: list[Seen]) -> StopEvent:
        return StopEvent(result=sorted(one.answer for one in evs))


async def test_a_handler_of_failures_may_ask_a_person(stage: Stage) -> None:
    run = (await stage.put_on(Handled)).run()
    async for event in run.stream_events():
        if isinstance(event, Question):
            await run.send_event(Reply(text=f"mended {event.text}"))
    assert await within(run) == ["mended broken", "worked"]
