"""Workflows whose workers have something to do, or to leave behind, when they go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from broker_wf import Workflow, step
from broker_wf.events import StartEvent, StopEvent
from broker_wf.resource import Resource


class Job(StartEvent):
    file: str
    seconds: float = 0.0


def ledger() -> Iterator[list[Path]]:
    """Made once per worker; whoever used it is told when it closes."""
    files: list[Path] = []
    yield files
    for file in files:
        file.write_text(file.read_text() + "closed\n")


class Opening(Workflow):
    @step
    async def use(self, ev: Job, files: Annotated[list[Path], Resource(ledger)]) -> StopEvent:
        file = Path(ev.file)
        file.write_text("used\n")
        files.append(file)
        return StopEvent()


class Stubborn(Workflow):
    """A step in a thread, which nobody can stop."""

    @step
    def sleep(self, ev: Job) -> StopEvent:
        Path(ev.file).write_text("began\n")
        time.sleep(ev.seconds)
        return StopEvent()


opening, stubborn = Opening(), Stubborn()
