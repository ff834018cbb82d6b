"""Questions about classes of which only that is known: the answer narrows no type."""

from __future__ import annotations

import dataclasses
from typing import TypeGuard


def derives(cls: type, bases: type | tuple[type, ...]) -> bool:
    """Like ``issubclass``, for classes of which nothing else is known afterwards either."""
    return issubclass(cls, bases)


def is_dataclass(cls: type) -> bool:
    """Like ``dataclasses.is_dataclass``, in the same way."""
    return dataclasses.is_dataclass(cls)


def is_class(value: object) -> TypeGuard[type]:
    """Like ``isinstance(value, type)``; on Python 3.10 that is true of ``list[int]`` too."""
    return issubclass(type(value), type)
