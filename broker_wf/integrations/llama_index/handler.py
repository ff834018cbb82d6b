"""A run as the holder of their handler sees it: their events, their errors."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

from workflows.events import Event, StopEvent

from broker_wf.handler import WorkflowHandler
from broker_wf.integrations.llama_index.context import DistributedContext
from broker_wf.integrations.llama_index.errors import their_error, their_errors
from broker_wf.integrations.llama_index.events import to_ours, to_theirs
from broker_wf.integrations.llama_index.streams import TheirEvents


class DistributedHandler:
    """A run of this engine with the face of their ``WorkflowHandler``: await it, stream it, send to it, cancel it."""

    def __init__(self, ours: WorkflowHandler, ctx: DistributedContext) -> None:
        self._ours, self._ctx = ours, ctx

    @property
    def run_id(self) -> str:
        """The run's id, the same in every process."""
        return self._ours.run_id

    @property
    def ctx(self) -> DistributedContext:
        """The run's context; with it another run can begin where this one ends."""
        return self._ctx

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for the result: ``.result`` of a plain StopEvent, else the stop event itself.

        Raises:
            WorkflowTimeoutError, WorkflowCancelledByUser: of theirs; or the exception of the step that failed.
        """
        return self._result().__await__()

    def __str__(self) -> str:
        return str(self._ours)

    async def stop_event_result(self) -> StopEvent:
        """Wait for the event that ended the run. Raises as awaiting the handler does."""
        with their_errors():
            return cast("StopEvent", to_theirs(await self._ours.stop_event_result()))

    def get_stop_event(self) -> StopEvent | None:
        """The event that ended the run, if it has ended well or was cancelled."""
        found = self._ours.get_stop_event()
        return None if found is None else cast("StopEvent", to_theirs(found))

    def is_done(self) -> bool:
        """Whether the run's end is known here."""
        return self._ours.is_done()

    def stream_events(self, expose_internal: bool = False) -> TheirEvents:
        """The run's events, from the first one on, up to the one that ends it. See ``WorkflowHandler``."""
        return TheirEvents(self._ours.stream_events(expose_internal))

    async def send_event(self, event: Event, step: str | None = None) -> None:
        """Hand an event to the run; returns when it has arrived."""
        with their_errors():
            await self._ours.send_event(to_ours(event), step)

    async def cancel_run(self, *, timeout: float = 5.0) -> None:
        """End the run as cancelled, and wait up to ``timeout`` seconds for its end."""
        await self._ours.cancel_run(timeout=timeout)

    def done(self) -> bool:
        """Deprecated: ``is_done``."""
        return self._ours.done()

    def cancel(self) -> None:
        """Deprecated: ``cancel_run``. Awaiting the handler then gives ``asyncio.CancelledError``."""
        self._ours.cancel()

    def exception(self) -> BaseException | None:
        """Deprecated: await the handler."""
        found = self._ours.exception()
        return their_error(found) if isinstance(found, Exception) else found

    def cancelled(self) -> bool:
        """Deprecated: await the handler."""
        return self._ours.cancelled()

    async def _result(self) -> Any:
        stop = await self.stop_event_result()
        return stop.result if type(stop) is StopEvent else stop
