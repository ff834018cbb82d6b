"""What a Context needs from those who know the run: the engine inside a step, the driver outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, Protocol

from pydantic import BaseModel

from broker_wf.context.saved import Saved
from broker_wf.context.state_store import StateStore
from broker_wf.events import Event, StopEvent
from broker_wf.retry_policy import RetryInfo


class DefinesState(Protocol):
    """A workflow, as far as a Context that has not run yet must know it."""

    def get_state_class(self) -> type[BaseModel]:
        """Return the class of the run's state: the most derived of all ``Context[S]``, else ``DictState``.

        Raises:
            ValueError: the annotations do not agree.
        """
        ...

    @property
    def serializer(self) -> object:
        """How contexts of the workflow are saved; None: as JSON that knows ``saved_types``."""
        ...

    def saved_types(self) -> list[type]:
        """The classes that a saved context may hold."""
        ...


class ContextBackend(Protocol):
    """What a step may do to its run. All but the store is synchronous and may be called from a thread."""

    @property
    def store(self) -> StateStore[Any]:
        """The run's state."""
        ...

    def send(self, event: Event, step: str | None) -> None:
        """Hand an event to every step that takes it, or to one.

        Raises:
            WorkflowRuntimeError: there is no such step, or it does not take the event; nothing was sent.
        """
        ...

    def collect(self, event: Event, expected: list[type[Event]], buffer_id: str | None) -> list[Event] | None:
        """Add the event to the step's buffer.

        Returns:
            The events in the order of ``expected`` once all are there, else None.
        """
        ...

    def write(self, event: Event) -> None:
        """Publish the event."""
        ...

    def progress(self, done: float, total: float | None, text: str) -> None:
        """Publish how far the step has come, unless more is told soon."""
        ...

    def retry_info(self) -> RetryInfo:
        """What is known of the failures before this execution."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The run and the delivery: the same on every start of it."""
        ...

    def wait(
        self,
        event_type: type[Event],
        waiter_event: Event | None,
        waiter_id: str | None,
        requirements: Mapping[str, object],
        timeout_s: float | None,
    ) -> Coroutine[object, object, Event]:
        """Give the answer, or leave the step until there is one.

        Raises:
            WorkflowRuntimeError: the step is not async.
        """
        ...

    def once(
        self, key: str, function: Callable[..., object], arguments: tuple[object, ...]
    ) -> Coroutine[object, object, object]:
        """Call the function, unless the delivery remembers its result.

        Raises:
            WorkflowRuntimeError: the step is not async.
        """
        ...


class RunBackend(Protocol):
    """What the holder of a handler may do to its run."""

    @property
    def store(self) -> StateStore[Any]:
        """The run's state; readable after its end for as long as the run is kept."""
        ...

    @property
    def is_running(self) -> bool:
        """Whether the run's end has not been seen here yet."""
        ...

    def send(self, event: Event, step: str | None) -> None:
        """Hand an event to every step that takes it, or to one; calls keep their order.

        Raises:
            WorkflowRuntimeError: there is no such step, or it does not take the event; nothing was sent.
        """
        ...

    async def running_steps(self) -> list[str]:
        """The names of the steps that execute now."""
        ...

    def events(self, *, expose_internal: bool) -> AsyncGenerator[Event, None]:
        """Give the events of the run from its first, the engine's own too if asked for, until the one that ends it."""
        ...

    def saved(self, *, include_state: bool) -> Saved:
        """The run as it stands, as ``Context.to_dict`` writes it down. Blocks while the server is read once.

        Raises:
            ContextStateError: the run was begun elsewhere and not found yet, or is not kept any more.
        """
        ...

    def stop_event(self) -> StopEvent:
        """Return the event that ended the run.

        Raises:
            WorkflowRuntimeError: the run is not complete.
        """
        ...
