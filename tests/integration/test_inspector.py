from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis

from broker_wf import Context, Workflow, step
from broker_wf.broker.broker import open_broker
from broker_wf.broker.kinds import FIELD
from broker_wf.errors import AmbiguousRunIdError, RunNotFoundError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.inspector import Inspector
from broker_wf.inspector.views import RunView, as_dict
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.integration.stage import Stage, until, within


class Note(Event):
    text: str


class Echo(Workflow):
    @step
    async def say(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Note(text="heard"))
        return StopEvent(result={"said": ev.get("text", "")})


class Bill(StopEvent):
    total: float


class Shop(Workflow):
    @step
    async def sell(self, ev: StartEvent) -> Bill:
        return Bill(total=2.5)


class Piece(Event):
    index: int


class Held(Workflow):
    """Pieces that do not end by themselves, two at one time."""

    @step
    async def split(self, ev: StartEvent) -> list[Piece]:
        return [Piece(index=index) for index in range(ev.n)]

    @step(num_workers=2)
    async def hold(self, ev: Piece) -> Note:
        await asyncio.sleep(60)
        return Note(text="never")

    @step
    async def gather(self, ev: list[Note]) -> StopEvent:
        return StopEvent()


class Failing(Workflow):
    @step
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise LookupError("nothing under that name")


class Retried(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(60), stop=stop_after_attempt(5)))
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise LookupError("not yet")


class Reader:
    """Questions from another connection than that of the stage."""

    def __init__(self, inspector: Inspector) -> None:
        self.ask = inspector

    async def run_when(self, run_id: str, **counts: int) -> RunView:
        """The run, once these counts of its deliveries are so."""
        for _ in range(2_000):
            with contextlib.suppress(RunNotFoundError):
                view = await self.ask.run(run_id)
                found = {name: sum(getattr(one, name) for one in view.steps) for name in counts}
                if found == counts:
                    return view
            await asyncio.sleep(0.005)
        raise AssertionError(f"never {counts}")

    async def cancel(self, handler: WorkflowHandler) -> None:
        """Cancel a run of ``Held``, and wait until its steps have given their places back."""
        await handler.cancel_run()
        broker = self.ask.broker
        places = broker.keys.of("running", f"{__name__}.Held", "hold")
        for _ in range(2_000):
            if not await broker.pipe.command("ZCARD", places):
                return
            await asyncio.sleep(0.005)
        raise AssertionError("the places are never given back")

    async def accepted(self, run_id: str) -> None:
        """Return once a run is there."""
        await self.run_when(run_id)


@pytest_asyncio.fixture
async def reader(cluster: Stage) -> AsyncIterator[Reader]:
    broker = await open_broker(cluster.settings, cluster.url, patience_s=5.0)
    yield Reader(Inspector(broker))
    await broker.pipe.close()


async def test_a_completed_run_is_shown_with_its_result_and_its_counts(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Echo)).run(text="hi")
    await within(handler)
    view = await reader.ask.run(handler.run_id)
    assert (view.status, view.result, view.result_type, view.error) == ("completed", {"said": "hi"}, "StopEvent", None)
    assert view.ended_at is not None
    assert view.started_at is not None
    assert view.created_at <= view.started_at <= view.ended_at
    assert [(one.step, one.done) for one in view.steps] == [("say", 1)]
    assert view.deliveries == ()


async def test_a_stop_event_of_the_users_own_is_shown_without_its_class(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Shop)).run()
    await within(handler)
    view = await reader.ask.run(handler.run_id)
    assert (view.result_type, view.result) == ("Bill", {"total": 2.5})


async def test_what_is_too_large_to_travel_in_an_event_is_shown_whole(cluster: Stage, reader: Reader) -> None:
    cluster.change(blob_from=2_000, compress_from=2_000)
    handler = (await cluster.put_on(Echo)).run(text="long " * 1_000)
    await within(handler)
    view = await reader.ask.run(handler.run_id)
    assert view.result == {"said": "long " * 1_000}
    assert (await reader.ask.events(handler.run_id))[-1].value == {"result": view.result}


async def test_a_failed_run_tells_step_attempts_and_error(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Failing)).run()
    with pytest.raises(LookupError):
        await within(handler)
    error = (await reader.ask.run(handler.run_id)).error
    assert error is not None
    assert (error.type, error.message) == ("builtins.LookupError", "nothing under that name")
    assert (error.step, error.attempts) == ("fail", 1)
    assert "raise LookupError" in error.traceback


async def test_live_deliveries_are_counted_by_step_and_state(cluster: Stage, reader: Reader) -> None:
    cluster.change(dispatch_window=10)
    handler = (await cluster.put_on(Held)).run(n=30)
    view = await reader.run_when(handler.run_id, leased=2, queued=8, backlog=20, done=1)
    assert view.backlog == 20
    assert {one.step for one in view.steps} == {"split", "hold"}
    leased = [one for one in view.deliveries if one.state == "leased"]
    assert len(leased) == 2
    assert all(one.worker and one.started_at and one.due_at for one in leased)
    await reader.cancel(handler)


