"""The event classes of a workflow whose code is here, and their JSON schemas."""

from __future__ import annotations

from typing import cast

from pydantic import JsonValue
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from broker_wf.events import Event
from broker_wf.workflow import Workflow

_LIBRARY = "broker_wf."


def event_classes(workflow: Workflow) -> dict[str, type[Event]]:
    """By name: those of the steps' signatures, then those that stand beside the workflow and may travel with it."""
    found = {cls.__name__: cls for cls in workflow.events}
    for cls in workflow.program().codec.registry.classes:
        if issubclass(cls, Event) and not cls.__module__.startswith(_LIBRARY):
            found.setdefault(cls.__name__, cls)
    return found


def schema_of(cls: type[Event]) -> dict[str, JsonValue]:
    """A class's JSON schema; of one that has none, because it holds live objects, that of any object."""
    try:
        return cast("dict[str, JsonValue]", cls.model_json_schema())
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        return {"title": cls.__name__, "type": "object"}
