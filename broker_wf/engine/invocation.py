"""Call a step, or its retry policy. The only place that catches whatever a user's code raises."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from broker_wf.core.commit import StepFailure, plan_failure
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Outcome, Raised, Returned, Undecided, Waiting
from broker_wf.core.pause import is_pause
from broker_wf.core.routing import Router
from broker_wf.core.spec import StepSpec
from broker_wf.engine.tracing import StepSpan, StepTrace
from broker_wf.errors import StepTimeoutError, WorkflowRuntimeError
from broker_wf.events import Event
from broker_wf.resource import ResourceManager

STOP_WITHIN_S = 5.0
"""How long a step may take to notice its cancellation; then it counts as one that cannot be stopped."""


class BufferNeeded(BaseException):
    """Leaves a step whose ``collect_events`` needs events that the claim did not carry. Not for users to catch."""

    def __init__(self, needed: Undecided) -> None:
        super().__init__(needed.buffer)
        self.needed = needed


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class Call:
    """One call of a step.

    Attributes:
        events: by parameter; a list for a collection.
        context: what the Context parameter gets.
        threads: where steps run that are not async.
        stuck: called when the step's time-out is long over and its code has not stopped.
    """

    step: StepSpec
    events: dict[str, object]
    context: object
    resources: ResourceManager
    threads: Executor
    trace: StepTrace
    stuck: Callable[[], None] = lambda: None


async def invoke(call: Call) -> Outcome:
    """Call the step and say what came of it.

    Raises:
        asyncio.CancelledError: the task was cancelled; nothing came of it.
    """
    try:
        arguments = dict(call.events)
        if call.step.context_parameter is not None:
            arguments[call.step.context_parameter] = call.context
        if not call.step.resources:
            return _checked(call.step, await _traced(call, arguments))
        async with call.resources.resolution_scope():
            for name, definition in call.step.resources:
                arguments[name] = await call.resources.get(definition.resource)
            result = await _traced(call, arguments)
        return _checked(call.step, result)
    except BufferNeeded as needed:
        return needed.needed
    except Exception as error:
        return Raised(error=error)
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        return Raised(error=_cancelled_itself(call.step, error))
    except BaseException as error:
        if is_pause(error):
            return Waiting()
        raise


def _is_cancelled() -> bool:
    """Whether somebody has cancelled the task that executes here; before Python 3.11 that cannot be told from less."""
    asked = getattr(asyncio.current_task(), "cancelling", None)
    return asked is None or asked() > 0


def _cancelled_itself(step: StepSpec, error: asyncio.CancelledError) -> WorkflowRuntimeError:
    failure = WorkflowRuntimeError(
        f"Step function {step.name} raised asyncio.CancelledError though nobody cancelled it: it awaited something "
        "that was cancelled"
    )
    failure.__cause__ = error
    return failure


def ask_policy(router: Router, delivery: Delivery, raised: Raised, elapsed_ms: int) -> StepFailure:
    """Ask the step's retry policy, a user's too. If it raises, the step has failed for good, of that."""
    try:
        return plan_failure(router, delivery, raised, elapsed_ms)
    except Exception as broken:
        broken.__cause__ = raised.error
        return StepFailure(delivery=delivery, error=broken, delay_ms=None, elapsed_ms=elapsed_ms)


async def _traced(call: Call, arguments: dict[str, object]) -> object:
    with StepSpan(call.trace, call.step.function, arguments) as span:
        result = await _called(call, arguments)
        span.returned(result)
    return result


async def _called(call: Call, arguments: dict[str, object]) -> object:
    if call.step.is_async:
        running = cast("Awaitable[object]", call.step.function(**arguments))
    else:
        running = _in_thread(call, arguments)
    if call.step.timeout_ms is None:
        return await running
    done = asyncio.ensure_future(running)
    try:
        finished, _ = await asyncio.wait([done], timeout=call.step.timeout_ms / 1000)
        if finished:
            return done.result()
        done.cancel()
        await asyncio.wait([done], timeout=STOP_WITHIN_S)
        if not done.done():
            call.stuck()
        raise StepTimeoutError(call.step.name, call.step.timeout_ms)
    finally:
        done.cancel()


async def _in_thread(call: Call, arguments: dict[str, object]) -> object:
    """What the function gives. A thread cannot be stopped: a cancellation waits for its end, a second one does not."""
    context = contextvars.copy_context()
    started = call.threads.submit(partial(context.run, call.step.function, **arguments))
    done = asyncio.wrap_future(started)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        if not started.cancel():
            done.add_done_callback(_unheard)
            await asyncio.wait([done])
        raise


def _unheard(done: asyncio.Future[object]) -> None:
    """Nobody wants to know any more what it raised."""
    if not done.cancelled():
        done.exception()


def _checked(step: StepSpec, result: object) -> Returned:
    """What a step returned, if it may return that.

    Raises:
        WorkflowRuntimeError: it is no event, or a list where none is declared, or the other way round.
    """
    if result is None:
        return Returned(events=(), listed=False)
    if isinstance(result, list):
        return _checked_list(step, cast("list[object]", result))
    if not isinstance(result, Event):
        raise WorkflowRuntimeError(
            f"Step function {step.name} returned {type(result).__name__} instead of an Event instance."
        )
    bare_is_declared = not step.list_returns or isinstance(result, step.returns)
    if not bare_is_declared and type(result) in step.list_returns:
        raise WorkflowRuntimeError(
            f"Step function {step.name} returned a bare {type(result).__name__}, which it declares inside a list only."
        )
    return Returned(events=(result,), listed=False)


def _checked_list(step: StepSpec, result: list[object]) -> Returned:
    if not step.list_returns:
        raise WorkflowRuntimeError(
            f"Step function {step.name} returned list instead of an Event instance. "
            "Annotate its return as list[E] to hand on several events."
        )
    for item in result:
        if not isinstance(item, Event):
            raise WorkflowRuntimeError(
                f"Step function {step.name} returned list with {type(item).__name__} instead of an Event instance."
            )
    return Returned(events=tuple(cast("list[Event]", result)), listed=True)
