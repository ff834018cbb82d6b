"""Spread: one run on whatever workers there are (``broker-wf worker apps.spread.app:workflow``)."""

import asyncio
import socket
from collections import Counter

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Spread(StartEvent):
    """How wide to fan out, and how long each piece of work pauses."""

    n: int = 60
    pause_s: float = 0.2


class Item(Event):
    """One piece of work."""

    index: int
    pause_s: float


class Began(Event):
    """Published when a piece of work begins: which, and on which host."""

    index: int
    host: str


class Done(Event):
    """A piece of work that is done, and the host that did it."""

    index: int
    host: str


class SpreadFlow(Workflow):
    """Sums ``0 … n - 1``, each number by a step execution of its own, and counts them by host."""

    @step
    async def split(self, ev: Spread) -> list[Item]:
        """Make the pieces of work."""
        return [Item(index=index, pause_s=ev.pause_s) for index in range(ev.n)]

    @step
    async def work(self, ctx: Context, ev: Item) -> Done:
        """Pause as real work would, and tell where."""
        host = socket.gethostname()
        ctx.write_event_to_stream(Began(index=ev.index, host=host))
        await asyncio.sleep(ev.pause_s)
        return Done(index=ev.index, host=host)

    @step
    async def total(self, ev: list[Done]) -> StopEvent:
        """Add up what all of them did."""
        hosts = Counter(done.host for done in ev)
        return StopEvent(result={"total": sum(done.index for done in ev), "hosts": dict(hosts)})


workflow = SpreadFlow(timeout=300)
