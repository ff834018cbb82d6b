"""The documentation's test of a workflow, and what observes one: internal events and deeper control."""

import asyncio

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StepState, StepStateChanged, StopEvent
from workflows.testing import WorkflowTestRunner


class GreetEvent(Event):
    greeting: str


class GreetingWorkflow(Workflow):
    @step
    async def make_greeting(self, ctx: Context, ev: StartEvent) -> GreetEvent:
        ctx.write_event_to_stream(GreetEvent(greeting="written"))
        return GreetEvent(greeting=f"hello, {ev.get('name', 'you')}")

    @step
    async def greet(self, ev: GreetEvent) -> StopEvent:
        return StopEvent(result=ev.greeting)


async def main():
    wf = GreetingWorkflow()
    runner = WorkflowTestRunner(wf)
    test_result = await runner.run(start_event=StartEvent(name="Ada"), exclude_events=[StepStateChanged])
    print("Result:", test_result.result, [type(ev).__name__ for ev in test_result.collected])
    print("Result:", test_result.event_types.get(GreetEvent), test_result.event_types.get(StepStateChanged, 0))

    handler = wf.run(name="Bob")
    async for ev in handler.stream_events(expose_internal=True):
        if isinstance(ev, StepStateChanged) and ev.step_state == StepState.RUNNING:
            print("Result:", ev.name)
    print("Result:", await handler)


if __name__ == "__main__":
    asyncio.run(main())
