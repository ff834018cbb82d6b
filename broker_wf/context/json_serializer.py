"""Values as JSON text, with the names of their classes: what saved contexts are written in."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, cast, get_origin

from pydantic import BaseModel

from broker_wf import events
from broker_wf.context.state_store import DictState

_active: ContextVar[JsonSerializer | None] = ContextVar("serializer", default=None)
"""The serializer that rebuilds a value now: validators of nested models look classes up in it."""


class BaseSerializer(ABC):
    """Turns values into text and back."""

    @contextmanager
    def validation_context(self) -> Generator[None, None, None]:
        """Run a block in which nested validators look classes up in this serializer. Here: nothing is looked up."""
        yield

    @abstractmethod
    def serialize(self, value: Any) -> str:
        """Encode.

        Raises:
            ValueError: the value has no encoding.
        """

    @abstractmethod
    def deserialize(self, value: str) -> Any:
        """Decode.

        Raises:
            ValueError: the text is not what ``serialize`` makes, or names a class that is not allowed.
        """


class JsonSerializer(BaseSerializer):
    """JSON that keeps the classes of pydantic models and of components (``class_name``, ``to_dict``, ``from_dict``).

    Args:
        allowed_types: the classes that may be rebuilt: a class is known under its names, a text is imported. None: any
            class that can be imported. The library's own events and states are always known.

    Raises:
        ValueError: two classes go by one name.
        TypeError: an entry is neither a class nor a text.
    """

    def __init__(self, *, allowed_types: Iterable[type[Any] | str] | None = None) -> None:
        self._classes: dict[str, type[Any]] = {}
        self._names: frozenset[str] | None = None
        if allowed_types is not None:
            entries = list(allowed_types)
            for entry in entries:
                if not isinstance(entry, str):
                    self._add(entry)
            self._names = frozenset([*self._classes, *(one for one in entries if isinstance(one, str))])

    def _add(self, cls: Any) -> None:
        if get_origin(cls) is not None or not isinstance(cls, type) or cls is Any:
            raise TypeError(f"allowed_types entries must be concrete classes or names of classes, not {cls!r}")
        for name in _names_of(cls):
            if self._classes.setdefault(name, cls) is not cls:
                raise ValueError(
                    f"Two classes claim the serialized name {name}: {self._classes[name]!r} and {cls!r}. Text cannot "
                    "tell them apart, so only one of them can be registered."
                )

    def with_types(self, *classes: type[Any]) -> JsonSerializer:
        """Return a serializer that knows these classes too."""
        if self._names is None:
            return self
        known = dict.fromkeys(self._classes.values())
        return JsonSerializer(allowed_types=[*known, *sorted(self._names - self._classes.keys()), *classes])

    @contextmanager
    def validation_context(self) -> Generator[None, None, None]:
        """Run a block in which nested validators look classes up in this serializer."""
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def resolve_class(self, qualified_name: str) -> type[Any]:
        """Return the class of a name.

        Raises:
            ValueError: it is not allowed, or names no class.
            ImportError: its module cannot be imported.
        """
        found = self._classes.get(qualified_name) or _OWN.get(qualified_name)
        if found is not None:
            return found
        if self._names is not None and qualified_name not in self._names:
            raise ValueError(
                f"Class {qualified_name} is not in the serializer's allowed types. Pass "
                f"JsonSerializer(allowed_types=[{qualified_name}]) on the workflow or server to allow it, or pass "
                "JsonSerializer() to resolve classes by import path."
            )
        module, _, name = qualified_name.rpartition(".")
        cls = getattr(import_module(module), name, None) if module else None
        if not isinstance(cls, type):
            raise ValueError(  # noqa: TRY004 - the text is at fault
                f"{qualified_name} is not the name of a class"
            )
        return cls

    def serialize_value(self, value: Any) -> Any:
        """Turn a value into what JSON knows: models, components, and what lists and dicts hold of them."""
        if hasattr(value, "class_name"):
            return {"__is_component": True, "value": value.to_dict(), "qualified_name": _written_name(value)}
        if isinstance(value, BaseModel):
            dumped = value.model_dump(mode="json")
            return {"__is_pydantic": True, "value": dumped, "qualified_name": _written_name(value)}
        if isinstance(value, dict):
            return {key: self.serialize_value(one) for key, one in cast("dict[Any, Any]", value).items()}
        if isinstance(value, list):
            return [self.serialize_value(one) for one in cast("list[Any]", value)]
        return value

    def serialize(self, value: Any) -> str:
        """See ``BaseSerializer``."""
        try:
            return json.dumps(self.serialize_value(value))  # noqa: TID251 - not the wire: text for users
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"Failed to serialize value: {type(value)}: {value!s}") from error

    def deserialize_value(self, data: Any) -> Any:
        """Turn what JSON knows back into the value."""
        if isinstance(data, list):
            return [self.deserialize_value(one) for one in cast("list[Any]", data)]
        if not isinstance(data, dict):
            return data
        fields = cast("dict[str, Any]", data)
        name = fields.get("qualified_name")
        if name and fields.get("__is_pydantic"):
            with self.validation_context():
                return self.resolve_class(name).model_validate(fields["value"])
        if name and fields.get("__is_component"):
            with self.validation_context():
                return self.resolve_class(name).from_dict(fields["value"])
        return {key: self.deserialize_value(one) for key, one in fields.items()}

    def deserialize(self, value: str) -> Any:
        """See ``BaseSerializer``."""
        return self.deserialize_value(json.loads(value))


def active_serializer() -> JsonSerializer | None:
    """The serializer whose ``validation_context`` this code runs in."""
    return _active.get()


def _names_of(cls: type[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((f"{cls.__module__}.{cls.__qualname__}", f"{cls.__module__}.{cls.__name__}")))


def _written_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _own_classes() -> dict[str, type[Any]]:
    """The library's events and states, by every name they may be written under."""
    named = [getattr(events, name) for name in events.__all__]
    own = [one for one in named if isinstance(one, type) and issubclass(one, events.Event)]
    return {name: cls for cls in (*own, DictState) for name in _names_of(cls)}


_OWN = _own_classes()
