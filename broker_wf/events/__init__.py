"""What steps pass to each other: pydantic models with room for undeclared values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic import PrivateAttr, SerializerFunctionWrapHandler, model_serializer

from broker_wf.events.dict_like import DictLikeModel
from broker_wf.later import Later

if TYPE_CHECKING:
    from broker_wf.events import engine, nested
    from broker_wf.events.engine import (
        CollectionReleaseEvent,
        IdleReleasedEvent,
        InternalDispatchEvent,
        ProgressEvent,
        StepFailedEvent,
        StepState,
        StepStateChanged,
        UnhandledEvent,
        WorkflowCancelledEvent,
        WorkflowFailedEvent,
        WorkflowIdleEvent,
        WorkflowTimedOutEvent,
    )
    from broker_wf.events.nested import (
        SerializableEvent,
        SerializableEventType,
        SerializableException,
        SerializableOptionalEvent,
        SerializableOptionalException,
        UnreconstructedException,
        loaded_object,
        rebuild_exception,
    )
else:  # Few workflows are written with one of these, and each takes longer to define than a module to read.
    engine, nested = Later("broker_wf.events.engine"), Later("broker_wf.events.nested")

__all__ = [
    "CollectionReleaseEvent",
    "DictLikeModel",
    "Event",
    "EventType",
    "HumanResponseEvent",
    "IdleReleasedEvent",
    "InputRequiredEvent",
    "InternalDispatchEvent",
    "ProgressEvent",
    "SerializableEvent",
    "SerializableEventType",
    "SerializableException",
    "SerializableOptionalEvent",
    "SerializableOptionalException",
    "StartEvent",
    "StepFailedEvent",
    "StepState",
    "StepStateChanged",
    "StopEvent",
    "UnhandledEvent",
    "UnreconstructedException",
    "WorkflowCancelledEvent",
    "WorkflowFailedEvent",
    "WorkflowIdleEvent",
    "WorkflowTimedOutEvent",
    "loaded_object",
    "qualified_name",
    "rebuild_exception",
]


def __getattr__(name: str) -> object:
    """Define the others, all at once, when the first of them is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'broker_wf.events' has no attribute {name!r}")
    for module in (nested, engine):
        globals().update((one, getattr(module, one)) for one in module.__all__)
    return globals()[name]


class Event(DictLikeModel):
    """A value that goes from step to step.

    Subclass it with fields, or pass any keyword: ``Event(text="…").text``.
    """

    # Said again where there are no fields: type checkers would make up a constructor without parameters.
    __init__ = DictLikeModel.__init__


def qualified_name(cls: type) -> str:
    """``module.Qualname``, the name by which records know a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


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


class InputRequiredEvent(Event):
    """Asks a person. Published when a step returns it; no step needs to take it."""

    __init__ = DictLikeModel.__init__


class HumanResponseEvent(Event):
    """A person's answer. Comes from outside, so no step needs to return it."""

    __init__ = DictLikeModel.__init__


EventType = type[Event]
