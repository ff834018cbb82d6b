"""What steps log is kept with their run: its last lines, as long as the run."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowRuntimeError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.inspecting import opened_broker
from broker_wf.inspector.logs import read_logs
from broker_wf.inspector.views import LogView
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within

theirs = logging.getLogger("some.library")
nobody = logging.getLogger("nobody.reads.this")
nobody.addFilter(lambda record: False)  # no handler may see what cannot be printed


@pytest.fixture(autouse=True)
def unseen_by_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a surrogate pair in what it captures cannot be told between the processes of xdist."""
    monkeypatch.setattr(logging.getLogger("broker_wf.run"), "filters", [lambda record: False])


async def lines_of(stage: Stage, run_id: str, **wanted: str) -> list[LogView]:
    async with opened_broker(stage.settings) as broker:
        return (await read_logs(broker, run_id, **wanted))[0]  # pyright: ignore[reportArgumentType]


async def some_lines_of(stage: Stage, run_id: str) -> list[LogView]:
    """Its lines, once there are any."""
    for _ in range(500):
        if lines := await lines_of(stage, run_id):
            return lines
        await asyncio.sleep(0.02)
    raise AssertionError("nothing was logged")


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")


class Handed(Event):
    n: int


class Talks(Workflow):
    """Logs in each way there is, in an async step and in a thread."""

    @step
    async def first(self, ctx: Context, ev: StartEvent) -> Handed:
        ctx.logger.info("begins with %d", 7)
        ctx.logger.debug("too fine")
        theirs.warning("from a library")
        theirs.info("below the level of its logger")
        nobody.warning("%s", Unprintable())
        try:
            raise KeyError("lost")
        except KeyError:
            ctx.logger.exception("went wrong")
        return Handed(n=1)

    @step
    def second(self, ctx: Context, ev: Handed) -> StopEvent:
        ctx.logger.error("é\ud800" + "x" * 10_000 + "end")
        return StopEvent()


async def test_lines_are_kept_with_where_they_come_from(stage: Stage) -> None:
    theirs.setLevel(logging.WARNING)
    handler = (await stage.put_on(Talks)).run()
    await within(handler)
    lines = await lines_of(stage, handler.run_id)
    assert [(one.level, one.logger, one.step) for one in lines] == [
        ("INFO", "broker_wf.run", "first"),
        ("WARNING", "some.library", "first"),
        ("WARNING", "nobody.reads.this", "first"),
        ("ERROR", "broker_wf.run", "first"),
        ("ERROR", "broker_wf.run", "second"),
    ]
    assert lines[0].text == "begins with 7"
    assert lines[0].attempt == 1
    assert lines[0].worker
    assert "Unprintable" in lines[2].text
    assert lines[3].text.splitlines()[0] == "went wrong"
    assert lines[3].text.splitlines()[-1] == "KeyError: 'lost'"
    assert len(lines[4].text) < 4_100
    assert (lines[4].text[:2], lines[4].text[-3:]) == ("é?", "end")


async def test_lines_are_asked_for_by_step_by_level_and_from_a_cursor_on(stage: Stage) -> None:
    handler = (await stage.put_on(Talks)).run()
    await within(handler)
    lines = await lines_of(stage, handler.run_id)
    assert await lines_of(stage, handler.run_id, step="second") == lines[4:]
    assert await lines_of(stage, handler.run_id, level="ERROR") == lines[3:]
    assert await lines_of(stage, handler.run_id, after=lines[2].cursor) == lines[3:]
    assert await lines_of(stage, "nobody") == []
    async with opened_broker(stage.settings) as broker:
        first, cursor = await read_logs(broker, handler.run_id, limit=2)
        assert (first, cursor) == (lines[:2], lines[1].cursor)
        with pytest.raises(ValueError, match="no cursor"):
            await read_logs(broker, handler.run_id, after="7")


