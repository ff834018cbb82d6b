"""Steps that fail and are tried again."""

from __future__ import annotations

import pytest
from workflows import Context, Workflow, step
from workflows.events import StartEvent, StopEvent
from workflows.retry_policy import (
    retry_if_exception_type,
    retry_policy,
    stop_after_attempt,
    wait_fixed,
)

from tests.conformance.play import Play


class Flaky(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(0.01), stop=stop_after_attempt(3)))
    async def flaky(self, ctx: Context, ev: StartEvent) -> StopEvent:
        tries = await ctx.store.get("tries", default=0) + 1
        await ctx.store.set("tries", tries)
        if tries < ev.good_at:
            raise ConnectionError(f"try {tries}")
        return StopEvent(result=tries)


async def a_step_is_tried_until_it_succeeds(play: Play) -> None:
    flow = await play(Flaky, timeout=20)
    assert await flow.run(good_at=3) == 3


async def the_last_error_fails_the_run(play: Play) -> None:
    flow = await play(Flaky, timeout=20)
    with pytest.raises(ConnectionError, match="try 3"):
        await flow.run(good_at=9)


class Choosy(Workflow):
    @step(
        retry_policy=retry_policy(
            retry=retry_if_exception_type(TimeoutError), wait=wait_fixed(0.01), stop=stop_after_attempt(5)
        )
    )
    async def choosy(self, ctx: Context, ev: StartEvent) -> StopEvent:
        info = ctx.retry_info()
        if info.retry_number == 0:
            assert info.last_exception is None
            raise TimeoutError("slow")
        if info.retry_number == 1 and ev.breaks:
            raise ValueError("broken")
        return StopEvent(result=(info.retry_number, type(info.last_exception).__name__))


async def a_policy_chooses_by_the_exception(play: Play) -> None:
    flow = await play(Choosy, timeout=20)
    with pytest.raises(ValueError, match="broken"):
        await flow.run(breaks=True)


async def a_step_knows_its_failures(play: Play) -> None:
    flow = await play(Choosy, timeout=20)
    assert tuple(await flow.run(breaks=False)) == (1, "TimeoutError")
