"""Workflows for the tests of the HTTP server."""

from __future__ import annotations

import asyncio

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent


class Hello(StartEvent):
    name: str = "world"
    pause_s: float = 0.0


class Note(Event):
    text: str


class Special(Note):
    number: int


class Greeted(StopEvent):
    greeting: str


class Greeting(Workflow):
    """Says hello.

    Its events hold what breaks lines for those who are not careful.
    """

    @step
    async def greet(self, ctx: Context, ev: Hello) -> Greeted:
        ctx.write_event_to_stream(Note(text="one\u2028two\u2029three\u0085four\nfive"))
        await asyncio.sleep(ev.pause_s)
        ctx.write_event_to_stream(Special(text="ä", number=7))
        return Greeted(greeting=f"hello {ev.name}")


class Plain(Workflow):
    """A result of no class of its own, and a state that the next run of the handler finds."""

    @step
    async def count(self, ctx: Context, ev: StartEvent) -> StopEvent:
        count = await ctx.store.get("count", 0) + 1
        await ctx.store.set("count", count)
        return StopEvent(result={"count": count, "given": ev.to_dict()})


class Ask(InputRequiredEvent):
    question: str


class Reply(HumanResponseEvent):
    text: str


class Asking(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        reply = await ctx.wait_for_event(Reply, waiter_event=Ask(question="well?"))
        return StopEvent(result=reply.text)


class Failing(Workflow):
    @step
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise LookupError("nothing under that name")


class Many(StartEvent):
    count: int
    pause_s: float = 0.0


class Telling(Workflow):
    """Publishes numbers."""

    @step
    async def tell(self, ctx: Context, ev: Many) -> StopEvent:
        for number in range(ev.count):
            ctx.write_event_to_stream(Special(text="n", number=number))
            await asyncio.sleep(ev.pause_s)
        return StopEvent(result=ev.count)


greeting = Greeting(workflow_name="greeting")
plain = Plain(workflow_name="plain")
asking = Asking(workflow_name="asking", timeout=None)
failing = Failing(workflow_name="failing")
telling = Telling(workflow_name="telling")
flows = [greeting, plain, asking, failing, telling]
