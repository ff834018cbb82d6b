"""Spans of runs and steps for the handlers of ``llama_index_instrumentation``.

Nothing is imported here: there are handlers only where somebody has imported that library to add them. One span per run
is open in the process that began it, from ``run()`` to the run's end; one per execution of a step in its worker. What
the handlers need to put these below the first travels in the run's record.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context, ContextVar, Token, copy_context
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Protocol, cast

from broker_wf.broker.packing import pack, unpack_text
from broker_wf.core.ids import RunId
from broker_wf.engine.summary import summarize
from broker_wf.errors import WorkflowCancelledByUser
from broker_wf.events import Event, StartEvent, StopEvent

_LIBRARY = "llama_index_instrumentation"
_Tags = dict[str, object]


class _Dispatcher(Protocol):
    event_handlers: list[object]
    span_handlers: list[object]
    propagate: bool

    @property
    def parent(self) -> _Dispatcher: ...

    def event(self, event: object) -> None: ...
    def span_enter(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: object = None,
        parent_id: str | None = None,
        tags: _Tags | None = None,
    ) -> None: ...
    def span_exit(
        self, id_: str, bound_args: inspect.BoundArguments, instance: object = None, result: object = None
    ) -> None: ...
    def span_drop(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: object = None,
        err: BaseException | None = None,
    ) -> None: ...
    def capture_propagation_context(self) -> dict[str, object]: ...
    def restore_propagation_context(self, context: Mapping[str, object]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Tracer:
    """The parts of the library that are used."""

    dispatcher: _Dispatcher
    active_span: ContextVar[str | None]
    active_tags: ContextVar[_Tags]
    events: Mapping[str, Callable[..., object]]

    @property
    def is_heard(self) -> bool:
        """Whether somebody has added a handler."""
        return any(_is_real(h) for one in self._chain() for h in (*one.event_handlers, *one.span_handlers))

    def _chain(self) -> Iterator[_Dispatcher]:
        one = self.dispatcher
        yield one
        while one.propagate:
            one = one.parent
            yield one

    def tell(self, name: str, **values: object) -> None:
        """Give the handlers an event."""
        self.dispatcher.event(self.events[name](**values))


def _is_real(handler: object) -> bool:
    return type(handler).__name__ not in ("NullSpanHandler", "NullEventHandler")


def _tracer() -> _Tracer | None:
    """The library, if somebody in this process has imported it and listens."""
    library = sys.modules.get(_LIBRARY)
    if library is None or f"{_LIBRARY}.dispatcher" not in sys.modules:
        return None
    tracer = _known(library)
    return tracer if tracer.is_heard else None


@lru_cache(maxsize=1)
def _known(library: ModuleType) -> _Tracer:
    parts = {name: sys.modules[f"{_LIBRARY}.{name}"] for name in ("dispatcher", "span", "base", "events.span")}
    kind = cast("type[object]", vars(parts["base"])["BaseEvent"])
    return _Tracer(
        dispatcher=cast("_Dispatcher", vars(library)["get_dispatcher"](__name__)),
        active_span=vars(parts["span"])["active_span_id"],
        active_tags=vars(parts["dispatcher"])["active_instrument_tags"],
        events={
            "dropped": vars(parts["events.span"])["SpanDropEvent"],
            "cancelled": _event_class(kind, "SpanCancelledEvent", "SpanCancelledEvent", "reason"),
            "step": _event_class(kind, "WorkflowStepOutputEvent", "step.output", "output"),
            "run": _event_class(kind, "WorkflowRunOutputEvent", "workflow.output", "output"),
        },
    )


def _event_class(kind: type[object], name: str, label: str, text: str) -> Callable[..., object]:
    def class_name(cls: type[object]) -> str:
        return label

    body: dict[str, object] = {
        "__annotations__": {text: str},
        "__module__": __name__,
        "class_name": classmethod(class_name),
    }
    return type(name, (kind,), body)


@dataclass(slots=True, kw_only=True)
class Span:
    """A span that is open. As a context manager around the code it stands for, it becomes the active one."""

    tracer: _Tracer
    name: str
    bound: inspect.BoundArguments
    tags: _Tags
    instance: object = None
    output: str = "step"
    id: str = field(init=False)
    _tokens: tuple[Token[str | None], Token[_Tags]] | None = None

    def __post_init__(self) -> None:
        self.id = f"{self.name}-{uuid.uuid4()}"

    def open(self) -> None:
        """Tell the handlers; the active span is the parent."""
        parent = self.tracer.active_span.get(None)
        self.tracer.dispatcher.span_enter(
            id_=self.id, bound_args=self.bound, instance=self.instance, parent_id=parent, tags=self.tags
        )

    def activate(self) -> None:
        """Make it the parent of what comes in this context."""
        self._tokens = self.tracer.active_span.set(self.id), self.tracer.active_tags.set(self.tags)

    def deactivate(self) -> None:
        """Take that back."""
        if self._tokens is not None:
            span, tags = self._tokens
            self.tracer.active_span.reset(span)
            self.tracer.active_tags.reset(tags)

    def returned(self, result: object) -> None:
        """Tell what came of it, if that is an event."""
        if isinstance(result, Event):
            self.tracer.tell(self.output, output=summarize(result))

    def close(self, error: BaseException | None, result: object = None, reason: str = "step cancelled") -> None:
        """A failure drops the span; a pause or a cancellation is none."""
        dispatcher = self.tracer.dispatcher
        if isinstance(error, Exception) and not isinstance(error, WorkflowCancelledByUser):
            self.tracer.tell("dropped", span_id=self.id, err_str=str(error))
            dispatcher.span_drop(id_=self.id, bound_args=self.bound, instance=self.instance, err=error)
            return
        if isinstance(error, asyncio.CancelledError | WorkflowCancelledByUser):
            self.tracer.tell("cancelled", reason=reason)
        dispatcher.span_exit(id_=self.id, bound_args=self.bound, instance=self.instance, result=result)


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class StepTrace:
    """What the span of an execution says.

    Attributes:
        given: the event the step was called with; of a join the first one.
        carried: what the run's record holds for the handlers here; None: whoever began the run does not trace.
    """

    run_id: RunId
    given: Event | None
    carried: bytes | None


@dataclass(slots=True)
class StepSpan:
    """An execution of a step, as a context manager: around nothing, if nobody traces here."""

    trace: StepTrace
    function: Callable[..., object]
    arguments: Mapping[str, object]
    _span: Span | None = None
    _result: object = None

    def __enter__(self) -> StepSpan:
        tracer = _tracer()
        if tracer is not None:
            _restore(tracer, self.trace.carried)
            self._span = Span(
                tracer=tracer,
                name=getattr(self.function, "__qualname__", "step"),
                bound=inspect.signature(self.function).bind(**self.arguments),
                tags={**tracer.active_tags.get(), **_tags(self.trace)},
            )
            self._span.open()
            self._span.activate()
        return self

    def returned(self, result: object) -> None:
        """The step came to its end."""
        self._result = result
        if self._span is not None:
            self._span.returned(result)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._span is not None:
            self._span.close(error, self._result)
            self._span.deactivate()


def _tags(trace: StepTrace) -> _Tags:
    tags: _Tags = {"llamaindex.run_id": str(trace.run_id)}
    if trace.given is not None:
        tags["llamaindex.step.input_event"] = type(trace.given).__name__
        tags["llamaindex.step.input_summary"] = summarize(trace.given)
    return tags


def _restore(tracer: _Tracer, carried: bytes | None) -> None:
    """Put what follows in this context below the run's span; what the worker was begun with is none of it."""
    tracer.active_tags.set({})
    tracer.active_span.set(None)
    if carried is not None:
        record = unpack_text(carried)
        tracer.dispatcher.restore_propagation_context(cast("dict[str, object]", record["context"]))
        tracer.active_span.set(cast(str, record["span"]))


