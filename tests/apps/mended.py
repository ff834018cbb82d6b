"""Workflows that fail, or kill their worker, until a file says that they are mended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Begin(StartEvent):
    """Where it is noted what was done, and where it says that things are mended."""

    folder: str


class Half(Event):
    folder: str


def note(folder: str, what: str) -> None:
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{what}\n")


class Fragile(Workflow):
    """Its second step raises."""

    @step
    async def first(self, ctx: Context, ev: Begin) -> Half:
        note(ev.folder, "first")
        return Half(folder=ev.folder)

    @step
    async def second(self, ctx: Context, ev: Half) -> StopEvent:
        if not (Path(ev.folder) / "mended").exists():
            raise ValueError("not mended")
        note(ev.folder, "second")
        return StopEvent(result="mended")


class Deadly(Workflow):
    """Its second step kills the process that executes it."""

    @step
    async def first(self, ctx: Context, ev: Begin) -> Half:
        note(ev.folder, "first")
        return Half(folder=ev.folder)

    @step
    async def second(self, ctx: Context, ev: Half) -> StopEvent:
        if not (Path(ev.folder) / "mended").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        note(ev.folder, "second")
        return StopEvent(result="mended")


FLOWS = (Fragile, Deadly)
fragile, deadly = Fragile(), Deadly()
both = [fragile, deadly]
