"""Many instances of a workflow in one process share a lane; lanes that are used no longer cost nothing."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.errors import RunConflictError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.home import home_of
from tests.integration.stage import Stage, until, within

MOST = 16


class Said(Event):
    text: str
    is_last: bool = True


class Short(Workflow):
    @step
    async def end(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.get("n"))


class Greets(Workflow):
    def __init__(self, word: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.word = word

    @step
    async def greet(self, ev: StartEvent) -> Said:
        return Said(text=self.word)

    @step
    async def end(self, ev: Said) -> StopEvent:
        return StopEvent(result=f"{ev.text} {self.word} {ev.is_last}")


class Asks(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent())
        return StopEvent(result=answer.get("text"))


async def lanes_of(stage: Stage) -> int:
    """How many the process serves, the two of each program as one."""
    worker = (await home_of(stage.settings)).worker
    assert worker is not None
    return len(worker._served.all())


def keys_of_lanes(stage: Stage) -> set[bytes]:
    with redis.Redis.from_url(stage.url) as client:
        return {key for key in client.scan_iter(match=stage.keys.tag + "*") if b"Short" in key and b"@" in key}


def there(ones: list[weakref.ref[Workflow]]) -> int:
    """How many there still are."""
    gc.collect()
    return sum(one() is not None for one in ones)


async def test_instances_share_a_lane_and_each_executes_its_own_runs(alone: Stage) -> None:
    flows = [alone.flow(Greets, word=f"w{n}") for n in range(60)]
    handlers = [flow.run() for flow in flows for _ in range(2)]
    assert await asyncio.gather(*(within(one) for one in handlers)) == [f"w{n // 2} w{n // 2} True" for n in range(120)]
    assert await lanes_of(alone) == 1
    assert await within(flows[7].run()) == "w7 w7 True"


async def test_an_instance_is_forgotten_once_its_run_has_ended(alone: Stage) -> None:
    assert await within(alone.flow(Greets, word="first").run()) == "first first True"
    flow = alone.flow(Greets, word="second")
    gone = weakref.ref(flow)
    assert await within(flow.run()) == "second second True"
    del flow

    await until(lambda: there([gone]) == 0)


async def test_a_run_that_is_refused_leaves_nothing(alone: Stage) -> None:
    flow = alone.flow(Short)
    assert await within(flow.run(run_id="one", n=1)) == 1
    with pytest.raises(RunConflictError):
        await within(alone.flow(Short).run(run_id="one", n=2))
    (lane,) = (await home_of(alone.settings))._private.values()
    assert not lane.live


async def test_lanes_of_workflows_without_a_run_are_given_up_but_for_a_few(alone: Stage) -> None:
    asking = alone.flow(Asks).run()
    async for event in asking.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    gone: list[weakref.ref[Workflow]] = []
    for n in range(60):
        flow = alone.flow(Short, workflow_name=f"Short{n}")
        assert await within(flow.run(n=n)) == n
        gone.append(weakref.ref(flow))
        del flow
    worker = (await home_of(alone.settings)).worker
    assert worker is not None
    await until(lambda: len(worker._served.all()) == MOST + 1)
    await until(lambda: there(gone) <= MOST + 2)
    served = {lane.encode() for lane in worker._served.lanes()}
    await until(lambda: not {key for key in keys_of_lanes(alone) if not any(lane in key for lane in served)})
    asking.ctx.send_event(HumanResponseEvent(text="late"))
    assert await within(asking) == "late", "a run that waits keeps its lane"


async def test_an_instance_whose_lane_was_given_up_runs_again_in_a_new_one(alone: Stage) -> None:
    first = alone.flow(Short)
    assert await within(first.run(n=0)) == 0
    for n in range(2 * MOST):
        assert await within(alone.flow(Short, workflow_name=f"Short{n}").run(n=n)) == n
    assert await lanes_of(alone) <= MOST + 1
    assert await within(first.run(n=7)) == 7
    handlers = [first.run(n=n) for n in range(20)]
    assert [await within(one) for one in handlers] == list(range(20))
