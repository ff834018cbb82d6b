"""The documentation's resources: a memory, what depends on another resource, and a configuration file."""

import asyncio
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel
from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent
from workflows.resource import Resource, ResourceConfig

from published.stand_ins import ChatMessage, Memory

CLASSIFIER = Path(__file__).with_name("classifier.json")


def get_memory(*args, **kwargs):
    return Memory.from_defaults("user_id_123", token_limit=60000)


class SecondEvent(Event):
    msg: str


class WorkflowWithResource(Workflow):
    @step
    async def first_step(
        self,
        ev: StartEvent,
        memory: Annotated[Memory, Resource(get_memory)],
    ) -> SecondEvent:
        print("Memory before step 1", memory)
        await memory.aput(ChatMessage(role="user", content="This is the first step"))
        print("Memory after step 1", memory)
        return SecondEvent(msg="This is an input for step 2")

    @step
    async def second_step(self, ev: SecondEvent, memory: Annotated[Memory, Resource(get_memory)]) -> StopEvent:
        print("Memory before step 2", memory)
        await memory.aput(ChatMessage(role="user", content=ev.msg))
        print("Memory after step 2", memory)
        return StopEvent(result="Messages put into memory")


class ClassifierConfig(BaseModel):
    categories: list[str]
    threshold: float


class Classifier:
    def __init__(self, config: ClassifierConfig) -> None:
        self.config = config

    def classify(self, text: str) -> str:
        return self.config.categories[len(text) % len(self.config.categories)]


def get_classifier(
    config: Annotated[
        ClassifierConfig,
        ResourceConfig(config_file=str(CLASSIFIER), path_selector="prod", label="Classifier", description="Settings"),
    ],
) -> Classifier:
    return Classifier(config)


class ClassifyWorkflow(Workflow):
    @step
    async def classify(
        self,
        ev: StartEvent,
        classifier: Annotated[Classifier, Resource(get_classifier)],
        config: Annotated[ClassifierConfig, ResourceConfig(config_file=str(CLASSIFIER), path_selector="prod")],
    ) -> StopEvent:
        return StopEvent(result=f"{classifier.classify(ev.text)} {config.threshold}")


async def main():
    wf = WorkflowWithResource(disable_validation=True)
    print("Result:", await wf.run())
    print("Result:", await ClassifyWorkflow().run(text="odd"))


if __name__ == "__main__":
    asyncio.run(main())
