"""What a step and a handler hold of their run: one class with three faces."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from broker_wf.context.checks import check_progress, check_wait
from broker_wf.context.state_store import MODEL_T, InMemoryStateStore, StateStore, create_cleared_state
from broker_wf.errors import ContextStateError, WorkflowRuntimeError
from broker_wf.events import Event, StopEvent
from broker_wf.later import Later

if TYPE_CHECKING:
    import asyncio
    import logging

    from broker_wf.context import json_serializer, run_logger
    from broker_wf.context import saved as saving
    from broker_wf.context.backend import ContextBackend, DefinesState, RunBackend
    from broker_wf.retry_policy import RetryInfo
else:  # A context is annotated where a workflow is defined, and made where one runs.
    asyncio, run_logger = Later("asyncio"), Later("broker_wf.context.run_logger")
    json_serializer, saving = Later("broker_wf.context.json_serializer"), Later("broker_wf.context.saved")

EVENT_T = TypeVar("EVENT_T", bound=Event)
RESULT_T = TypeVar("RESULT_T")


class BeforeRun:
    """The context of a run to come. Its store becomes the state of that run."""

    def __init__(self, workflow: DefinesState, saved: saving.Saved | None = None) -> None:
        self.workflow = workflow
        self.saved = saved

    @cached_property
    def store(self) -> InMemoryStateStore[Any]:
        """Made when first asked for, with the defaults of the workflow's state class.

        Raises:
            ValueError: the workflow's ``Context[S]`` do not agree, or a field of S has no default.
        """
        saved = self.saved.state if self.saved is not None else None
        return InMemoryStateStore(create_cleared_state(self.workflow.get_state_class()) if saved is None else saved)

    def written(self, writer: saving.Writer, *, include_state: bool) -> dict[str, Any]:
        """The context as ``Context.to_dict`` gives it."""
        run = self.saved.run if self.saved is not None else None
        return saving.written(self.store.state if include_state else None, run, writer)


class InStep(NamedTuple):
    """The context that a step was given."""

    backend: ContextBackend


class InRun(NamedTuple):
    """The context that a handler holds."""

    backend: RunBackend


Face = BeforeRun | InStep | InRun

current_step: ContextVar[Context[Any] | None] = ContextVar("current_step", default=None)
"""The context of the step that executes here; set around each execution, also in its thread."""


class Context(Generic[MODEL_T]):
    """A run, as seen from a step, from a handler, or before it begins.

    Attributes:
        face: which of the three; set by the engine and the driver.
        serializer: writes the state where ``to_dict`` is given none.
    """

    def __init__(
        self,
        workflow: DefinesState,
        previous_context: dict[str, Any] | None = None,
        serializer: object = None,
    ) -> None:
        """Make the context of a run to come.

        Args:
            previous_context: what ``to_dict`` gave: a run that went on then is resumed by ``run(ctx=…)``.
            serializer: reads and writes the state; else the workflow's, else JSON that knows the workflow's classes.

        Raises:
            ContextSerdeError: the saved context is malformed, or of a newer version.
        """
        self.serializer = serializer if serializer is not None else getattr(workflow, "serializer", None)
        saved = None
        if previous_context is not None:
            reader = self.serializer or json_serializer.JsonSerializer(allowed_types=workflow.saved_types())
            saved = saving.read(previous_context, workflow.get_state_class(), cast("saving.Writer", reader))
        self.face: Face = BeforeRun(workflow, saved)

    @classmethod
    def of(cls, face: Face, serializer: object = None) -> Context[MODEL_T]:
        """Make the context of a step or of a run."""
        made = cls.__new__(cls)
        made.face, made.serializer = face, serializer
        return made

    @staticmethod
    def get_step_context() -> Context[Any]:
        """Return the context of the step that calls this: the very object its parameter holds.

        Raises:
            WorkflowRuntimeError: no step is executing here.
        """
        found = current_step.get()
        if found is None:
            raise WorkflowRuntimeError("Context.get_step_context() may only be called from within a step function")
        return found

    @property
    def store(self) -> StateStore[MODEL_T]:
        """The run's state. Before the run: what its state will begin with."""
        match self.face:
            case BeforeRun() as before:
                return cast("StateStore[MODEL_T]", before.store)
            case InStep(backend) | InRun(backend):
                return backend.store

    @property
    def is_running(self) -> bool:
        """Whether the run goes on. Deprecated inside a step, where it always does."""
        match self.face:
            case BeforeRun() as before:
                return before.saved is not None and before.saved.is_running
            case InRun(backend):
                return backend.is_running
            case InStep():
                warnings.warn(
                    "is_running was asked for within a step, where it is always true",
                    DeprecationWarning,
                    stacklevel=2,
                )
                return True

    @classmethod
    def from_dict(cls, workflow: DefinesState, data: dict[str, Any], serializer: object = None) -> Context[MODEL_T]:
        """Read what ``to_dict`` gave. ``workflow.run(ctx=…)`` goes on where the run was, here or on another server.

        Raises:
            ContextSerdeError: it is malformed, or of a newer version; says where.
        """
        return cls(workflow, previous_context=data, serializer=serializer)

    def to_dict(self, serializer: object = None, *, include_state: bool = True) -> dict[str, Any]:
        """Write the run down as it stands: its state, and all that is queued, executes, waits or is collected.

        Steps that execute will execute again from the top where the run is resumed, steps that have ended will not.
        Blocks for one reply of the server.

        Args:
            serializer: of the state's values; else that of the context.

        Raises:
            ValueError: a value of the state has no encoding.
            ContextStateError: called within a step; or right after ``attach``, before the run was found.
        """
        writer = cast("saving.Writer", serializer or self.serializer or json_serializer.JsonSerializer())
        match self.face:
            case BeforeRun() as before:
                return before.written(writer, include_state=include_state)
            case InRun(backend):
                saved = backend.saved(include_state=include_state)
                return saving.written(saved.state, saved.run, writer)
            case InStep():
                raise ContextStateError("to_dict is only available from handler code, not from within steps.")

    def send_event(self, message: Event, step: str | None = None) -> None:
        """Hand an event to every step that takes it, or to one. Calls keep their order.

        Raises:
            WorkflowRuntimeError: there is no such step, or it does not take the event; nothing was sent.
            ContextStateError: the run has not begun.
        """
        match self.face:
            case BeforeRun():
                raise ContextStateError("send_event() called before workflow started. Call workflow.run() first.")
            case InStep(backend) | InRun(backend):
                backend.send(message, step)

    def collect_events(
        self, ev: Event, expected: list[type[Event]], buffer_id: str | None = None
    ) -> list[Event] | None:
        """Buffer the event until all expected ones are there.

        Args:
            ev: the event the step was given.
            expected: classes, as often as events of them are wanted.
            buffer_id: keeps buffers of one step apart.

        Returns:
            None until the buffer is complete; then the events in the order of ``expected``, those of one
            class in order of arrival.

        Raises:
            ContextStateError: not called from a step.
        """
        return self._in_step("collect_events").collect(ev, expected, buffer_id)

    def write_event_to_stream(self, ev: Event | None) -> None:
        """Publish an event to those who stream the run; None is ignored.

        Raises:
            ContextStateError: not called from a step.
        """
        backend = self._in_step("write_event_to_stream")
        if ev is not None:
            backend.write(ev)

    def wait_for_event(
        self,
        event_type: type[EVENT_T],
        waiter_event: Event | None = None,
        waiter_id: str | None = None,
        requirements: dict[str, Any] | None = None,
        timeout: float | None = 2000,
    ) -> Coroutine[Any, Any, EVENT_T]:
        """Wait for an event that somebody sends, or that a step returns or sends.

        The step leaves here and holds no place and no memory while it waits. It is executed again from the top, on any
        worker, when there is an answer: what stands before this call is done again, see :meth:`once`. An answer stays
        until the step completes, so that a retry does not ask again. One event is the answer to all waits that it
        fits; a step that got it so does not get it as its input too.

        Args:
            event_type: exactly this class, or its subclasses too where the step accepts subclasses.
            waiter_event: published when the wait begins, once.
            waiter_id: tells waits of one step apart. By default they are told apart by class, requirements and order.
            requirements: for each name the value that the event must have there.
            timeout: seconds from when the wait first began; None: for ever.

        Raises:
            asyncio.TimeoutError: no answer came in time.
            WorkflowRuntimeError: the step is not async.
            ContextStateError: not called from a step.
        """
        backend = self._in_step("wait_for_event")
        check_wait(event_type, waiter_event, requirements, timeout)
        found = backend.wait(event_type, waiter_event, waiter_id, requirements or {}, timeout)
        return cast("Coroutine[Any, Any, EVENT_T]", found)

    def once(
        self, key: str, fn: Callable[..., Awaitable[RESULT_T] | RESULT_T], *args: Any
    ) -> Coroutine[Any, Any, RESULT_T]:
        """Call a function and remember its result for as long as this execution's event is being worked on.

        However often the step starts again on its event, after a wait, a retry or a crash, the function is not called
        again once its result was remembered; it may be if the worker dies between the two. Each event that a step
        gets has results of its own.

        Args:
            key: tells the results of one step apart.
            fn: async, or a plain function, which runs in a thread.

        Raises:
            EncodeError: the result cannot travel; it was not remembered.
            WorkflowRuntimeError: the step is not async.
            ContextStateError: not called from a step.
        """
        return cast("Coroutine[Any, Any, RESULT_T]", self._in_step("once").once(key, fn, args))

    @property
    def idempotency_key(self) -> str:
        """``<run>/<delivery>``: the same on every start of the step on its event. For systems that drop repetitions.

        Raises:
            ContextStateError: not asked for in a step.
        """
        return self._in_step("idempotency_key").idempotency_key

    async def running_steps(self) -> list[str]:
        """Give the names of the steps that execute now; a step that waits for an event does not.

        Raises:
            ContextStateError: not called from handler code.
        """
        return await self._in_run("running_steps").running_steps()

    def retry_info(self) -> RetryInfo:
        """Tell what is known of the failures before this execution.

        Raises:
            ContextStateError: not called from a step.
        """
        return self._in_step("retry_info").retry_info()

    def stream_events(self) -> AsyncGenerator[Event, None]:
        """Give all events of the run from its first, internal ones too, until the one that ends it.

        Raises:
            ContextStateError: not called from handler code.
        """
        return self._in_run("stream_events").events(expose_internal=True)

    @property
    def streaming_queue(self) -> asyncio.Queue[Event]:
        """All events of the run, internal ones too, as they come. Deprecated: iterate ``stream_events()``.

        Each access makes a queue of its own, which begins where ``stream_events()`` would.

        Raises:
            ContextStateError: not asked for in handler code.
        """
        warnings.warn(
            "Context.streaming_queue is deprecated and will be removed in a future release; iterate "
            "Context.stream_events()",
            DeprecationWarning,
            stacklevel=2,
        )
        queue: asyncio.Queue[Event] = asyncio.Queue()
        pouring = asyncio.ensure_future(_pour(self._in_run("streaming_queue").events(expose_internal=True), queue))
        _pouring.add(pouring)
        pouring.add_done_callback(_pouring.discard)
        return queue

    def get_result(self) -> Any:
        """Return what the run is worth. Deprecated: await the handler.

        Raises:
            WorkflowRuntimeError: the run is not complete.
            ContextStateError: not called from handler code.
        """
        warnings.warn("Context.get_result() is deprecated, await the handler instead", DeprecationWarning, stacklevel=2)
        stop = self._in_run("get_result").stop_event()
        return stop.result if type(stop) is StopEvent else stop

    def progress(self, done: float, total: float | None, text: str = "") -> None:
        """Publish how far the step has come, as a ``ProgressEvent``, to those who stream the run.

        May be called as often as one likes: of what is told within a tenth of a second the last is published, and the
        very last before the step's result. A step that is atomic, or that has asked ``collect_events``, publishes the
        last one only.

        Args:
            total: what ``done`` goes up to; None: not known.

        Raises:
            TypeError, ValueError: the numbers are none, or below 0.
            ContextStateError: not called from a step.
        """
        backend = self._in_step("progress")
        check_progress(done, total, text)
        backend.progress(done, total, text)

    @property
    def logger(self) -> logging.Logger:
        """A logger whose lines are kept with the run, from INFO on: ``broker-wf runs logs`` and the page show them.

        So are the lines of any other logger that a step, or what it calls, writes to, as far as its level lets them
        through.
        """
        return run_logger.run_logger

    def _in_step(self, method: str) -> ContextBackend:
        match self.face:
            case InStep(backend):
                return backend
            case BeforeRun():
                raise ContextStateError(f"{method} requires a running workflow. Call workflow.run() first.")
            case InRun():
                raise ContextStateError(f"{method} is only available from within step functions.")

    def _in_run(self, method: str) -> RunBackend:
        match self.face:
            case InRun(backend):
                return backend
            case BeforeRun():
                raise ContextStateError(f"{method} requires a running workflow. Call workflow.run() first.")
            case InStep():
                raise ContextStateError(f"{method} is only available from handler code, not from within steps.")


_pouring: set[asyncio.Task[None]] = set()
"""Event loops hold tasks weakly."""


async def _pour(events: AsyncGenerator[Event, None], queue: asyncio.Queue[Event]) -> None:
    async for event in events:
        queue.put_nowait(event)
