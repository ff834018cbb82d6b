"""A run written down by `to_dict` goes on where it was, in another namespace."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.collect import All, Collect
from broker_wf.errors import ContextSerdeError, ContextStateError, WorkflowTimeoutError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Item(Event):
    n: int


class Done(Event):
    n: int


class Question(InputRequiredEvent):
    pass


class Answer(HumanResponseEvent):
    word: str


class Asking(Workflow):
    """Counts its first step, then asks twice."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item:
        probe.mark(ev.key, "begin")
        await ctx.store.set("key", ev.key)
        return Item(n=1)

    @step
    async def ask(self, ctx: Context, ev: Item) -> StopEvent:
        key = await ctx.store.get("key")
        probe.mark(key, "ask")
        first = await ctx.wait_for_event(Answer, waiter_event=Question(), waiter_id="first")
        second = await ctx.wait_for_event(Answer, waiter_event=Question(), waiter_id="second")
        return StopEvent(result=f"{first.word} {second.word}")


class Fan(Workflow):
    """A fan-out of which every other member waits for a word."""

    @step
    async def split(self, ctx: Context, ev: StartEvent) -> list[Item]:
        await ctx.store.set("key", ev.key)
        return [Item(n=n) for n in range(6)]

    @step
    async def work(self, ctx: Context, ev: Item) -> Done:
        probe.mark(await ctx.store.get("key"), f"work {ev.n}")
        if ev.n % 2:
            await ctx.wait_for_event(Answer, waiter_event=Question(), waiter_id=str(ev.n))
        return Done(n=ev.n)

    @step
    async def join(self, evs: Annotated[list[Done], Collect(All())]) -> StopEvent:
        return StopEvent(result=sorted(ev.n for ev in evs))