async def test_a_large_fan_out_is_counted_whole(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Held)).run(n=2_500)
    await reader.run_when(handler.run_id, leased=2, done=1)
    view = await reader.ask.run(handler.run_id)  # the one before may have been read while the fan-out was taken over
    live = sum(one.leased + one.queued for one in view.steps)
    assert live + view.backlog == 2_500
    await reader.cancel(handler)


async def test_a_delivery_that_waits_for_its_next_attempt_tells_when_and_why(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Retried)).run()
    view = await reader.run_when(handler.run_id, delayed=1)
    (delivery,) = view.deliveries
    assert delivery.attempt == 2
    assert delivery.due_at is not None
    assert (delivery.due_at - view.created_at).total_seconds() > 50
    assert delivery.last_error is not None
    assert delivery.last_error.message == "not yet"
    await reader.cancel(handler)


async def test_the_waterfall_has_a_row_for_each_execution(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Held)).run(n=3)
    await reader.run_when(handler.run_id, leased=2, queued=1)
    rows = await reader.ask.steps(handler.run_id)
    assert [(row.step, row.state, row.outcome) for row in rows] == [
        ("split", "done", "ok"),
        ("hold", "leased", None),
        ("hold", "leased", None),
        ("hold", "queued", None),
    ]
    assert rows[0].ended_at is not None
    await reader.cancel(handler)


async def test_the_feed_is_shown_behind_a_cursor(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Echo)).run()
    await within(handler)
    everything = await reader.ask.events(handler.run_id)
    assert [(one.seq, one.type) for one in everything] == [(1, "Note"), (2, "StopEvent")]
    assert everything[0].value == {"text": "heard"}
    assert everything[0].step == "say"
    assert await reader.ask.events(handler.run_id, after=1) == everything[1:]


async def test_the_feed_of_a_cancelled_run_ends_with_its_event(cluster: Stage, reader: Reader) -> None:
    handler = (await cluster.put_on(Held)).run(n=1)
    await reader.run_when(handler.run_id, leased=1)
    await reader.cancel(handler)
    assert [one.type for one in await reader.ask.events(handler.run_id)][-1] == "WorkflowCancelledEvent"
    view = await reader.ask.run(handler.run_id)
    assert (view.status, view.error and view.error.message) == ("cancelled", "the run was cancelled")


async def test_runs_are_listed_newest_first_and_by_page(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo)
    for n in range(7):
        await within(flow.run(run_id=f"run{n}"))
    first = await reader.ask.runs(limit=3)
    second = await reader.ask.runs(limit=3, before=first[-1].cursor)
    third = await reader.ask.runs(limit=3, before=second[-1].cursor)
    assert [one.run_id for one in (*first, *second, *third)] == [f"run{n}" for n in reversed(range(7))]
    assert await reader.ask.runs(limit=3, before=third[-1].cursor) == []


async def test_runs_of_one_moment_are_all_listed(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo)
    await within(asyncio.gather(*(flow.run(run_id=f"run{n:02}") for n in range(20))))
    with redis.Redis.from_url(cluster.url) as client:
        ended = cluster.keys.of("ended_runs", flow.workflow_name)
        client.zadd(ended, {f"run{n:02}": 5_000 for n in range(20)})
    seen: list[str] = []
    before = None
    while page := await reader.ask.runs(limit=3, before=before):
        seen += [one.run_id for one in page]
        before = page[-1].cursor
    assert sorted(seen) == [f"run{n:02}" for n in range(20)]


async def test_runs_are_listed_by_workflow_and_by_status(cluster: Stage, reader: Reader) -> None:
    echo, failing, held = [await cluster.put_on(cls) for cls in (Echo, Failing, Held)]
    await within(echo.run(run_id="well"))
    with pytest.raises(LookupError):
        await within(failing.run(run_id="badly"))
    waiting = held.run(run_id="still", n=1)
    await reader.run_when("still", leased=1)

    async def ids(**asked: Any) -> list[str]:
        return [one.run_id for one in await reader.ask.runs(**asked)]

    assert await ids(status="failed") == ["badly"]
    assert await ids(status="running") == ["still"]
    assert await ids(workflow=echo.workflow_name) == ["well"]
    assert await ids(workflow=echo.workflow_name, status="failed") == []
    assert set(await ids()) == {"well", "badly", "still"}
    await reader.cancel(waiting)


async def test_a_run_that_is_kept_no_longer_is_not_listed(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo)
    await within(flow.run(run_id="gone"))
    with redis.Redis.from_url(cluster.url) as client:
        client.delete(cluster.keys.of("run", "gone"))
    assert await reader.ask.runs() == []
    with pytest.raises(RunNotFoundError):
        await reader.ask.run("gone")


