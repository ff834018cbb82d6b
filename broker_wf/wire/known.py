"""Classes of values that no annotation names and that may travel all the same."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar

from pydantic import BaseModel

from broker_wf.wire.classes import derives, is_class, is_dataclass
from broker_wf.wire.registry import can_travel

C = TypeVar("C", bound=type)

_registered: dict[type, None] = {}


def register(cls: C) -> C:
    """Let values of a class travel with the runs of all workflows, what its fields can hold included: a decorator.

    For classes that no annotation of a workflow's events or state names and that are defined in another module than the
    workflow. It must have happened in each process before the workflow is first run or served there.

    Raises:
        ValueError: the class has no encoding.
    """
    if not issubclass(cls, Exception) and not can_travel(cls):
        raise ValueError(f"{cls.__qualname__} has no encoding; make it a dataclass, a pydantic model or an Enum")
    _registered[cls] = None
    return cls


def registered() -> tuple[type, ...]:
    """The classes of :func:`register`."""
    return tuple(_registered)


def values_defined_in(modules: Iterable[str]) -> list[type]:
    """Models, dataclasses and enums that loaded modules define: a state may hold them behind ``Any``."""
    return [
        value
        for name in sorted(modules)
        for value in _values_of(name)
        if is_class(value) and value.__module__ == name and (derives(value, (BaseModel, Enum)) or is_dataclass(value))
    ]


def _values_of(module: str) -> list[object]:
    names: Mapping[str, object] = vars(sys.modules[module]) if module in sys.modules else {}
    return list(names.values())
