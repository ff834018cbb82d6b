"""Dotted paths into a value: through dicts, lists, models and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any, cast

from pydantic import BaseModel

from broker_wf.events import DictLikeModel
from broker_wf.events.dict_like import is_dict_like

MAX_DEPTH = 1000
"""Segments of a path, at most."""

_MISSING = (KeyError, IndexError, AttributeError, TypeError)


def get_by_path(state: Any, path: str, default: Any = ...) -> Any:
    """Follow a dotted path; the empty path is the value itself.

    Raises:
        ValueError: the path leads nowhere and no default is given, or has too many segments.
    """
    segments = path.split(".") if path else []
    _check_depth(segments)
    try:
        return get_in(state, segments)
    except _MISSING:
        if default is ...:
            raise ValueError(f"Path '{path}' not found in state") from None
        return default


def set_by_path(state: Any, path: str, value: Any) -> Any:
    """Return the state with a new value at the path; see ``set_in``.

    Raises:
        ValueError: the path is empty or has too many segments.
    """
    return set_in(state, split_path(path), value)


def split_path(path: str) -> list[str]:
    """Split a path that is to be written; the first segment is the state's own key.

    Raises:
        ValueError: the path is empty or has too many segments.
    """
    if not path:
        raise ValueError("Path cannot be empty")
    segments = path.split(".")
    _check_depth(segments)
    return segments


def _check_depth(segments: Sequence[str]) -> None:
    if len(segments) > MAX_DEPTH:
        raise ValueError(f"Path length exceeds {MAX_DEPTH} segments")


def get_in(value: Any, segments: Sequence[str]) -> Any:
    """Follow the segments.

    Raises:
        KeyError: and IndexError, AttributeError, TypeError: the way ends before the last segment.
    """
    for segment in segments:
        value = _step_into(value, segment)
    return value


def set_in(value: Any, segments: Sequence[str], new: Any) -> Any:
    """Return the value with ``new`` at the end of one or more segments.

    Dicts are made where there is nothing. Dicts, lists and models on the way are copied, so who holds the
    old value sees no change; what is beside the way is shared, other objects on it are changed in place.
    """
    root = current = _copied(value)
    for segment in segments[:-1]:
        try:
            child = _copied(_step_into(current, segment))
        except _MISSING:
            child = dict[str, Any]()
        _assign(current, segment, child)
        current = child
    _assign(current, segments[-1], new)
    return root


def _step_into(value: Any, segment: str) -> Any:
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value)[segment]
    if is_dict_like(value):
        if segment in value:
            return value[segment]
        if _is_declared(type(value), segment):
            return getattr(value, segment)
        raise KeyError(segment)
    index = _index(value, segment)
    return getattr(value, segment) if index is None else value[index]


def _assign(value: Any, segment: str, new: Any) -> None:
    if isinstance(value, dict):
        value[segment] = new
    elif is_dict_like(value):
        if _is_declared(type(value), segment):
            setattr(value, segment, new)
        else:
            value[segment] = new
    elif (index := _index(value, segment)) is not None:
        value[index] = new
    else:
        setattr(value, segment, new)


def _index(value: Any, segment: str) -> int | None:
    """The segment as an index, if the value takes indexes and the segment is one."""
    if isinstance(value, dict) or not hasattr(type(cast("object", value)), "__getitem__"):
        return None
    try:
        return int(segment)
    except ValueError:
        return None


def _is_declared(cls: type[DictLikeModel], name: str) -> bool:
    """Whether a model has a field or property of the name. Its methods do not count: their names are keys."""
    if name in cls.model_fields or name in cls.model_computed_fields:
        return True
    return isinstance(getattr(cls, name, None), (property, cached_property))


def _copied(value: Any) -> Any:
    if isinstance(value, BaseModel):
        model = value.model_copy()
        if is_dict_like(model) and model.__pydantic_private__ is not None:
            model.__pydantic_private__["_data"] = dict(model.to_dict())
        return model
    return copy(cast("object", value)) if isinstance(value, (dict, list)) else value
