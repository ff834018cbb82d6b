"""Workflows that worker processes execute for a driver in a test."""

from __future__ import annotations

import asyncio
import os

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent


class Item(Event):
    """One part of a run."""

    n: int


class Part(Event):
    """What became of it, and in which process."""

    n: int
    pid: int


class Spread(Workflow):
    """Many parts at one time, joined. No part ends before so many ``processes`` have had one."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Item]:
        """Fan out."""
        await ctx.store.set("processes", ev.get("processes", 1))
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def work(self, ctx: Context, ev: Item) -> Part:
        """Count in the run's state where it was done."""
        await asyncio.sleep(0.01)
        async with ctx.store.edit_state() as state:
            state.seen = state.get("seen", 0) + 1
            state.pids = sorted({*state.get("pids", []), os.getpid()})
        while len(await ctx.store.get("pids")) < await ctx.store.get("processes"):  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.1)
        return Part(n=ev.n, pid=os.getpid())

    @step
    async def join(self, ctx: Context, ev: list[Part]) -> StopEvent:
        """All parts, how many the state has seen, and the processes."""
        parts = sorted(one.n for one in ev)
        return StopEvent(result=[parts, await ctx.store.get("seen"), sorted({one.pid for one in ev})])


class Batches(Workflow):
    """Parts collected by call, ten at a time."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        """Send them all."""
        for n in range(60):
            ctx.send_event(Item(n=n))
        return None

    @step
    async def gather(self, ctx: Context, ev: Item) -> Part | None:
        """Every tenth completes a batch; its number is the batch's sum."""
        got = ctx.collect_events(ev, [Item] * 10)
        return None if got is None else Part(n=sum(one.n for one in got), pid=os.getpid())

    @step
    async def end(self, ctx: Context, ev: Part) -> StopEvent | None:
        """Six batches are all."""
        got = ctx.collect_events(ev, [Part] * 6)
        return None if got is None else StopEvent(result=sum(one.n for one in got))


class Noted(Event):
    """Published before the question."""

    n: int


class Asked(InputRequiredEvent):
    """The question."""


class Reply(HumanResponseEvent):
    """Its answer."""

    text: str


class Answered(Workflow):
    """Ends with the answer that somebody sends."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> Asked:
        """Publish a few things, then ask."""
        for n in range(ev.count):
            ctx.write_event_to_stream(Noted(n=n))
        return Asked()

    @step
    async def end(self, ev: Reply) -> StopEvent:
        """Whatever was answered."""
        return StopEvent(result=ev.text)


scenes = [Spread, Batches, Answered]
