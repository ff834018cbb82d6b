"""A workflow in two versions: the second has a step and an event more."""

from __future__ import annotations

import asyncio

from broker_wf import Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent


class Item(Event):
    number: int


class Seen(Event):
    number: int


class Checked(Event):
    number: int


def version(number: int) -> type[Workflow]:
    """One class at two moments of its history."""
    if number == 1:

        class Rolling(Workflow):
            @step
            async def begin(self, ev: StartEvent) -> list[Item]:
                return [Item(number=n) for n in range(3)]

            @step
            async def work(self, ev: Item) -> Seen:
                await asyncio.sleep(0.05)
                return Seen(number=ev.number)

            @step
            async def join(self, evs: list[Seen]) -> StopEvent:
                return StopEvent(result=[1, *sorted(one.number for one in evs)])

        return Rolling

    class Rolling(Workflow):  # type: ignore[no-redef]
        @step
        async def begin(self, ev: StartEvent) -> list[Item]:
            return [Item(number=n) for n in range(3)]

        @step
        async def work(self, ev: Item) -> Seen:
            await asyncio.sleep(0.05)
            return Seen(number=ev.number)

        @step
        async def check(self, ev: Seen) -> Checked:
            return Checked(number=ev.number)

        @step
        async def join(self, evs: list[Checked]) -> StopEvent:
            return StopEvent(result=[2, *sorted(one.number for one in evs)])

    return Rolling


first, second = version(1), version(2)
VERSIONS = {"first": first, "second": second}
