"""The documentation's first workflow, and entry and exit points of its own classes."""

import asyncio

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from published.stand_ins import OpenAI


class JokeEvent(Event):
    joke: str


class JokeFlow(Workflow):
    llm = OpenAI(model="gpt-4.1")

    @step
    async def generate_joke(self, ev: StartEvent) -> JokeEvent:
        topic = ev.topic

        prompt = f"Write your best joke about {topic}."
        response = await self.llm.acomplete(prompt)
        return JokeEvent(joke=str(response))

    @step
    async def critique_joke(self, ev: JokeEvent) -> StopEvent:
        joke = ev.joke

        prompt = f"Give a thorough analysis and critique of the following joke: {joke}"
        response = await self.llm.acomplete(prompt)
        return StopEvent(result=str(response))


class MyCustomStartEvent(StartEvent):
    topic: str
    tone: str = "dry"


class MyStopEvent(StopEvent):
    critique: str


class CustomJokeFlow(Workflow):
    def __init__(self, *args, llm=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.llm = llm or OpenAI(model="gpt-4.1")

    @step
    async def generate_joke(self, ev: MyCustomStartEvent) -> JokeEvent:
        return JokeEvent(joke=str(await self.llm.acomplete(f"{ev.tone} {ev.topic}")))

    @step
    async def critique_joke(self, ev: JokeEvent) -> MyStopEvent:
        return MyStopEvent(critique=ev.joke)


class TestWorkflow(Workflow):
    pass


@step(workflow=TestWorkflow)
def some_step(ev: StartEvent) -> StopEvent:
    return StopEvent(result="from a free function")


async def main():
    w = JokeFlow(timeout=60, verbose=False)
    result = await w.run(topic="pirates")
    print(str(result))

    custom = CustomJokeFlow(timeout=60)
    print((await custom.run(topic="whales")).critique)
    print((await custom.run(start_event=MyCustomStartEvent(topic="whales", tone="wet"))).critique)

    print(await TestWorkflow().run())


if __name__ == "__main__":
    asyncio.run(main())
