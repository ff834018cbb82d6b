"""An event in one line, for people."""

from __future__ import annotations

from typing import cast

from broker_wf.events import Event, StopEvent

_LONGEST = 200
_LONGEST_TEXT = 50
_MOST_ITEMS = 3


def summarize(event: Event) -> str:
    """``Name(field=value, …)``, cut to 200 characters; whatever its values do when they are printed."""
    try:
        values = {name: getattr(event, name, None) for name in type(event).model_fields}
        values.update(event.items())
        if isinstance(event, StopEvent) and event.result is not None:
            values = {"result": event.result, **values}
        inner = ", ".join(f"{name}={_value(value)}" for name, value in values.items())
    except Exception:  # noqa: BLE001 - the values are the user's, and a summary must not fail a step
        return type(event).__name__
    text = f"{type(event).__name__}({inner})"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _value(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]}...")
    size = len(cast("list[object]", value)) if isinstance(value, list | dict) else 0
    if size <= _MOST_ITEMS:
        return repr(cast(object, value))
    return f"[{size} items]" if isinstance(value, list) else f"{{{size} keys}}"
