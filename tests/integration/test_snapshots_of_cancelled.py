"""A run that somebody else has cancelled is written down as it was then, and goes on in another namespace."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowCancelledByUser
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.retry_policy import retry_policy, wait_fixed
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within
from tests.integration.test_snapshots import Answer, Asking, Fan, questions, resumed

ROOT = Path(__file__).resolve().parents[2]


class Parcel(Event):
    text: str


class Heavy(Workflow):
    """Its second step has a large event in hand when the run is cancelled."""

    @step
    async def begin(self, ev: StartEvent) -> Parcel:
        return Parcel(text=ev.letter * ev.size)

    @step
    async def keep(self, ctx: Context, ev: Parcel) -> StopEvent:
        answer = await ctx.wait_for_event(Answer)
        return StopEvent(result=f"{answer.word} {len(ev.text)} {ev.text[0]}")


class Patient(Workflow):
    """Fails once, and is tried again much later."""

    @step(retry_policy=retry_policy(wait=wait_fixed(3_600)))
    async def work(self, ev: StartEvent) -> StopEvent:
        raise ValueError("not yet")


@pytest.fixture
def beyond(stage: Stage) -> Stage:
    """The stage once more, in a namespace that knows nothing of the first."""
    other = Stage(stage.settings)
    other.change(namespace=f"{stage.settings.namespace}-else")
    return other


def due_times(stage: Stage) -> list[float]:
    """When what waits in the next hour or later is due."""
    with redis.Redis.from_url(stage.url) as client:
        soon = (client.time()[0] + 1_800) * 1000
        found = client.zrangebyscore(stage.keys.of("watch"), soon, "+inf", withscores=True)
    return [float(score) for _, score in found]


async def cancelled_by_another_process(stage: Stage, handler: WorkflowHandler) -> None:
    """Type the command that cancels a run, and hear of its end."""
    with redis.Redis.from_url(stage.url) as client:
        await until(lambda: bool(client.exists(stage.keys.of("run", handler.run_id))))
    typed = (sys.executable, "-m", "broker_wf", "runs", "cancel", handler.run_id)
    environment = {**os.environ, "BROKER_WF_URL": stage.url, "BROKER_WF_NAMESPACE": stage.settings.namespace}
    other = await asyncio.create_subprocess_exec(*typed, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL)
    assert await within(other.wait()) == 0
    with pytest.raises(WorkflowCancelledByUser):
        await within(handler)


async def test_a_run_that_another_process_cancelled_is_written_down_and_resumed(stage: Stage, beyond: Stage) -> None:
    key = stage.settings.namespace
    handler = (await stage.put_on(Asking)).run(key=key)
    await questions(handler, 1)
    await handler.send_event(Answer(word="a"))
    await questions(handler, 1)
    await cancelled_by_another_process(stage, handler)
    saved = handler.ctx.to_dict()
    assert (saved["is_running"], saved["workers"]["ask"]["collected_waiters"]) == (True, ["Item"])
    assert saved["elapsed_alive"] > 0
    again = await resumed(beyond, Asking, saved)
    await again.send_event(Answer(word="b"))
    assert await within(again) == "a b"
    assert probe.count(key, "begin") == 1
    await beyond.clear()


async def test_an_open_fan_out_that_another_process_cancelled_goes_on(stage: Stage, beyond: Stage) -> None:
    handler = (await stage.put_on(Fan)).run(key=stage.settings.namespace)
    await questions(handler, 3)
    await cancelled_by_another_process(stage, handler)
    again = await resumed(beyond, Fan, handler.ctx.to_dict())
    await again.send_event(Answer(word="go"))
    assert await within(again) == [0, 1, 2, 3, 4, 5]
    await beyond.clear()


async def test_a_delayed_retry_that_another_process_cancelled_is_still_due(stage: Stage, beyond: Stage) -> None:
    handler = (await stage.put_on(Patient)).run()
    await until(lambda: handler.ctx.to_dict()["workers"].get("work", {}).get("queue") == ["StartEvent"])
    await until(lambda: due_times(stage) != [])
    due = due_times(stage)
    await cancelled_by_another_process(stage, handler)
    again = await resumed(beyond, Patient, handler.ctx.to_dict())
    await until(lambda: due_times(beyond) == due)
    await again.cancel_run()
    await beyond.clear()


async def test_large_events_of_a_run_that_another_process_cancelled_are_kept(stage: Stage, beyond: Stage) -> None:
    handler = (await stage.put_on(Heavy)).run(letter="x", size=600_000)
    await until(lambda: bool(handler.ctx.to_dict()["workers"].get("keep", {}).get("collected_waiters")))
    await cancelled_by_another_process(stage, handler)
    again = await resumed(beyond, Heavy, handler.ctx.to_dict())
    await again.send_event(Answer(word="got"))
    assert await within(again) == "got 600000 x"
    await beyond.clear()


async def test_whoever_finds_a_cancelled_run_later_writes_it_down_too(stage: Stage, beyond: Stage) -> None:
    flow = await stage.put_on(Asking)
    handler = flow.run(key=stage.settings.namespace)
    await questions(handler, 1)
    await cancelled_by_another_process(stage, handler)
    found = flow.attach(handler.run_id)
    with pytest.raises(WorkflowCancelledByUser):
        await within(found)
    again = await resumed(beyond, Asking, found.ctx.to_dict())
    await again.send_event(Answer(word="a"))
    await questions(again, 1)
    await again.send_event(Answer(word="b"))
    assert await within(again) == "a b"
    await beyond.clear()
