"""Workflows that are built twice: of the original's classes and of ours."""

# pyright: reportInvalidTypeForm=false

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

from pydantic import BaseModel

ORIGINAL, OURS = "workflows", "broker_wf"


class Limits(BaseModel):
    """How much is allowed."""

    tokens: int


class Store:
    pass


def names_of(root: str) -> SimpleNamespace:
    """The names a workflow is written with, from one import root."""
    found = {}
    for module in (".events", ".resource", ".collect", ".workflow", ".decorators", ".context"):
        found |= vars(importlib.import_module(root + module))
    return SimpleNamespace(**{k: v for k, v in found.items() if not k.startswith("__")})


def plain(w: SimpleNamespace) -> type:
    class Plain(w.Workflow):
        """Does what is asked.

        And no more.
        """

        @w.step
        async def only(self, ev: w.StartEvent) -> w.StopEvent:
            """The only step."""
            return w.StopEvent(result=ev.get("topic"))

    return Plain


def chain(w: SimpleNamespace) -> type:
    class Question(w.StartEvent):
        """What is asked."""

        text: str
        depth: int = 3

    class Draft(w.Event):
        text: str

    class Answer(w.StopEvent):
        text: str

    class Chain(w.Workflow):
        @w.step
        async def think(self, ctx: w.Context, ev: Question | Draft) -> Draft | Answer | None:
            return None

        @w.step
        async def aside(self, ev: Draft) -> None:
            return None

    return Chain


def asks(w: SimpleNamespace) -> type:
    class Ask(w.InputRequiredEvent):
        prompt: str

    class Said(w.HumanResponseEvent):
        text: str

    class Asks(w.Workflow):
        @w.step
        async def ask(self, ev: w.StartEvent) -> Ask:
            return Ask(prompt="?")

        @w.step
        async def hear(self, ev: Said) -> Ask | w.StopEvent:
            return w.StopEvent()

    return Asks


def fans(w: SimpleNamespace) -> type:
    class Part(w.Event):
        n: int

    class Done(w.Event):
        n: int

    class Odd(w.Event):
        pass

    class Fans(w.Workflow):
        @w.step
        async def split(self, ev: w.StartEvent) -> list[Part]:
            return []

        @w.step(num_workers=2)
        async def work(self, ev: Part) -> Done | Odd:
            return Done(n=1)

        @w.step
        async def gather(self, ev: Annotated[list[Done | Odd], w.Collect(w.Take(2))]) -> w.StopEvent:
            return w.StopEvent()

    return Fans


def joins(w: SimpleNamespace) -> type:
    class Left(w.Event):
        pass

    class Right(w.Event):
        pass

    class Joins(w.Workflow):
        @w.step
        async def left(self, ev: w.StartEvent) -> Left:
            return Left()

        @w.step
        async def right(self, ev: w.StartEvent) -> Right:
            return Right()

        @w.step
        async def both(self, a: Left, b: Right) -> w.StopEvent:
            return w.StopEvent()

    return Joins


def catches(w: SimpleNamespace) -> type:
    class Catches(w.Workflow):
        @w.step
        async def risky(self, ev: w.StartEvent) -> w.StopEvent:
            raise ValueError

        @w.catch_error(for_steps=["risky"])
        async def mend(self, ev: w.StepFailedEvent) -> w.StopEvent:
            """What to do then."""
            return w.StopEvent()

    return Catches


def resources(w: SimpleNamespace, directory: Path) -> type:
    file = directory / "limits.json"
    file.write_text(json.dumps({"small": {"limits": {"tokens": 5}}, "tokens": 9}))
    small = w.ResourceConfig(str(file), "small.limits", label="few", description="For tests.")

    def get_store(limits: Annotated[Limits, w.ResourceConfig(str(file))]) -> Store:
        """Open the store."""
        return Store()

    async def get_index(store: Annotated[Store, w.Resource(get_store)]) -> dict:
        return {}

    class Middle(w.Event):
        pass

    class Resources(w.Workflow):
        @w.step
        async def first(
            self, ev: w.StartEvent, index: Annotated[dict, w.Resource(get_index)], limits: Annotated[Limits, small]
        ) -> Middle:
            return Middle()

        @w.step
        async def second(
            self, ev: Middle, store: Annotated[Store, w.Resource(get_store)], limits: Annotated[Limits, small]
        ) -> w.StopEvent:
            return w.StopEvent()

    return Resources


def subclasses(w: SimpleNamespace) -> type:
    class Shape(w.Event):
        pass

    class Round(Shape):
        radius: float

    class Ball(Round):
        pass

    class Subclasses(w.Workflow):
        @w.step
        async def make(self, ev: w.StartEvent) -> Round | Ball:
            return Ball(radius=1)

        @w.step(accept_event_subclasses=True)
        async def any_shape(self, ev: Shape) -> w.StopEvent:
            return w.StopEvent()

    return Subclasses


def inherits(w: SimpleNamespace) -> type:
    parent = chain(w)

    class Extra(w.Event):
        pass

    class Inherits(parent):
        @w.step
        async def before(self, ev: Extra) -> Extra:
            return ev

    @w.step(workflow=Inherits)
    async def later(ev: Extra) -> Extra:
        """Added from outside."""
        return ev

    return Inherits


def empty_end(w: SimpleNamespace) -> type:
    class Note(w.Event):
        body: dict[str, list[int]] | None = None

    class Tree(w.Event):
        note: Note
        notes: list[Note] = []

    class EmptyEnd(w.Workflow):
        @w.step
        def begin(self, ev: w.StartEvent) -> Tree | w.StopEvent:
            return w.StopEvent()

        @w.step
        def end(self, ev: Tree) -> None:
            return None

    return EmptyEnd


ALL: dict[str, Callable] = {
    f.__name__: f for f in (plain, chain, asks, fans, joins, catches, subclasses, inherits, empty_end)
}
