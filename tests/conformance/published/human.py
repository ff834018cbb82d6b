"""The documentation's human in the loop: asked at the terminal, stopped and resumed, and waited for within a step."""
# pyright: reportPossiblyUnboundVariable=false

import asyncio
import json

from workflows import Context, Workflow, step
from workflows.events import HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent


class HumanInTheLoopWorkflow(Workflow):
    @step
    async def step1(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="Enter a number: ")

    @step
    async def step2(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent(result=ev.response)


class WaitingWorkflow(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        response = await ctx.wait_for_event(
            HumanResponseEvent,
            waiter_id="are you sure?",
            waiter_event=InputRequiredEvent(prefix="Are you sure? ", user_name="Laurie"),
            requirements={"user_name": "Laurie"},
        )
        return StopEvent(result=f"{response.user_name}: {response.response}")


async def main():
    # workflow should work with streaming
    workflow = HumanInTheLoopWorkflow()

    handler = workflow.run()
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            # here, we can handle human input however you want
            # this means using input(), websockets, accessing async state, etc.
            # here, we just use input()
            response = input(event.prefix)
            handler.ctx.send_event(HumanResponseEvent(response=response))

    final_result = await handler
    print("Final result:", final_result)

    # stop the workflow while it waits, and go on later
    handler = workflow.run()
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            # Serialize the context, store it anywhere as a JSON blob
            ctx_dict = json.dumps(handler.ctx.to_dict())
            await handler.cancel_run()
            break

    # now we handle the human response once it comes in
    response = input(event.prefix)

    restored_ctx = Context.from_dict(workflow, json.loads(ctx_dict))
    handler = workflow.run(ctx=restored_ctx)

    # Send the event to resume the workflow
    handler.ctx.send_event(HumanResponseEvent(response=response))

    # now we resume the workflow streaming with our restored context
    async for event in handler.stream_events():
        continue

    final_result = await handler
    print("Final result:", final_result)

    handler = WaitingWorkflow(timeout=20).run()
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            response = input(event.prefix)
            handler.ctx.send_event(HumanResponseEvent(response=response, user_name=event.user_name))
    print("Final result:", await handler)


if __name__ == "__main__":
    asyncio.run(main())