class Collecting(Workflow):
    """Collects three; the third comes from outside."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        ctx.send_event(Item(n=1))
        ctx.send_event(Item(n=2))
        return None

    @step
    async def collect(self, ctx: Context, ev: Item) -> Done | None:
        found = ctx.collect_events(ev, [Item] * 3)
        if found is None:
            ctx.write_event_to_stream(Done(n=ev.n))
            return None
        return Done(n=sum(one.n for one in found))

    @step
    async def end(self, ev: Done) -> StopEvent:
        return StopEvent(result=ev.n)


class Flaky(Workflow):
    """Fails once and is tried again a second later."""

    @step(retry_policy=retry_policy(wait=wait_fixed(1), stop=stop_after_attempt(3)))
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        attempt = ctx.retry_info().retry_number
        probe.mark(ev.key, f"attempt {attempt}")
        if attempt == 0:
            ctx.write_event_to_stream(Done(n=0))
            raise ValueError("not yet")
        return StopEvent(result=attempt)


class Greeting(Workflow):
    """Greets with the word in its state, and remembers whom."""

    @step
    async def greet(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("last", ev.key)
        return StopEvent(result=f"{await ctx.store.get('word', default='-')} {ev.key} {len(ev.text)}")


class Begin(StartEvent):
    word: str


class Beginning(Workflow):
    """Begins with an event of its own."""

    @step
    async def begin(self, ev: Begin) -> StopEvent:
        return StopEvent(result=ev.word)


class Slow(Workflow):
    """Executes until somebody says so."""

    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        probe.mark(ev.key, "work")
        if probe.count(ev.key, "work") == 1:
            await asyncio.sleep(60)
        return StopEvent(result=ctx.idempotency_key.partition("/")[2])


async def questions(handler: Any, count: int) -> None:
    asked = 0
    async for event in handler.stream_events():
        asked += isinstance(event, Question | Done)
        if asked == count:
            return


@pytest.fixture
def elsewhere(stage: Stage) -> Stage:
    """The stage once more, in a namespace that knows nothing of the first."""
    other = Stage(stage.settings)
    other.change(namespace=f"{stage.settings.namespace}-else")
    return other


async def resumed(elsewhere: Stage, cls: type[Workflow], saved: dict[str, Any], **arguments: Any) -> Any:
    flow = await elsewhere.put_on(cls, **arguments)
    return flow.run(ctx=Context.from_dict(flow, json.loads(json.dumps(saved))))


async def test_a_run_that_waits_goes_on_elsewhere_without_its_finished_steps(stage: Stage, elsewhere: Stage) -> None:
    key = stage.settings.namespace
    flow = await stage.put_on(Asking)
    handler = flow.run(key=key)
    await questions(handler, 1)
    await handler.send_event(Answer(word="one"))
    await questions(handler, 1)
    saved = handler.ctx.to_dict()
    await handler.cancel_run()

    again = await resumed(elsewhere, Asking, saved)
    await again.send_event(Answer(word="two"))
    assert await within(again) == "one two"
    assert probe.count(key, "begin") == 1
    await elsewhere.clear()
    assert elsewhere.audit() == []


async def test_an_open_fan_out_goes_on_with_all_its_members(stage: Stage, elsewhere: Stage) -> None:
    key = stage.settings.namespace
    handler = (await stage.put_on(Fan)).run(key=key)
    await questions(handler, 3)
    saved = handler.ctx.to_dict()
    await handler.cancel_run()

    again = await resumed(elsewhere, Fan, saved)
    await again.send_event(Answer(word="go"))
    assert await within(again) == [0, 1, 2, 3, 4, 5]
    assert [probe.count(key, f"work {n}") for n in (0, 2, 4)] == [1, 1, 1]
    await elsewhere.clear()
    assert elsewhere.audit() == []


async def test_a_partly_filled_buffer_goes_on(stage: Stage, elsewhere: Stage) -> None:
    handler = (await stage.put_on(Collecting)).run()
    await questions(handler, 2)
    await until(lambda: sum(len(kinds["in_progress"]) for kinds in handler.ctx.to_dict()["workers"].values()) == 0)
    saved = handler.ctx.to_dict()
    await handler.cancel_run()

    again = await resumed(elsewhere, Collecting, saved)
    await again.send_event(Item(n=3))
    assert await within(again) == 6
    await elsewhere.clear()


async def test_a_delayed_retry_keeps_its_attempt_and_when_it_is_due(stage: Stage, elsewhere: Stage) -> None:
    key = stage.settings.namespace
    began = time.monotonic()
    handler = (await stage.put_on(Flaky)).run(key=key)
    await questions(handler, 1)
    await until(lambda: handler.ctx.to_dict()["workers"]["work"]["queue"] == ["StartEvent"])
    saved = handler.ctx.to_dict()
    await handler.cancel_run()

    assert await within(await resumed(elsewhere, Flaky, saved)) == 1
    assert time.monotonic() - began >= 1
    assert probe.marks(key) == ["attempt 0", "attempt 1"]
    await elsewhere.clear()


async def test_a_step_in_flight_runs_again_from_the_top(stage: Stage, elsewhere: Stage) -> None:
    key = stage.settings.namespace
    handler = (await stage.put_on(Slow)).run(key=key)
    await until(lambda: probe.count(key, "work") == 1)
    # Until the driver has heard that the run was accepted, it writes down how it begins.
    await until(lambda: handler.ctx.to_dict()["workers"]["work"]["in_progress"] == ["StartEvent"])
    saved = handler.ctx.to_dict()
    await handler.cancel_run()
    assert await within(await resumed(elsewhere, Slow, saved)) == "0@work"
    await elsewhere.clear()


async def test_a_run_that_was_cancelled_can_be_written_down_and_resumed(stage: Stage, elsewhere: Stage) -> None:
    handler = (await stage.put_on(Asking)).run(key=stage.settings.namespace)
    await questions(handler, 1)
    await handler.cancel_run()
    saved = handler.ctx.to_dict()
    assert saved["is_running"] is True
    again = await resumed(elsewhere, Asking, saved)
    await again.send_event(Answer(word="a"))
    await questions(again, 1)
    await again.send_event(Answer(word="b"))
    assert await within(again) == "a b"
    await elsewhere.clear()


async def test_a_run_that_has_ended_is_not_running(stage: Stage) -> None:
    handler = (await stage.put_on(Slow)).run(key=(key := f"{stage.settings.namespace}-2"))
    await until(lambda: probe.count(key, "work") == 1)
    probe.mark(key, "work")
    await handler.cancel_run()
    other = (await stage.put_on(Flaky)).run(key=key)
    await within(other)
    assert other.ctx.to_dict()["is_running"] is False


async def test_a_run_that_timed_out_is_not_running(stage: Stage) -> None:
    handler = (await stage.put_on(Asking, timeout=0.3)).run(key=stage.settings.namespace)
    with pytest.raises(WorkflowTimeoutError):
        await within(handler)
    assert handler.ctx.to_dict()["is_running"] is False


async def test_the_time_a_run_has_used_counts_when_it_is_resumed(stage: Stage, elsewhere: Stage) -> None:
    handler = (await stage.put_on(Asking, timeout=2)).run(key=stage.settings.namespace)
    await questions(handler, 1)
    await asyncio.sleep(0.6)
    saved = handler.ctx.to_dict()
    await handler.cancel_run()
    assert saved["elapsed_alive"] >= 0.6

    began = time.monotonic()
    again = await resumed(elsewhere, Asking, saved, timeout=2)
    with pytest.raises(WorkflowTimeoutError, match="after 2 seconds"):
        await within(again)
    assert time.monotonic() - began < 1.9
    await elsewhere.clear()


async def test_a_snapshot_resumed_twice_under_one_id_is_one_run(stage: Stage, elsewhere: Stage) -> None:
    handler = (await stage.put_on(Asking)).run(key=stage.settings.namespace)
    await questions(handler, 1)
    saved = handler.ctx.to_dict()
    await handler.cancel_run()
    flow = await elsewhere.put_on(Asking)
    one, two = (flow.run(ctx=Context.from_dict(flow, saved), run_id="twice") for _ in range(2))
    await one.send_event(Answer(word="a"))
    await questions(one, 1)
    await two.send_event(Answer(word="b"))
    assert [await within(one), await within(two)] == ["a b", "a b"]
    await elsewhere.clear()


async def test_work_for_steps_that_the_workflow_does_not_have_is_refused(stage: Stage) -> None:
    handler = (await stage.put_on(Asking)).run(key=stage.settings.namespace)
    await questions(handler, 1)
    saved = handler.ctx.to_dict()
    await handler.cancel_run()
    other = stage.flow(Flaky)
    with pytest.raises(ContextSerdeError, match=r"steps that .* does not have: ask"):
        other.run(ctx=Context.from_dict(other, saved))


async def written_at_once(handler: WorkflowHandler) -> dict[str, Any]:
    """What is written of a run before the server has it; the run itself is given up."""
    saved = handler.ctx.to_dict()
    await handler.cancel_run()
    return saved


@pytest.mark.parametrize("again", [False, True])
async def test_a_run_that_was_not_accepted_yet_is_written_down_with_its_start_event(
    stage: Stage, elsewhere: Stage, again: bool
) -> None:
    key, flow = stage.settings.namespace, stage.flow(Greeting)
    ctx: Context[Any] = Context(flow)
    await ctx.store.set("word", "hello")
    saved = await written_at_once(flow.run(ctx=ctx, key=key, text="x" * 200_000))
    assert saved["is_running"] is True
    assert saved["workers"]["greet"]["queue"] == ["StartEvent"]
    assert saved["state"]["state_data"] == {"_data": {"word": '"hello"'}}
    other = await elsewhere.put_on(Greeting)
    if again:
        saved = await written_at_once(other.run(ctx=Context.from_dict(other, saved)))
        assert saved["workers"]["greet"]["queue"] == ["StartEvent"]
    resumed = other.run(ctx=Context.from_dict(other, json.loads(json.dumps(saved))))
    assert await within(resumed) == f"hello {key} 200000"
    await elsewhere.clear()


async def test_the_state_that_a_run_left_is_in_the_beginning_of_the_next(stage: Stage) -> None:
    flow = await stage.put_on(Greeting)
    first = flow.run(key="a", text="")
    await within(first)
    second = flow.run(ctx=first.ctx, key="b", text="")
    begun = second.ctx.to_dict()
    assert begun["state"]["state_data"] == {"_data": {"last": '"a"'}}
    assert begun["is_running"] is True
    assert second.ctx.to_dict(include_state=False)["state"] == {}
    await within(second)


async def test_the_beginning_of_another_workflow_is_refused(stage: Stage) -> None:
    flow, other = stage.flow(Greeting), stage.flow(Beginning)
    saved = await written_at_once(flow.run(key="a", text=""))
    with pytest.raises(ContextSerdeError, match=r"begins with StartEvent; .*Beginning begins with Begin"):
        other.run(ctx=Context.from_dict(other, saved))
    saved = await written_at_once(other.run(word="w"))
    with pytest.raises(ContextSerdeError, match=r"begins with Begin; .*Greeting begins with StartEvent"):
        flow.run(ctx=Context.from_dict(flow, saved))


async def test_a_start_event_of_a_class_that_is_not_known_is_refused(stage: Stage) -> None:
    class Unknown(StartEvent):
        pass

    class Local(Workflow):
        @step
        async def begin(self, ev: Unknown) -> StopEvent:
            return StopEvent()

    saved = await written_at_once(stage.flow(Local).run())
    flow = stage.flow(Greeting)
    with pytest.raises(ContextSerdeError, match="start event in the saved context cannot be read"):
        flow.run(ctx=Context.from_dict(flow, saved))


async def test_a_run_begun_elsewhere_is_not_written_down_before_it_was_found(stage: Stage) -> None:
    handler = (await stage.put_on(Flaky)).run(key=stage.settings.namespace)
    await within(handler)
    followed = stage.flow(Flaky).attach(handler.run_id)
    with pytest.raises(ContextStateError, match="not found yet"):
        followed.ctx.to_dict()
    await within(followed)
    assert followed.ctx.to_dict()["is_running"] is False
