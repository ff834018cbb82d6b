"""Workflows that run each other, for the fault tests."""

from __future__ import annotations

import asyncio

from broker_wf import Workflow, step
from broker_wf.events import StopEvent
from tests.apps.faulty import Job, note


class Leaf(Workflow):
    @step(num_workers=1)
    async def count(self, ev: Job) -> StopEvent:
        note(ev.ledger, "leaf")
        await asyncio.sleep(ev.pause_s)
        return StopEvent(result=ev.count + 1)


class Middle(Workflow):
    @step(num_workers=1)
    async def ask(self, ev: Job) -> StopEvent:
        note(ev.ledger, "middle")
        return StopEvent(result=10 * await Leaf().run(count=ev.count, pause_s=ev.pause_s, ledger=ev.ledger))


class Top(Workflow):
    @step(num_workers_per_run=1)
    async def ask(self, ev: Job) -> StopEvent:
        note(ev.ledger, "top")
        return StopEvent(result=await Middle().run(count=ev.count, pause_s=ev.pause_s, ledger=ev.ledger))


workflow = Top()
