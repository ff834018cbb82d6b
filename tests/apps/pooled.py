"""Workflows of one worker process that share a resource; it writes down when it is made and when it is closed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from broker_wf import Workflow, step
from broker_wf.events import StartEvent, StopEvent
from broker_wf.resource import Resource


class Index:
    """Costly to make."""


def note(what: str) -> None:
    """Add a line to the file named by the environment."""
    with Path(os.environ["POOLED_NOTES"]).open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


async def opened() -> AsyncIterator[Index]:
    """Made once per process, closed when its worker drains."""
    note("made")
    yield Index()
    note("closed")


Shared = Annotated[Index, Resource(opened, scope="worker")]


class Reads(Workflow):
    """One user of it."""

    @step
    async def read(self, ev: StartEvent, index: Shared) -> StopEvent:
        """Say which object it was, and where."""
        return StopEvent(result=(os.getpid(), id(index)))


class Writes(Workflow):
    """Another one."""

    @step
    async def write(self, ev: StartEvent, index: Shared) -> StopEvent:
        """Say which object it was, and where."""
        return StopEvent(result=(os.getpid(), id(index)))


pooled = [Reads(), Writes()]
