"""What a step puts into context variables, and what is logged while it executes, stays with it."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from broker_wf.worker.log_fields import log_fields
from tests.integration.stage import Stage, within

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Item(Event):
    n: int


class Found(Event):
    who: str


class Tenants(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        tenant.set(ev.name)
        return [Item(n=n) for n in range(5)]

    @step(retry_policy=retry_policy(wait=wait_fixed(0.01), stop=stop_after_attempt(3)))
    async def look(self, ctx: Context, ev: Item) -> Found:
        found = tenant.get()
        tenant.set(f"item {ev.n}")
        await asyncio.sleep(0.01 * ev.n)
        ctx.logger.info("looked")
        if ev.n % 2 and ctx.retry_info().retry_number == 0:
            raise ValueError("once more")
        return Found(who=found)

    @step
    async def end(self, evs: list[Found]) -> StopEvent:
        return StopEvent(result=[*(ev.who for ev in evs), tenant.get()])


class Begins(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        tenant.set("parent")
        return StopEvent(result=await Tenants().run(name="child"))


async def test_no_step_sees_what_another_has_set_but_in_process_what_the_caller_has(stage: Stage) -> None:
    flow = await stage.put_on(Tenants)
    handlers: list[WorkflowHandler] = []
    for n in range(20):
        tenant.set(f"caller {n}")
        handlers.append(flow.run(name=f"tenant {n}"))
    seen = [f"caller {n}" if stage.in_process else "nobody" for n in range(20)]
    assert await asyncio.gather(*(within(one) for one in handlers)) == [[one] * 6 for one in seen]


async def test_a_run_that_a_step_begins_sees_nothing_of_it(stage: Stage) -> None:
    flow = await stage.put_on(Begins)
    if not stage.in_process:
        await stage.add_worker(Tenants)
    assert await within(flow.run()) == ["nobody"] * 6


async def test_what_the_engine_does_meanwhile_is_not_said_in_the_name_of_a_step(
    alone: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="broker_wf")
    said: list[object] = []

    def note(record: logging.LogRecord) -> bool:
        if "into their streams" in record.msg:
            said.append(log_fields())
        return True

    caplog.handler.addFilter(note)
    flow = await alone.put_on(Tenants)
    await asyncio.gather(*(within(flow.run(name="x")) for _ in range(10)))
    assert said
    assert [one for one in said if one is not None] == []
