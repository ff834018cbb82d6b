"""Which events are the answer to a wait."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.events import HumanResponseEvent, StartEvent, StopEvent
from tests.integration.stage import Stage, within
from tests.integration.waits import Reply, waiting


class Picky(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(Reply, requirements={"user": ev.wants, "text": "yes"})
        return StopEvent(result=[answer.user, answer.text])


class Colour(str, Enum):
    RED = "red"


class Shape(Enum):
    ROUND = "round"


@pytest.mark.parametrize("early", [False, True], ids=["after the waiter", "before the waiter"])
@pytest.mark.parametrize(
    ("wants", "others"),
    [
        ("Ada", ("Bob", None)),
        (7, (8, "7")),
        (None, (0, "")),
        (["a", 1], (["a"], ("a", 1))),
        ({"a": 1}, ({"a": 2}, [])),
        (Colour.RED, ("blue", None)),
        (Shape.ROUND, ("round", None)),
        (1, (2, 0)),
    ],
    ids=str,
)
async def test_only_an_event_that_meets_the_requirements_is_the_answer(
    alone: Stage, wants: Any, others: tuple[Any, ...], early: bool
) -> None:
    flow = await alone.put_on(Picky)
    run = flow.run(wants=wants)
    if not early:
        await waiting(alone, run)
    for other in others:
        await run.send_event(Reply(user=other, text="yes"))
    await run.send_event(Reply(user=wants, text="no"))
    await run.send_event(Reply(user=wants, text="yes"))
    assert await within(run) == [wants, "yes"]


async def test_requirements_hold_on_workers_too(cluster: Stage) -> None:
    run = (await cluster.put_on(Picky)).run(wants=[1, {"a": None}])
    await waiting(cluster, run)
    await run.send_event(Reply(user=[1], text="yes"))
    await run.send_event(Reply(user=[1, {"a": None}], text="yes"))
    assert await within(run) == [[1, {"a": None}], "yes"]


class Lock:
    """Equal to nothing but itself, and to what it is told to be."""

    def __init__(self, opens: str) -> None:
        self.opens = opens

    def __eq__(self, other: object) -> bool:
        return other == self.opens

    def __hash__(self) -> int:
        return 0


class Locked(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(Reply, requirements={"text": Lock("sesame")})
        return StopEvent(result=answer.text)


async def test_a_requirement_that_cannot_travel_is_compared_by_the_step(stage: Stage) -> None:
    run = (await stage.put_on(Locked)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="password"))
    await run.send_event(Reply(text="sesame"))
    assert await within(run) == "sesame"


class Wide(Workflow):
    @step(accept_event_subclasses=True)
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(HumanResponseEvent)
        return StopEvent(result=type(answer).__name__)


class Narrow(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(HumanResponseEvent)
        return StopEvent(result=type(answer).__name__)


async def test_a_step_that_takes_subclasses_waits_for_them_too(stage: Stage) -> None:
    run = (await stage.put_on(Wide)).run()
    await waiting(stage, run)
    await run.send_event(Reply())
    assert await within(run) == "Reply"


async def test_other_steps_wait_for_exactly_the_class(stage: Stage) -> None:
    run = (await stage.put_on(Narrow)).run()
    await waiting(stage, run)
    await run.send_event(Reply())
    await run.send_event(HumanResponseEvent())
    assert await within(run) == "HumanResponseEvent"
