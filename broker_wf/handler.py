"""The awaitable face of a run."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncGenerator, Coroutine, Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, cast, overload

from broker_wf.context.context import Context, InRun
from broker_wf.core.tasks import outcome_of
from broker_wf.driver.followed_run import FollowedRun
from broker_wf.engine.children import current_children, streamed, waited
from broker_wf.errors import BrokerError, WorkflowCancelledByUser, WorkflowRuntimeError
from broker_wf.events import Event, StopEvent, WorkflowCancelledEvent
from broker_wf.later import Later
from broker_wf.types import StopT

if TYPE_CHECKING:
    from broker_wf.representation import drawing
else:
    drawing = Later("broker_wf.representation.drawing")

log = logging.getLogger("broker_wf.driver")


class WorkflowHandler(Generic[StopT]):
    """A run that was submitted: await it, stream its events, send to it, cancel it.

    Attributes:
        followed: the machinery behind it, not for users.
    """

    def __init__(self, run: FollowedRun, ctx: Context[Any] | None) -> None:
        self._run = self.followed = run
        self._ctx = ctx
        if ctx is not None:
            ctx.face = InRun(run)

    @property
    def run_id(self) -> str:
        """The run's id, the same in every process."""
        return self._run.run_id

    @property
    def ctx(self) -> Context[Any]:
        """The run's context: the object given to ``run(ctx=…)``, else one of its own."""
        if self._ctx is None:
            self._ctx = Context.of(InRun(self._run))
        return self._ctx

    @overload
    def __await__(self: WorkflowHandler[StopEvent]) -> Generator[Any, Any, Any]: ...

    @overload
    def __await__(self) -> Generator[Any, Any, StopT]: ...

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for the run's result: ``.result`` of a plain StopEvent, else the stop event itself.

        Raises:
            WorkflowTimeoutError, WorkflowCancelledByUser, or the exception of the step that failed.
            ServerUnreachableError, RunConflictError, BackpressureError: the run was not accepted.
        """
        stop = yield from self._stopped().__await__()
        return stop.result if type(stop) is StopEvent else stop

    def __str__(self) -> str:
        name = self._run.router.spec.name
        return f"WorkflowHandler(workflow={name}, run_id={self.run_id}, result={self.get_stop_event()})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the course of the run up to now; its name alone where that cannot be read."""
        try:
            return drawing.run_drawing(self).shown()
        except (BrokerError, WorkflowRuntimeError):
            return {"text/plain": str(self)}

    def _repr_html_(self) -> str | None:
        """What a notebook shows that knows HTML alone."""
        return self._repr_mimebundle_().get("text/html")

    async def stop_event_result(self) -> StopT:
        """Wait for the event that ended the run. Raises as awaiting the handler does."""
        return cast("StopT", await self._stopped())

    def _stopped(self) -> Coroutine[Any, Any, StopEvent]:
        end, step = outcome_of(self._run.end), current_children.get()
        return end if step is None or self._run.end.done() else waited(step, end)

    def get_stop_event(self) -> StopEvent | None:
        """The event that ended the run, if it has ended well or was cancelled."""
        end = self._run.end
        if not end.done() or end.cancelled():
            return None
        if isinstance(end.exception(), WorkflowCancelledByUser):
            return WorkflowCancelledEvent()
        return None if end.exception() is not None else end.result()

    def is_done(self) -> bool:
        """Whether the run's end is known here."""
        return self._run.end.done()

    def stream_events(self, expose_internal: bool = False, *, after: int | None = None) -> AsyncGenerator[Event, None]:
        """The run's events, from the first one on, up to the one that ends it.

        Leaving the loop and iterating again goes on where it was left; several loops at one time each get everything.

        Args:
            expose_internal: the engine's own events too.
            after: begin behind this sequence number instead.

        Raises (when iterated):
            WorkflowRuntimeError: they have all been streamed.
            EventsTrimmedError: the feed no longer has the next one; says which.
        """
        events, step = self._run.events(expose_internal=expose_internal, after=after), current_children.get()
        return events if step is None else streamed(step, events)

    async def send_event(self, event: Event, step: str | None = None) -> None:
        """Hand an event to the run, from outside its steps; returns when it has arrived.

        Raises:
            WorkflowRuntimeError: no such step, or it does not take such events.
            RunEndedError: the run has ended.
        """
        self._run.send(event, step)
        await self._run.sent()

    async def cancel_run(self, *, timeout: float = 5.0) -> None:
        """End the run as cancelled, and wait up to ``timeout`` seconds for its end.

        Does nothing once the run has ended, and never raises. Steps at work get ``asyncio.CancelledError``.
        """
        if self._run.end.done():
            return
        ending = asyncio.ensure_future(self._end_as_cancelled())
        await asyncio.wait([ending], timeout=timeout)
        if not ending.done():
            ending.cancel()
        elif ending.exception() is not None:
            log.warning("run %s could not be cancelled: %s", self.run_id, ending.exception())

    async def _end_as_cancelled(self) -> None:
        await self._run.cancel()
        await asyncio.wait([self._run.end])

    def done(self) -> bool:
        """Deprecated: ``is_done``."""
        _warn("done", "is_done()")
        return self.is_done()

    def cancel(self) -> None:
        """Deprecated: ``cancel_run``. Awaiting the handler then gives ``asyncio.CancelledError``."""
        _warn("cancel", "await handler.cancel_run()")
        self._cancelling = asyncio.ensure_future(self._run.cancel())
        self._run.end.cancel()

    def exception(self) -> BaseException | None:
        """Deprecated: await the handler."""
        _warn("exception", "await handler")
        end = self._run.end
        return None if not end.done() or end.cancelled() else end.exception()

    def cancelled(self) -> bool:
        """Deprecated: await the handler."""
        _warn("cancelled", "await handler")
        end = self._run.end
        return end.done() and (end.cancelled() or isinstance(end.exception(), WorkflowCancelledByUser))


@lru_cache
def _warn(method: str, instead: str) -> None:
    warnings.warn(
        f"WorkflowHandler.{method}() is deprecated and will be removed in a future release; use {instead}",
        DeprecationWarning,
        stacklevel=3,
    )
