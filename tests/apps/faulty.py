"""Workflows for the fault tests. Each start of a step is written down in a ledger outside Redis."""

from __future__ import annotations

import asyncio
import os
import signal

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.events import Event, StartEvent, StepFailedEvent, StopEvent


def note(ledger: str, line: str) -> None:
    """One line, appended at once, whoever else writes."""
    descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


class Job(StartEvent):
    count: int
    pause_s: float
    ledger: str


class Item(Event):
    number: int
    pause_s: float
    ledger: str


class Counted(Event):
    number: int


class Fan(Workflow):
    """Each item counts once in the join, however often its step began."""

    @step
    async def begin(self, ev: Job) -> list[Item]:
        return [Item(number=n, pause_s=ev.pause_s, ledger=ev.ledger) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Counted:
        note(ev.ledger, f"{ev.number}")
        await asyncio.sleep(ev.pause_s)
        return Counted(number=ev.number)

    @step
    async def join(self, evs: list[Counted]) -> StopEvent:
        return StopEvent(result=sorted(e.number for e in evs))


class Editing(Workflow):
    """Each item adds one to a number that all share."""

    @step
    async def begin(self, ev: Job) -> list[Item]:
        return [Item(number=n, pause_s=ev.pause_s, ledger=ev.ledger) for n in range(ev.count)]

    @step
    async def work(self, ctx: Context, ev: Item) -> Counted:
        note(ev.ledger, f"{ev.number}")
        async with ctx.store.edit_state() as state:
            state.count = state.get("count", 0) + 1
        await asyncio.sleep(ev.pause_s)
        return Counted(number=ev.number)

    @step
    async def join(self, ctx: Context, evs: list[Counted]) -> StopEvent:
        return StopEvent(result=[len(evs), await ctx.store.get("count")])


class Poisonous(Workflow):
    """A step that kills whoever executes it."""

    @step
    async def drink(self, ev: Job) -> StopEvent:
        note(ev.ledger, "drink")
        os.kill(os.getpid(), signal.SIGKILL)
        return StopEvent()

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        """Not for poison: it would be the handler's death too."""
        return StopEvent(result="rescued")


class Quick(Workflow):
    """Two steps that are so quick that the second is executed in one go with the first; it may kill who executes it."""

    @step
    async def pour(self, ev: Job) -> Item:
        note(ev.ledger, f"pour {ev.count}")
        return Item(number=ev.count, pause_s=0.0, ledger=ev.ledger)

    @step
    async def sip(self, ev: Item) -> StopEvent:
        note(ev.ledger, f"sip {ev.number}")
        if ev.number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return StopEvent(result=ev.number)


class Pair(Workflow):
    """Two steps one after the other; the second ends the run."""

    @step
    async def first(self, ev: Job) -> Item:
        note(ev.ledger, "first")
        await asyncio.sleep(ev.pause_s)
        return Item(number=os.getpid(), pause_s=0.0, ledger=ev.ledger)

    @step
    async def second(self, ev: Item) -> StopEvent:
        note(ev.ledger, "second")
        return StopEvent(result=ev.number)


class Handled(Workflow):
    """Each item fails, and its handler counts in its place."""

    @step
    async def begin(self, ev: Job) -> list[Item]:
        return [Item(number=n, pause_s=ev.pause_s, ledger=ev.ledger) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Counted:
        note(ev.ledger, f"work {ev.number}")
        raise ValueError(str(ev.number))

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> Counted:
        item = ev.input_event
        assert isinstance(item, Item)
        note(item.ledger, f"rescue {item.number}")
        await asyncio.sleep(item.pause_s)
        return Counted(number=item.number)

    @step
    async def join(self, evs: list[Counted]) -> StopEvent:
        return StopEvent(result=sorted(e.number for e in evs))


workflows = [Fan, Editing, Poisonous, Quick, Pair, Handled]
