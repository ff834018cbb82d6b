"""Events, exceptions and classes of events as fields of other events: how they are written, and found again."""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Annotated, cast

from pydantic import PlainSerializer, PlainValidator

from broker_wf.events import Event, qualified_name

__all__ = [
    "SerializableEvent",
    "SerializableEventType",
    "SerializableException",
    "SerializableOptionalEvent",
    "SerializableOptionalException",
    "UnreconstructedException",
    "loaded_object",
    "rebuild_exception",
]


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

UnreconstructedException.__module__ = "broker_wf.events"
