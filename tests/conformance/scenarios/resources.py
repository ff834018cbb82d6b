"""What steps are given besides events."""

from __future__ import annotations

from typing import Annotated

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent
from workflows.resource import Resource

from tests.conformance.play import Play


class Memory:
    def __init__(self, name: str) -> None:
        self.name = name
        self.said: list[str] = []


class Settings:
    name = "from settings"


def get_settings() -> Settings:
    return Settings()


async def get_memory(settings: Annotated[Settings, Resource(get_settings)]) -> Memory:
    return Memory(settings.name)


class Second(Event):
    pass


class WithMemory(Workflow):
    @step
    async def first(self, ev: StartEvent, memory: Annotated[Memory, Resource(get_memory)]) -> Second:
        memory.said.append("first")
        return Second()

    @step
    async def second(self, ev: Second, memory: Annotated[Memory, Resource(get_memory, cache=False)]) -> StopEvent:
        return StopEvent(result=(memory.name, len(memory.said)))


async def factories_make_what_steps_ask_for(play: Play) -> None:
    flow = await play(WithMemory, timeout=20)
    assert tuple(await flow.run()) == ("from settings", 0)