@dataclass(frozen=True, slots=True)
class RunSpan:
    """The span of a run that was begun here.

    Attributes:
        context: where it is open and active, so that nothing else of whoever began the run is below it; handlers that
            keep something in context variables find it there when it ends.
        carried: what workers need to put their spans below it.
    """

    span: Span
    context: Context
    carried: bytes

    def ended(self, end: asyncio.Future[StopEvent]) -> None:
        """The run has ended, or its handler was dropped."""
        error = asyncio.CancelledError() if end.cancelled() else end.exception()
        self.context.run(self._close, error, end.result() if error is None else None)

    def _close(self, error: BaseException | None, result: StopEvent | None) -> None:
        self.span.returned(result)
        self.span.close(error, result, reason="workflow cancelled by user")
        self.span.deactivate()


def begin_run(workflow: object, run_id: RunId, start_event: StartEvent) -> RunSpan | None:
    """Open the span of a run; None if nobody traces here."""
    tracer = _tracer()
    if tracer is None:
        return None
    tags = {**tracer.active_tags.get(), "llamaindex.run_id": str(run_id)}
    span = Span(
        tracer=tracer,
        name=f"{type(workflow).__name__}.run",
        bound=inspect.signature(_run).bind(start_event),
        tags={**tags, "llamaindex.start_event": summarize(start_event)},
        instance=workflow,
        output="run",
    )
    context = copy_context()
    return RunSpan(span, context, context.run(_carried, span, tags))


def _carried(span: Span, tags: _Tags) -> bytes:
    """Open and activate the span of a run in this context; what its handlers need elsewhere, with these tags."""
    span.open()
    span.activate()
    restored = span.tracer.active_tags.set(tags)
    captured = span.tracer.dispatcher.capture_propagation_context()
    span.tracer.active_tags.reset(restored)
    return pack({"span": span.id, "context": _plain(captured)})


def _plain(value: object) -> object:
    """What can travel of what a handler captured; the text of anything else."""
    match value:
        case str() | int() | float() | None:
            return value
        case list() | tuple():
            return [_plain(one) for one in cast("list[object]", value)]
        case dict():
            return {str(key): _plain(one) for key, one in cast("dict[object, object]", value).items()}
        case _:
            return str(value)


def _run(start_event: StartEvent) -> None:
    """Only its signature counts: what a run's span was called with."""
