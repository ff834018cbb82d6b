"""Questions about classes of which only that is known: the answer narrows no type."""

from __future__ import annotations

import dataclasses


def derives(cls: type, bases: type | tuple[type, ...]) -> bool:
    """Like ``issubclass``, for classes of which nothing else is known afterwards either."""
    return issubclass(cls, bases)


def is_dataclass(cls: type) -> bool:
    """Like ``dataclasses.is_dataclass``, in the same way."""
    return dataclasses.is_dataclass(cls)
