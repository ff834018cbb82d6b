"""A workflow of every kind of step, for tests that commit what they like in the steps' place."""

from __future__ import annotations

from broker_wf import Workflow, catch_error, step
from broker_wf.engine.program import Program
from broker_wf.events import Event, StartEvent, StepFailedEvent, StopEvent

LIMIT = 2
COLLECTED = 3


class Item(Event):
    """Made in lists by ``begin``; may itself become a list of ``Part``."""

    n: int = 0


class Part(Event):
    n: int = 0


class Piece(Event):
    n: int = 0


class Done(Event):
    n: int = 0


class Task(Event):
    """Taken by the limited step."""

    n: int = 0


class Both(Event):
    """Taken by two steps."""

    n: int = 0


class Left(Event):
    n: int = 0


class Right(Event):
    n: int = 0


class Loose(Event):
    """Gathered by ``collect_events``."""

    n: int = 0


class Answer(Event):
    """Taken by no step: only waited for."""

    n: int = 0

    @property
    def odd(self) -> int:
        return self.n % 2


class EveryKind(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item] | Task | Both | Left | Right | Loose | None:
        return None

    @step
    async def work(self, ev: Item) -> list[Part] | Done | None:
        return None

    @step
    async def shape(self, ev: Part) -> Piece | None:
        return None

    @step
    async def merge(self, evs: list[Piece]) -> Done | None:
        return None

    @step
    async def gather(self, evs: list[Done]) -> StopEvent | None:
        return None

    @step(num_workers=LIMIT)
    async def limited(self, ev: Task) -> None:
        return None

    @step
    async def one(self, ev: Both) -> None:
        return None

    @step
    async def other(self, ev: Both) -> None:
        return None

    @step
    async def pair(self, left: Left, right: Right) -> None:
        return None

    @step
    async def collect(self, ev: Loose) -> None:
        return None

    @catch_error(max_recoveries=1000)
    async def rescue(self, ev: StepFailedEvent) -> Left | None:
        return None


def program() -> Program:
    return EveryKind(workflow_name="every-kind", timeout=3600).program()
