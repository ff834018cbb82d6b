"""Workflows for the tests of the command line."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timezone
from pathlib import Path

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Said(Event):
    text: str


class Echo(Workflow):
    """Says which process did it, and what it was given."""

    @step
    async def say(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Said(text="heard"))
        ctx.logger.info("heard too")
        return StopEvent(result={"pid": os.getpid(), **ev.to_dict()})


class Named(StartEvent):
    name: str
    count: int = 1


class Greet(Workflow):
    @step
    async def greet(self, ev: Named) -> StopEvent:
        return StopEvent(result=[f"hello {ev.name}"] * ev.count)


class Failing(Workflow):
    @step
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise LookupError("nothing under that name")


class Odd(Workflow):
    """A result that JSON has no form for."""

    @step
    async def give(self, ev: StartEvent) -> StopEvent:
        at = datetime(2024, 2, 29, tzinfo=timezone.utc)
        return StopEvent(result={"at": at, "raw": b"\xff", "nothing": float("nan"), "path": Path("/a")})


class Pause(StartEvent):
    file: str
    seconds: float = 30.0


class Slow(Workflow):
    """Writes ``began`` into a file, pauses, writes ``ended`` behind it."""

    @step
    async def pause(self, ev: Pause) -> StopEvent:
        path = Path(ev.file)
        with path.open("a") as file:
            file.write(f"began {os.getpid()}\n")
        await asyncio.sleep(ev.seconds)
        with path.open("a") as file:
            file.write(f"ended {os.getpid()}\n")
        return StopEvent(result=os.getpid())


class Piece(Event):
    index: int


class Spread(Workflow):
    """Many pieces, each by a step execution of its own; says which processes did them."""

    @step
    async def split(self, ev: StartEvent) -> list[Piece]:
        return [Piece(index=index) for index in range(ev.n)]

    @step
    async def work(self, ev: Piece) -> Said:
        await asyncio.sleep(0.2)
        return Said(text=str(os.getpid()))

    @step
    async def gather(self, ev: list[Said]) -> StopEvent:
        return StopEvent(result=sorted({said.text for said in ev}))


class Impostor(Workflow):
    """Claims the name of another workflow."""

    @step
    async def say(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result="impostor")


echo, greet, failing, odd, slow, spread = Echo(), Greet(), Failing(), Odd(), Slow(timeout=120), Spread()
everything = [echo, greet, failing, odd, slow, spread]
impostor = Impostor(workflow_name=echo.workflow_name)
