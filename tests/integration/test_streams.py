from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.driver import feeds
from broker_wf.errors import (
    EventsTrimmedError,
    RunNotFoundError,
    WorkflowCancelledByUser,
    WorkflowRuntimeError,
    WorkflowTimeoutError,
)
from broker_wf.events import (
    Event,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)
from broker_wf.handler import WorkflowHandler
from tests.integration.stage import Stage, within


class Note(Event):
    n: int


class Next(Event):
    n: int


class Notes(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Next:
        for n in range(ev.notes):
            ctx.write_event_to_stream(Note(n=n))
        ctx.write_event_to_stream(None)
        return Next(n=ev.notes)

    @step
    async def end(self, ctx: Context, ev: Next) -> StopEvent:
        ctx.write_event_to_stream(Note(n=ev.n))
        return StopEvent(result="noted")


class OpenEnded(Workflow):
    """Publishes, and ends when it is told to."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Next | None:
        for n in range(30):
            ctx.write_event_to_stream(Note(n=n))
        return None

    @step
    async def end(self, ev: Next) -> StopEvent:
        return StopEvent()


class Asking(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="your name?")

    @step
    async def never(self, ev: Note) -> StopEvent:
        return StopEvent()


class Endings(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Note(n=0))
        if ev.how == "fails":
            raise LookupError("nothing there")
        await asyncio.sleep(60)
        return StopEvent()


async def read(handler: WorkflowHandler, count: int | None = None) -> list[Event]:
    """The next events; all if no number is given."""
    found: list[Event] = []
    async for event in handler.stream_events():
        found.append(event)
        if len(found) == count:
            break
    return found


def numbers(events: list[Event]) -> list[int]:
    return [event.n for event in events if isinstance(event, Note)]


async def test_events_are_streamed_in_the_order_they_were_written(stage: Stage) -> None:
    handler = (await stage.put_on(Notes)).run(notes=1200)
    assert numbers(await within(read(handler))) == list(range(1201))


async def test_the_event_that_ends_the_run_is_the_last_one(stage: Stage) -> None:
    handler = (await stage.put_on(Notes)).run(notes=3)
    events = await within(read(handler))
    assert [type(event) for event in events] == [Note] * 4 + [StopEvent]
    assert await within(handler) == "noted"


async def test_readers_that_begin_at_one_time_each_get_everything(stage: Stage) -> None:
    handler = (await stage.put_on(Notes)).run(notes=100)
    found = await within(asyncio.gather(*(read(handler) for _ in range(4))))
    assert [numbers(one) for one in found] == [list(range(101))] * 4


async def test_a_reader_that_comes_while_another_waits_for_more_begins_at_the_beginning(stage: Stage) -> None:
    flow = await stage.put_on(OpenEnded)
    handler = flow.run()
    waiting = handler.stream_events()
    assert [(await within(anext(waiting))) for _ in range(30)]
    more = asyncio.ensure_future(anext(waiting))
    late = [asyncio.ensure_future(read(one)) for one in (handler, handler, flow.attach(handler.run_id))]
    await within(handler.send_event(Next(n=0)))
    assert isinstance(await within(more), StopEvent)
    assert [numbers(one) for one in await within(asyncio.gather(*late))] == [list(range(30))] * 3
    await waiting.aclose()


async def test_a_reader_that_comes_after_the_end_gets_everything_too(stage: Stage) -> None:
    flow = await stage.put_on(Notes)
    handler = flow.run(notes=50)
    await within(handler)
    assert numbers(await within(read(flow.attach(handler.run_id)))) == list(range(51))
    assert numbers(await within(read(handler))) == list(range(51))


async def test_a_reader_that_left_goes_on_where_it_left(stage: Stage) -> None:
    handler = (await stage.put_on(Notes)).run(notes=20)
    first = await within(read(handler, 5))
    second = await within(read(handler, 3))
    rest = await within(read(handler))
    assert numbers(first) == [0, 1, 2, 3, 4]
    assert numbers(second) == [5, 6, 7]
    assert numbers(rest) == list(range(8, 21))


async def test_a_stream_that_was_read_to_its_end_says_so(stage: Stage) -> None:
    handler = (await stage.put_on(Notes)).run(notes=1)
    await within(read(handler))
    with pytest.raises(WorkflowRuntimeError, match="All the streamed events have already been consumed"):
        await within(read(handler))


async def test_a_reader_may_begin_behind_an_event_it_has_seen(stage: Stage) -> None:
    handler = (await stage.put_on(Notes)).run(notes=10)
    await within(handler)
    events = [event async for event in handler.stream_events(after=7)]
    assert numbers(events) == [7, 8, 9, 10]


async def test_a_reader_that_fell_behind_is_told_what_it_missed(stage: Stage) -> None:
    handler = (await stage.put_on(Notes)).run(notes=10)
    await within(handler)
    with redis.Redis.from_url(stage.url) as client:
        client.xtrim(stage.keys.of("feed", handler.run_id), maxlen=2, approximate=False)
    with pytest.raises(EventsTrimmedError) as caught:
        await within(read(handler))
    assert caught.value.first_missing == 1


async def test_a_run_that_nobody_knows_cannot_be_streamed(stage: Stage) -> None:
    flow = await stage.put_on(Notes)
    with pytest.raises(RunNotFoundError, match="no run nowhere is known here"):
        await within(read(flow.attach("nowhere")))


async def test_a_question_that_a_step_returns_is_streamed(stage: Stage) -> None:
    handler = stage.flow(Asking, disable_validation=True).run()
    if not stage.in_process:
        await stage.add_worker(Asking, disable_validation=True)
    (question,) = await within(read(handler, 1))
    assert isinstance(question, InputRequiredEvent)
    assert question.prefix == "your name?"
    await within(handler.cancel_run())


async def test_the_stream_of_a_run_that_failed_ends_with_its_failure(stage: Stage) -> None:
    handler = (await stage.put_on(Endings)).run(how="fails")
    note, failed = await within(read(handler))
    assert isinstance(note, Note)
    assert isinstance(failed, WorkflowFailedEvent)
    assert (failed.step_name, repr(failed.exception), failed.attempts) == ("begin", "LookupError('nothing there')", 1)
    with pytest.raises(LookupError):
        await within(handler)


async def test_the_stream_of_a_run_that_took_too_long_ends_with_its_timeout(stage: Stage) -> None:
    handler = (await stage.put_on(Endings, timeout=0.3)).run(how="sleeps")
    last = (await within(read(handler)))[-1]
    assert isinstance(last, WorkflowTimedOutEvent)
    assert (last.timeout, last.active_steps) == (0.3, ["begin"])
    with pytest.raises(WorkflowTimeoutError):
        await within(handler)


async def test_the_stream_of_a_run_that_was_cancelled_ends_so(stage: Stage) -> None:
    handler = (await stage.put_on(Endings)).run(how="sleeps")
    await within(read(handler, 1))
    await within(handler.cancel_run())
    assert [type(event) for event in await within(read(handler))] == [WorkflowCancelledEvent]
    with pytest.raises(WorkflowCancelledByUser):
        await within(handler)


async def test_nothing_that_comes_over_a_new_connection_is_told_before_a_look_back(
    cluster: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is lost between two reads has other events from the sixth one on when it is back, and one more."""
    handler, original, lost = (await cluster.put_on(OpenEnded)).run(), feeds.wait_for_feeds, asyncio.Event()
    feed = cluster.keys.of("feed", handler.run_id)

    async def lose_and_read(*read: Any) -> Any:
        if told and not lost.is_set():
            lost.set()
            with redis.Redis.from_url(cluster.url) as client:
                entries = cast("list[tuple[bytes, Any]]", client.xrange(feed))
                client.delete(feed)
                for number in range(1, 32):
                    client.xadd(feed, entries[number - 1 if number <= 5 else number - 2][1], id=f"{number}-0")
                client.hset(cluster.keys.of("run", handler.run_id), "seq", 31)
                client.client_kill_filter(_type="normal", skipme=True)
        return await original(*read)

    told: list[Event] = []
    events = handler.stream_events()
    told += [await within(anext(events)) for _ in range(30)]
    assert numbers(told) == list(range(30))
    monkeypatch.setattr(feeds, "wait_for_feeds", lose_and_read)
    await within(lost.wait())
    assert numbers([await within(anext(events)) for _ in range(26)]) == list(range(4, 30))
    await within(handler.cancel_run())
    assert isinstance(await within(anext(events)), WorkflowCancelledEvent)
