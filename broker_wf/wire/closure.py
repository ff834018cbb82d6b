"""Which classes may come with the values of some annotations: all that can be reached from them."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from types import SimpleNamespace
from typing import Annotated, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel

from broker_wf.wire.classes import derives, is_class, is_dataclass
from broker_wf.wire.plans import is_named_tuple

_LOCALS = "<locals>"
_LIBRARIES = frozenset({"builtins", "typing", "typing_extensions", "abc", "collections", "collections.abc"})


def reachable_classes(roots: Iterable[object], modules: Iterable[str]) -> list[type]:
    """Give the classes met in the annotations, their fields and generic arguments, and their subclasses.

    Subclasses count if they are defined in one of the modules or beside their base. Of those defined
    inside functions only the ones that share the function with a root count: others are left over from
    other calls. The order does not depend on the order of import.
    """
    walk = _Walk(modules)
    for root in roots:
        walk.add(root)
    return walk.classes()


class _Walk:
    def __init__(self, modules: Iterable[str]) -> None:
        self._modules = frozenset(modules)
        self._scopes: set[str] = set()
        self._seen: dict[type, None] = {}
        self._aliases: list[object] = []

    def classes(self) -> list[type]:
        return sorted(self._seen, key=lambda cls: (cls.__module__, cls.__qualname__))

    def add(self, root: object) -> None:
        if is_class(root):
            self._scopes.add(scope_of(root))
        queue: list[object] = [root]
        while queue:
            annotation = queue.pop()
            if is_class(annotation):
                queue.extend(self._visit(annotation))
            elif hasattr(annotation, "__value__"):
                queue.extend(self._alias(annotation))
            else:
                queue.extend(part for part in _within(annotation) if part is not None)

    def _alias(self, alias: object) -> Iterator[object]:
        """Give what a ``type`` statement names, once: it may name itself."""
        if alias not in self._aliases:
            self._aliases.append(alias)
            yield getattr(alias, "__value__", None)

    def _visit(self, cls: type) -> Iterator[object]:
        """Note the class and give what it leads to."""
        if cls in self._seen or cls is object or cls is BaseModel or cls.__module__ in _LIBRARIES:
            return
        self._seen[cls] = None
        yield from _field_annotations(cls)
        if not derives(cls, (type, Enum)):
            yield from self._subclasses(cls)

    def _subclasses(self, cls: type) -> Iterator[type]:
        for sub in cls.__subclasses__():
            if sub.__module__ not in self._modules and sub.__module__ != cls.__module__:
                continue
            if scope_of(sub) in ("", *self._scopes):
                yield sub


def scope_of(cls: type) -> str:
    """Name the function a class was defined in, with its module; empty at module level."""
    outer, found, _ = cls.__qualname__.rpartition(f"{_LOCALS}.")
    return f"{cls.__module__}.{outer}" if found else ""


def _within(annotation: object) -> Iterator[object]:
    """Give what an annotation that is no class is made of."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from (type(value) for value in get_args(annotation))
    elif origin is Annotated:
        yield get_args(annotation)[0]
    elif origin is not None:
        yield origin
        yield from _arguments(annotation)
    elif isinstance(annotation, TypeVar):
        yield annotation.__bound__
        yield from annotation.__constraints__
    else:
        yield getattr(annotation, "__supertype__", None)


def _arguments(annotation: object) -> Iterator[object]:
    for argument in get_args(annotation):
        if isinstance(argument, list):
            yield from cast("list[object]", argument)
        else:
            yield argument


def _field_annotations(cls: type) -> Iterator[object]:
    if derives(cls, BaseModel):
        model = cast("type[BaseModel]", cls)
        yield from (info.annotation for info in model.model_fields.values())
        yield from cast("Iterable[object]", model.__pydantic_generic_metadata__["args"])
    elif is_dataclass(cls) or is_named_tuple(cls) or _is_typed_dict(cls):
        yield from _hints(cls).values()


def _is_typed_dict(cls: type) -> bool:
    """Whether the class was made by ``TypedDict``, of ``typing`` or of ``typing_extensions``."""
    return derives(cls, dict) and hasattr(cls, "__total__")


def _hints(cls: type) -> Mapping[str, object]:
    """Resolve the annotations of a class; those that cannot be resolved lead nowhere."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return _hints_one_by_one(cls)


def _hints_one_by_one(cls: type) -> Mapping[str, object]:
    """Resolve the annotations that can be; one that cannot leaves the others alone."""
    module = sys.modules.get(cls.__module__)
    names: dict[str, object] = dict(vars(module)) if module else {}
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        annotations = cast("Mapping[str, object]", vars(base).get("__annotations__", {}))
        for name, annotation in annotations.items():
            with suppress(NameError, TypeError, AttributeError):
                alone = SimpleNamespace(__annotations__={name: annotation})
                found.update(typing.get_type_hints(alone, names, include_extras=True))
    return found
