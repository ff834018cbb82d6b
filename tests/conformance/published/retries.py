"""The documentation's retries: composed policies, one of a user's own, what a step knows of them; error handlers."""

import asyncio
from datetime import datetime

from workflows import Context, Workflow, catch_error, step
from workflows.events import Event, StartEvent, StepFailedEvent, StopEvent
from workflows.retry_policy import (
    ConstantDelayRetryPolicy,
    retry_if_exception_message,
    retry_if_exception_type,
    retry_policy,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
    wait_fixed,
)


class MyWorkflow(Workflow):
    @step(retry_policy=ConstantDelayRetryPolicy(delay=0.05, maximum_attempts=10))
    async def flaky_step(self, ctx: Context, ev: StartEvent) -> StopEvent:
        calls = await ctx.store.get("calls", default=0) + 1
        await ctx.store.set("calls", calls)
        if calls < 4:
            raise RuntimeError("this might raise")
        return StopEvent(result=calls)


class ComposedWorkflow(Workflow):
    @step(
        retry_policy=retry_policy(
            retry=retry_if_exception_type((TimeoutError, ConnectionError))
            | retry_if_exception_message(match="rate limit"),
            wait=wait_exponential_jitter(initial=0.02, max=0.1, jitter=0.01),
            stop=stop_after_attempt(5) | stop_after_delay(30),
        )
    )
    async def call_api(self, ctx: Context, ev: StartEvent) -> StopEvent:
        info = ctx.retry_info()
        if info.retry_number == 0:
            raise ConnectionError("no route")
        if info.retry_number == 1:
            raise RuntimeError("rate limit exceeded")
        return StopEvent(result=f"{info.retry_number} {info.last_exception}")


class RetryOnFridayPolicy:
    def next(self, elapsed_time: float, attempts: int, error: Exception) -> float | None:
        if datetime.today().strftime("%A") == "Friday":
            # retry in 5 seconds
            return 5
        # tell the workflow we don't want to retry
        return None if attempts > 1 else 0.01


class FridayWorkflow(Workflow):
    @step(retry_policy=RetryOnFridayPolicy())
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ctx.retry_info().retry_number == 0:
            raise ValueError("again")
        return StopEvent(result="second time")


class FetchedEvent(Event):
    body: str


class RecoveringWorkflow(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(0.01), stop=stop_after_attempt(2)))
    async def fetch(self, ev: StartEvent) -> FetchedEvent:
        raise ConnectionError(f"cannot reach {ev.url}")

    @step
    async def parse(self, ev: FetchedEvent) -> StopEvent:
        if ev.body == "cached":
            raise ValueError("stale")
        return StopEvent(result=ev.body)

    @catch_error(for_steps=["fetch"])
    async def use_cache(self, ctx: Context, ev: StepFailedEvent) -> FetchedEvent:
        await ctx.store.set("attempts", ev.attempts)
        return FetchedEvent(body="cached")

    @catch_error
    async def on_failure(self, ctx: Context, ev: StepFailedEvent) -> StopEvent:
        attempts = await ctx.store.get("attempts")
        return StopEvent(result=f"{ev.step_name} failed: {ev.exception!r} after {attempts} attempts to fetch")


async def main():
    print("Result:", await MyWorkflow(timeout=20).run())
    print("Result:", await ComposedWorkflow(timeout=20).run())
    print("Result:", await FridayWorkflow(timeout=20).run())
    print("Result:", await RecoveringWorkflow(timeout=20).run(url="there"))


if __name__ == "__main__":
    asyncio.run(main())
