"""The workflow of these tests: it fans out, joins, keeps state, streams, and ends in any way it is told to."""

from __future__ import annotations

import asyncio

from broker_wf import Context, Workflow, step
from broker_wf.errors import WorkflowRuntimeError
from broker_wf.events import Event, StartEvent, StopEvent


class Piece(Event):
    n: int
    text: str = ""
    sleeps: float = 0


class Done(Event):
    n: int


class Security(Workflow):
    """Sums up what it fanned out."""

    @step
    async def split(self, ctx: Context, ev: StartEvent) -> list[Piece]:
        if ev.get("fails"):
            raise WorkflowRuntimeError("told to fail")
        await ctx.store.set("pieces", ev.get("n", 3))
        return [Piece(n=n, text=ev.get("text", ""), sleeps=ev.get("sleeps", 0)) for n in range(ev.get("n", 3))]

    @step
    async def work(self, ctx: Context, ev: Piece) -> Done:
        await asyncio.sleep(ev.sleeps)
        await ctx.store.increment("worked")
        await ctx.store.append("order", ev.n)
        return Done(n=ev.n)

    @step
    async def gather(self, ctx: Context, ev: list[Done]) -> StopEvent:
        assert len(ev) == await ctx.store.get("pieces") == await ctx.store.get("worked")
        assert sorted(await ctx.store.get("order")) == sorted(one.n for one in ev)
        return StopEvent(result=sum(one.n for one in ev))


flow = Security()
