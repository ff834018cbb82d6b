"""Workflows to look at: one that spreads, one that asks a person, some that fail."""

from __future__ import annotations

import asyncio

from pydantic import Field

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed


class Order(StartEvent):
    """What is ordered.

    Attributes:
        parts: how many deliveries it spreads into.
    """

    customer: str = Field(default="somebody", description="Who ordered.")
    parts: int = Field(default=4, ge=1, le=2_000, description="How many parts it has.")
    pause_s: float = Field(default=0.0, ge=0, le=60, description="How long each part takes.")


class Part(Event):
    number: int
    pause_s: float


class Packed(Event):
    number: int


class Spread(Workflow):
    """Packs the parts of an order, each by itself, and sends them together."""

    @step
    async def unpack(self, ctx: Context, ev: Order) -> Part | None:
        """One delivery for each part."""
        ctx.logger.info("%s has ordered %d parts", ev.customer, ev.parts)
        await ctx.store.set("count", ev.parts)
        for number in range(ev.parts):
            ctx.send_event(Part(number=number, pause_s=ev.pause_s))
        return None

    @step
    async def pack(self, ctx: Context, ev: Part) -> Packed:
        """Takes its time."""
        await asyncio.sleep(ev.pause_s)
        ctx.logger.info("part %d is packed", ev.number)
        return Packed(number=ev.number)

    @step
    async def send(self, ctx: Context, ev: Packed) -> StopEvent | None:
        """When all are packed."""
        found = ctx.collect_events(ev, [Packed] * await ctx.store.get("count"))
        return None if found is None else StopEvent(result={"sent": len(found)})


class Wish(StartEvent):
    amount: float = Field(default=100.0, gt=0, description="In euros.")
    reason: str = "travel"


class MayI(InputRequiredEvent):
    question: str
    amount: float


class Verdict(HumanResponseEvent):
    """What the person says."""

    granted: bool = Field(description="Whether it may be spent.")
    remark: str = Field(default="", description="Said to who asked.")


class Asking(Workflow):
    """Asks a person before money is spent."""

    @step
    async def ask(self, ctx: Context, ev: Wish) -> StopEvent:
        """Waits without holding a place."""
        question = MayI(question=f"May {ev.amount:g} € be spent on {ev.reason}?", amount=ev.amount)
        said = await ctx.wait_for_event(Verdict, waiter_event=question, waiter_id="may_i", timeout=None)
        return StopEvent(result={"granted": said.granted, "remark": said.remark})


class Fragile(StartEvent):
    text: str = "<b>not bold</b>"


class Failing(Workflow):
    """Fails, however often it is tried."""

    @step(retry_policy=retry_policy(wait=wait_fixed(0.01), stop=stop_after_attempt(2)))
    async def break_it(self, ev: Fragile) -> StopEvent:
        """Raises."""
        raise ValueError(f"cannot carry {ev.text}")


class Fetch(StartEvent):
    currency: str = "EUR"


class Flaky(Workflow):
    """Fails, and is tried again for an hour."""

    @step(retry_policy=retry_policy(wait=wait_fixed(600), stop=stop_after_attempt(6)), num_workers=2)
    async def fetch(self, ctx: Context, ev: Fetch) -> StopEvent:
        """Raises."""
        ctx.logger.warning("no rate of %s yet", ev.currency)
        raise ConnectionError(f"the bank of {ev.currency} does not answer")


FLOWS = (Spread, Asking, Failing)
