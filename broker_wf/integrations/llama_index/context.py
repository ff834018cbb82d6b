"""The Context that their code is given: theirs by class, ours by what it does."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from workflows import Context as TheirContext
from workflows.events import Event
from workflows.retry_policy import RetryInfo

from broker_wf.context.context import Context, InStep
from broker_wf.engine.step_context import StepContext
from broker_wf.integrations.llama_index.errors import their_errors
from broker_wf.integrations.llama_index.events import TheirClass, our_class, to_ours, to_theirs
from broker_wf.integrations.llama_index.store import LiveStore
from broker_wf.integrations.llama_index.streams import TheirEvents
from broker_wf.wire.state import name_of_key


class DistributedContext(TheirContext[Any]):
    """A run of this engine, with the members of their ``Context``."""

    def __init__(self, ours: Context[Any]) -> None:
        self._ours = ours

    @property
    def ours(self) -> Context[Any]:
        """The context of this library that it shows."""
        return self._ours

    @property
    def store(self) -> Any:
        """The run's state."""
        return self._ours.store

    @property
    def is_running(self) -> bool:
        """Whether the run goes on; always, within a step."""
        return isinstance(self._ours.face, InStep) or self._ours.is_running

    def send_event(self, message: Event, step: str | None = None) -> None:
        """See ``Context``."""
        with their_errors():
            self._ours.send_event(to_ours(message), step)

    def write_event_to_stream(self, ev: Event | None) -> None:
        """See ``Context``."""
        with their_errors():
            self._ours.write_event_to_stream(None if ev is None else to_ours(ev))

    def collect_events(self, ev: Event, expected: list[TheirClass], buffer_id: str | None = None) -> list[Event] | None:
        """See ``Context``."""
        with their_errors():
            found = self._ours.collect_events(to_ours(ev), [our_class(cls) for cls in expected], buffer_id)
        return None if found is None else [to_theirs(one) for one in found]

    async def wait_for_event(
        self,
        event_type: TheirClass,
        waiter_event: Event | None = None,
        waiter_id: str | None = None,
        requirements: dict[str, Any] | None = None,
        timeout: float | None = 2000,
    ) -> Any:
        """See ``Context``. The pause goes through ``except Exception``, as one of a tool's must."""
        asks = None if waiter_event is None else to_ours(waiter_event)
        with their_errors():
            found = await self._ours.wait_for_event(our_class(event_type), asks, waiter_id, requirements, timeout)
        return to_theirs(found)

    def retry_info(self) -> RetryInfo:
        """See ``Context``."""
        with their_errors():
            info = self._ours.retry_info()
        return RetryInfo(
            retry_number=info.retry_number,
            elapsed_seconds=info.elapsed_seconds,
            last_exception=info.last_exception,
            last_failed_at=info.last_failed_at,
        )

    def stream_events(self) -> Any:
        """See ``Context``."""
        with their_errors():
            return TheirEvents(self._ours.stream_events())

    def to_dict(self, serializer: Any = None, *, include_state: bool = True) -> dict[str, Any]:
        """See ``Context``. Read it again with this library's ``Context.from_dict(distributed, data)``."""
        with their_errors():
            return self._ours.to_dict(serializer, include_state=include_state)

    async def running_steps(self) -> list[str]:
        """See ``Context``."""
        with their_errors():
            return await self._ours.running_steps()

    def get_result(self) -> Any:
        """See ``Context``."""
        with their_errors():
            return self._ours.get_result()


class StepsContext(DistributedContext):
    """The context of one execution of a step."""

    def __init__(self, ours: Context[Any]) -> None:
        super().__init__(ours)
        face = ours.face
        assert isinstance(face, InStep)
        codec = cast("StepContext", face.backend).effects.codec
        self.live = LiveStore(ours.store, lambda path, value: codec.encode_value(value, what=name_of_key(path)))

    @property
    def store(self) -> LiveStore:
        """The run's state; what is changed in place is kept when the step returns."""
        return self.live


async def kept(context: StepsContext) -> None:
    """Set what a step has changed in place, also if it is cancelled meanwhile."""
    await asyncio.shield(context.live.keep())
