"""What steps pass to each other: pydantic models with room for undeclared values."""

from __future__ import annotations

import builtins
import sys
from datetime import datetime
from enum import Enum
from types import ModuleType
from typing import Annotated, Any, cast

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from broker_wf.events.dict_like import DictLikeModel


class Event(DictLikeModel):
    """A value that goes from step to step.

    Subclass it with fields, or pass any keyword: ``Event(text="…").text``.
    """

    # Said again where there are no fields: type checkers would make up a constructor without parameters.
    __init__ = DictLikeModel.__init__


def qualified_name(cls: type) -> str:
    """``module.Qualname``, the name by which records know a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def loaded_object(name: str) -> object:
    """Find what ``module.Qualname`` names among the modules that are loaded; None if it is not there.

    Nothing is imported, by no module's ``__getattr__`` either: a record may come from anywhere.
    """
    module_name, _, rest = name.rpartition(".")
    tail = [rest]
    while module_name:
        if module_name in sys.modules:
            found: object = sys.modules[module_name]
            for part in tail:
                found = vars(found).get(part) if isinstance(found, type | ModuleType) else None
            return found
        module_name, _, rest = module_name.rpartition(".")
        tail.insert(0, rest)
    return None


def _event_class(data: object) -> type[Event]:
    """Accept an event class or its qualified name.

    Raises:
        ValueError: it names no event class that this process has loaded.
    """
    found = data if isinstance(data, type) else loaded_object(data) if isinstance(data, str) else None
    if not (isinstance(found, type) and issubclass(found, Event)):
        # pydantic turns a ValueError, and no TypeError, into a ValidationError.
        raise ValueError(f"{data!r} does not name a loaded Event class (SerializableEventType)")  # noqa: TRY004
    return found


def _dump_event(event: Event) -> dict[str, object]:
    return {"__is_pydantic": True, "value": event.model_dump(), "qualified_name": qualified_name(type(event))}


def _load_event(data: object) -> Event:
    """Accept an event or its record.

    Raises:
        ValueError: it is neither, or names a class that is not loaded.
    """
    if isinstance(data, Event):
        return data
    if not isinstance(data, dict):
        raise ValueError("SerializableEvent must resolve to an Event instance")  # noqa: TRY004
    record = cast("dict[str, object]", data)
    return _event_class(record.get("qualified_name")).model_validate(record.get("value"))


def _dump_optional_event(event: Event | None) -> dict[str, object] | None:
    return None if event is None else _dump_event(event)


def _load_optional_event(data: object) -> Event | None:
    return None if data is None else _load_event(data)


class UnreconstructedException(Exception):
    """Stands for an exception whose class is unknown here or does not take a message.

    Attributes:
        original_type: qualified name of the class that was raised, if known.
    """

    def __init__(self, message: str, *, original_type: str | None = None) -> None:
        super().__init__(message)
        self.original_type = original_type

    def __repr__(self) -> str:
        """Show the class that was raised."""
        return f"UnreconstructedException(original_type={self.original_type!r}, {self.args[0]!r})"


def rebuild_exception(type_name: str, message: str) -> Exception:
    """Make the exception anew from its qualified name and text.

    Only subclasses of ``Exception`` that are loaded are called, with the message alone. For any other
    name, and where the class refuses that, an UnreconstructedException is returned.
    """
    module, _, name = type_name.rpartition(".")
    found = getattr(builtins, name, None) if module == "builtins" else loaded_object(type_name)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        return UnreconstructedException(message, original_type=type_name)
    try:
        return found(message)
    except Exception:  # noqa: BLE001 - the class is the user's, and its text must not be lost
        return UnreconstructedException(message, original_type=type_name)


def _dump_exception(error: Exception) -> dict[str, str]:
    return {"exception_type": qualified_name(type(error)), "exception_message": str(error)}


def _load_exception(data: object) -> Exception:
    if isinstance(data, Exception):
        return data
    match data:
        case {"exception_type": str(type_name), "exception_message": str(message)}:
            return rebuild_exception(type_name, message)
        case _:
            raise ValueError("an exception needs exception_type and exception_message")


def _dump_optional_exception(error: Exception | None) -> dict[str, str] | None:
    return None if error is None else _dump_exception(error)


def _load_optional_exception(data: object) -> Exception | None:
    return None if data is None else _load_exception(data)


SerializableEvent = Annotated[Event, PlainSerializer(_dump_event), PlainValidator(_load_event)]
"""An event in a field of another event, of whatever class."""

SerializableOptionalEvent = Annotated[
    Event | None, PlainSerializer(_dump_optional_event), PlainValidator(_load_optional_event)
]

SerializableException = Annotated[Exception, PlainSerializer(_dump_exception), PlainValidator(_load_exception)]
"""An exception in a field; it travels as type and message."""

SerializableOptionalException = Annotated[
    Exception | None, PlainSerializer(_dump_optional_exception), PlainValidator(_load_optional_exception)
]

SerializableEventType = Annotated[type[Event], PlainSerializer(qualified_name), PlainValidator(_event_class)]
"""An event class in a field; it travels as its qualified name."""


class StartEvent(Event):
    """Starts a run. Subclass it for typed input."""

    __init__ = DictLikeModel.__init__


class StopEvent(Event):
    """Ends a run.

    Awaiting the run gives ``result`` for this very class, and the event itself for a subclass.
    """

    _result: Any = PrivateAttr(default=None)

    def __init__(self, result: Any = None, /, **kwargs: Any) -> None:
        """Take the result by position or keyword, fields and undeclared values by keyword."""
        if "result" in kwargs and "result" not in self._field_names:
            result = kwargs.pop("result")
        super().__init__(**kwargs)
        cast("dict[str, Any]", self.__pydantic_private__)["_result"] = result

    def _get_result(self) -> Any:
        """Give what ``result`` shall be; subclasses may override it."""
        return self._result

    @property
    def result(self) -> Any:
        """What the run is worth."""
        return self._get_result()

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Dump the fields, the undeclared values and the result, each if there is something."""
        dumped: dict[str, Any] = handler(self)
        if self._data:
            dumped["_data"] = self._data
        if self._result is not None:
            dumped["result"] = self._result
        return dumped

    def __repr__(self) -> str:
        """Show undeclared values, fields and result."""
        dumped = self.model_dump()
        dumped.pop("_data", None)
        shown = {**self._data, **dumped}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    def __str__(self) -> str:
        """Text of the result."""
        return str(self._result)


