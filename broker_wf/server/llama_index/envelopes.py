"""Events as that API has them: read envelopes go out, write envelopes come in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json

from broker_wf.events import Event, StartEvent
from broker_wf.inspector.views import EventView


class EventRefusedError(ValueError):
    """What was sent makes no event."""


def read_envelope(event: Event | EventView, *, qualified: bool = True) -> dict[str, object]:
    """An event for a client to read.

    Args:
        qualified: tell the class's qualified name too.
    """
    if isinstance(event, EventView):
        value = event.value
        fields = cast("dict[str, object]", value) if isinstance(value, dict) else {"value": value}
        return {"value": fields, "qualified_name": None, "type": event.type, "types": None}
    cls = type(event)
    return {
        "value": _dumped(event),
        "qualified_name": f"{cls.__module__}.{cls.__name__}" if qualified else None,
        "type": cls.__name__,
        "types": _ancestors(cls) or None,
    }


def _dumped(event: Event) -> object:
    try:
        return event.model_dump(mode="json")
    except PydanticSerializationError:
        return event.model_dump(mode="json", fallback=str)


def _ancestors(cls: type[Event]) -> list[str]:
    """Names of the event classes it derives from, without itself and ``Event``."""
    between = [one for one in cls.__mro__[1:] if issubclass(one, Event) and one is not Event]
    return [one.__name__ for one in between]


def written_event(
    given: object, known: Mapping[str, type[Event]], start_class: type[StartEvent] | None = None
) -> Event:
    """The event that a client has sent.

    A qualified name is looked up among the known classes alone; nothing is ever imported by name.

    Args:
        given: an object, or its JSON as text.
        known: the classes that may be meant, by name.
        start_class: what an object without an envelope stands for, and what a bare ``StartEvent`` means.

    Raises:
        EventRefusedError: says why.
    """
    fields = _object(given)
    if start_class is not None and _is_bare(fields):
        return _validated(start_class, fields)
    value = fields.get("value", fields.get("data"))
    name, qualified = fields.get("type"), fields.get("qualified_name")
    if isinstance(name, str) and name:
        if start_class is not None and name == "StartEvent" and name not in known:
            return _validated(start_class, value)
        if name not in known:
            expected = ", ".join(known) or "none: this workflow has no event classes"
            raise EventRefusedError(f"Invalid event type: {name}. Expected one of {expected}")
        return _validated(known[name], value)
    if isinstance(qualified, str) and qualified:
        for cls in known.values():
            if qualified in (f"{cls.__module__}.{cls.__name__}", f"{cls.__module__}.{cls.__qualname__}"):
                return _validated(cls, value)
        raise EventRefusedError(
            f"Event type {qualified} is not declared by this workflow. "
            "Register it with add_workflow(..., additional_events=[...])."
        )
    raise EventRefusedError("Invalid client data. Must have a type or a qualified name")


def _is_bare(fields: Mapping[str, object]) -> bool:
    return ("qualified_name" not in fields or "type" not in fields) and not fields.keys() & {"value", "data"}


def _object(given: object) -> dict[str, object]:
    if isinstance(given, str):
        with suppress(ValueError):
            given = cast(object, from_json(given))
    if not isinstance(given, dict):
        raise EventRefusedError("Failed to deserialize event. Must be a json object, or stringified json object")
    return cast("dict[str, object]", given)


def _validated(cls: type[Event], value: object) -> Event:
    try:
        return cls.model_validate({} if value is None else value)
    except ValidationError as error:
        raise EventRefusedError(f"Failed to deserialize event: {error}") from error