class Chatters(Workflow):
    """Logs more than is kept, then waits to be let go."""

    @step
    async def chat(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(2_500):
            ctx.logger.info("line %d", n)
        await until(lambda: probe.count(ev.name, "seen") == 1)
        return StopEvent()


async def test_the_last_lines_are_kept_and_seen_while_the_step_still_works(stage: Stage) -> None:
    flow, name = await stage.put_on(Chatters), stage.settings.namespace
    handler = flow.run(name=name)
    lines = await some_lines_of(stage, handler.run_id)
    probe.mark(name, "seen")
    await within(handler)
    assert [one.text for one in lines] == [f"line {n}" for n in range(1_500, 2_500)]


async def test_lines_expire_with_their_run(stage: Stage) -> None:
    handler = (await stage.put_on(Talks)).run()
    await within(handler)
    with redis.Redis.from_url(stage.url) as client:
        run, logs = (client.pttl(stage.keys.of(family, handler.run_id)) for family in ("run", "logs"))
        assert 0 < logs <= run + 1_000
    async with opened_broker(stage.settings) as broker:
        assert await broker.runs.purge(handler.run_id) == "OK"
    with redis.Redis.from_url(stage.url) as client:
        assert not client.exists(stage.keys.of("logs", handler.run_id))


async def test_none_are_kept_where_that_is_set_and_nothing_is_written_for_a_run_that_logs_nothing(stage: Stage) -> None:
    stage.change(run_logs=0)
    handler = (await stage.put_on(Talks)).run()
    await within(handler)
    assert await lines_of(stage, handler.run_id) == []
    with redis.Redis.from_url(stage.url) as client:
        assert not client.exists(stage.keys.of("logs", handler.run_id))


class Fails(Workflow):
    """Is tried twice; the engine says so in its log."""

    @step(retry_policy=retry_policy(wait=wait_fixed(0.01), stop=stop_after_attempt(2)))
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.logger.info("tries")
        raise RuntimeError("will not do")


async def test_attempts_and_why_a_step_has_failed_are_told(stage: Stage) -> None:
    handler = (await stage.put_on(Fails)).run()
    with pytest.raises(RuntimeError):
        await within(handler)
    lines = await lines_of(stage, handler.run_id, level="INFO")
    assert [(one.attempt, one.text) for one in lines if one.logger == "broker_wf.run"] == [(1, "tries"), (2, "tries")]
    assert "failed for good: RuntimeError('will not do')" in lines[-1].text


class Outlived(Workflow):
    """Leaves a thread behind that logs when the run is over."""

    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        def late() -> None:
            wake.wait(20)
            ctx.logger.info("late")
            probe.mark(ev.name, "said")

        wake = threading.Event()
        waiting.append(wake)
        threading.Thread(target=contextvars.copy_context().run, args=(late,), daemon=True).start()
        return StopEvent()


waiting: list[threading.Event] = []


async def test_what_a_thread_says_behind_the_end_of_its_run_is_kept_no_longer_than_the_run(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Outlived, workers=1), cluster.settings.namespace
    handler = flow.run(name=name)
    await within(handler)
    waiting.pop().set()
    assert [one.text for one in await some_lines_of(cluster, handler.run_id)] == ["late"]
    again = flow.run(name=name)
    await within(again)
    await cluster.clear()  # the worker's loop ends, and the thread still holds on to it
    waiting.pop().set()
    await until(lambda: probe.count(name, "said") == 2)
    assert await lines_of(cluster, again.run_id) == []


async def test_the_same_lines_sent_again_are_kept_once_and_for_no_run_that_is_not_there(stage: Stage) -> None:
    handler = (await stage.put_on(Talks)).run()
    await within(handler)
    async with opened_broker(stage.settings) as broker:
        (line, _), *_ = [(one, None) for _, one in await broker.logs.read(handler.run_id, "", 10)]
        for _ in range(2):
            assert await broker.logs.add(handler.run_id, "somebody", 5, 1_000, [line.packed]) in (b"OK", b"SEEN")
        assert len(await broker.logs.read(handler.run_id, "", 100)) == 6
        assert await broker.logs.add("nobody", "somebody", 6, 1_000, [line.packed]) == b"missing"


def test_a_logger_is_there_outside_of_steps_too() -> None:
    assert Context(Talks()).logger.name == "broker_wf.run"
    with pytest.raises(WorkflowRuntimeError):
        Context.get_step_context()