class WorkflowTimedOutEvent(StopEvent):
    """Last event of a run that took longer than its timeout.

    Attributes:
        timeout: in seconds.
        active_steps: names of the steps that were executing.
    """

    timeout: float
    active_steps: list[str]


class WorkflowCancelledEvent(StopEvent):
    """Last event of a run that was cancelled."""


class WorkflowFailedEvent(StopEvent):
    """Last event of a run that failed.

    Attributes:
        attempts: how often the step was tried; None if no step is to blame.
        elapsed_seconds: from the first attempt to the last failure, or None.
    """

    step_name: str
    exception: SerializableException
    attempts: int | None = None
    elapsed_seconds: float | None = None


class IdleReleasedEvent(StopEvent):
    """Result of a run that was released while idle; it is not published."""


class CollectionReleaseEvent(Event):
    """The members a ``list[E]`` step was started with; ``input_event`` when such a step fails.

    Attributes:
        stream_id: of the collection.
        binding_id: of the step that takes it.
    """

    events: list[SerializableEvent] = Field(default_factory=list[Event])
    stream_id: str = ""
    binding_id: str = ""


class StepFailedEvent(Event):
    """What a ``@catch_error`` handler takes: a step that has no attempts left.

    Attributes:
        input_event: the event the step was given.
        elapsed_seconds: from the first attempt to the last failure.
        failed_at: with time zone UTC.
    """

    step_name: str
    input_event: SerializableEvent
    exception: SerializableException
    attempts: int
    elapsed_seconds: float
    failed_at: datetime


class InputRequiredEvent(Event):
    """Asks a person. Published when a step returns it; no step needs to take it."""

    __init__ = DictLikeModel.__init__


class HumanResponseEvent(Event):
    """A person's answer. Comes from outside, so no step needs to return it."""

    __init__ = DictLikeModel.__init__


class ProgressEvent(Event):
    """How far a step has come; published by ``ctx.progress``.

    Attributes:
        total: what ``done`` goes up to; None: not known.
    """

    step: str
    done: int | float
    total: int | float | None = None
    text: str = ""


class InternalDispatchEvent(Event):
    """Base of the events that a stream shows only with ``expose_internal=True``."""


class WorkflowIdleEvent(InternalDispatchEvent):
    """The run has nothing queued, executing or due; it waits for an event from outside."""


class UnhandledEvent(InternalDispatchEvent):
    """An event matched no step and no waiter."""

    event_type: str = Field(description="Class name of the unhandled event.")
    qualified_name: str = Field(description="Module and class name of the unhandled event.")
    step_name: str | None = Field(default=None, description="The step it was addressed to, if any.")
    idle: bool = Field(description="Whether the run is idle after it.")


class StepState(Enum):
    """Where an execution stands."""

    PREPARING = "preparing"
    """Queued: no place is free."""
    RUNNING = "running"
    NOT_RUNNING = "not_running"


class StepStateChanged(InternalDispatchEvent):
    """An execution was queued, began or ended."""

    name: str = Field(description="The step.")
    step_state: StepState = Field(description="Where the execution stands now.")
    worker_id: str = Field(description="Who executes it; `<enqueued>` while nobody does.")
    input_event_name: str = Field(description="The event it was given.")
    output_event_name: str | None = Field(default=None, description="The event it returned.")


EventType = type[Event]