async def test_a_run_whose_record_was_damaged_is_shown_all_the_same(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo)
    await within(flow.run(run_id="odd"))
    with redis.Redis.from_url(cluster.url) as client:
        client.hset(cluster.keys.of("run", "odd"), FIELD, b"\xc1")
    (listed,) = await reader.ask.runs()
    shown = await reader.ask.run("odd")
    assert (listed.workflow, listed.status) == (shown.workflow, shown.status) == ("", "completed")
    assert (shown.digest, shown.lane) == ("", "")


async def test_a_cursor_of_another_kind_is_refused(reader: Reader) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        await reader.ask.runs(before="yesterday")


async def test_an_id_may_be_cut_short_as_long_as_it_fits_one_run(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo)
    for run_id in ("alpha1", "alpha2", "beta", "be*ta"):
        await within(flow.run(run_id=run_id))
    assert await reader.ask.run_id("alpha1") == "alpha1"
    assert await reader.ask.run_id("bet") == "beta"
    assert await reader.ask.run_id("be*") == "be*ta"
    with pytest.raises(AmbiguousRunIdError, match="begins with 'alph', such as alpha1, alpha2;"):
        await reader.ask.run_id("alph")
    for missing in ("", "gamma", "alpha12"):
        with pytest.raises(RunNotFoundError):
            await reader.ask.run_id(missing)


async def test_workers_are_known_by_their_heartbeat(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo, workers=2)
    views = await reader.ask.workers()
    assert sorted(one.id for one in views) == sorted(one.worker.id for one in cluster.workers if one.worker)
    assert {one.workflows for one in views} == {(flow.workflow_name,)}
    assert await reader.ask.serving(flow.workflow_name) == 2
    await cluster.stop_worker(cluster.workers[0])
    assert len(await reader.ask.workers()) == 1
    assert await reader.ask.serving(flow.workflow_name) == 1
    assert await reader.ask.serving("nobody") == 0


async def test_a_worker_that_fell_silent_counts_no_more(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo, workers=1)
    worker = cluster.workers[0].worker
    assert worker is not None
    with redis.Redis.from_url(cluster.url) as client:
        client.zadd(cluster.keys.of("roster"), {"silent": 1})
        client.zadd(cluster.keys.of("serving", flow.workflow_name), {"silent": 1})
        assert [one.id for one in await reader.ask.workers()] == [worker.id]
        assert await reader.ask.serving(flow.workflow_name) == 1
        client.zrem(cluster.keys.of("roster"), "silent")
        client.zrem(cluster.keys.of("serving", flow.workflow_name), "silent")


async def test_the_status_tells_server_workers_and_load(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Held, workers=1)
    handler = flow.run(n=5)
    await reader.run_when(handler.run_id, leased=2, queued=3)
    view = await reader.ask.status()
    assert view.namespace == cluster.settings.namespace
    assert int(view.server.version.split(".")[0]) >= 7
    assert view.server.log == "on"
    assert len(view.workers) == 1
    assert view.dead_letters == 0
    (load,) = view.workflows
    assert (load.workflow, load.workers, load.live_runs, load.ended_runs) == (flow.workflow_name, 1, 1, 0)
    assert (load.waiting, load.running) == (3, 2)
    assert load.oldest_waiting_ms is not None
    await reader.cancel(handler)


async def test_a_run_nobody_ever_served_is_told_as_waiting(cluster: Stage, reader: Reader) -> None:
    flow = cluster.flow(Echo)
    handler = flow.run(run_id="early")
    await reader.accepted("early")
    (load,) = (await reader.ask.status()).workflows
    assert (load.class_path, load.workers, load.waiting) == (None, 0, 1)
    assert load.oldest_waiting_ms is not None
    await cluster.put_on(Echo)
    await within(handler)


async def test_dead_letters_are_told_newest_first(cluster: Stage, reader: Reader) -> None:
    flow = await cluster.put_on(Echo, workers=1)
    work = cluster.keys.of("work", flow.workflow_name, "StartEvent")
    with redis.Redis.from_url(cluster.url) as client:
        client.xadd(work, {"what": b"\xff"})
        client.zadd(cluster.keys.of("ready", flow.workflow_name), {"w:StartEvent|say": 0})
        client.rpush(cluster.keys.of("bell", flow.workflow_name), "1")
        await until(lambda: client.xlen(cluster.keys.of("dead")) == 1)
    (letter,) = await reader.ask.dead_letters()
    assert letter.kind == "malformed"
    assert letter.reason == "the entry of the stream is not one of ours"
    assert letter.facts["fields"] == ["what", "\\xff"]
    assert as_dict(letter)["run_id"] is None
