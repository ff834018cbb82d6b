"""JSON schemas of event classes."""

from __future__ import annotations

from typing import cast

from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from broker_wf.events import Event


def schema_of(cls: type[Event]) -> dict[str, object]:
    """A class's JSON schema; of one that has none, because it holds live objects, that of any object."""
    try:
        return cast("dict[str, object]", cls.model_json_schema())
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        return {"title": cls.__name__, "type": "object"}
