"""Their events and ours: one class of ours for each of theirs, and the way of a value from one to the other."""

from __future__ import annotations

import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import cast

from pydantic import BaseModel
from workflows import events as theirs

from broker_wf import events as ours
from broker_wf.core.spec import EventClass
from broker_wf.events.stand_in import StandIn

TheirClass = type[theirs.Event]
_STAND_INS = ".stand_ins"
"""Ends the name of a stand-in's module: it may not have the qualified name of the class it stands for."""


def _same_named(module: object, base: type) -> dict[str, type]:
    found = cast("Mapping[str, object]", vars(module))
    return {name: cls for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, base)}


_THEIRS = _same_named(theirs, theirs.Event)
_OURS = _same_named(ours, ours.Event)
_TO_OURS = {_THEIRS[name]: cast("EventClass", _OURS[name]) for name in _THEIRS.keys() & _OURS.keys()}
_TO_THEIRS = {mine: cast("TheirClass", their) for their, mine in _TO_OURS.items()}
_ENUMS: Mapping[type[Enum], type[Enum]] = {
    ours.StepState: theirs.StepState,
    theirs.StepState: ours.StepState,
}


@cache
def our_class(cls: TheirClass) -> EventClass:
    """The class by which this engine knows a class of theirs: an event of the library by its name, else a stand-in."""
    known = _TO_OURS.get(cls)
    if known is not None:
        return known
    bases = [our_class(base) for base in cls.__bases__ if issubclass(base, theirs.Event)]
    stands = any(issubclass(base, StandIn) for base in bases)
    kept = [base for base in bases if base is not ours.Event]
    namespace = {
        "__module__": f"{cls.__module__}{_STAND_INS}",
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "held_class": cls,
    }
    made = types.new_class(
        cls.__name__, (*(() if stands else (StandIn,)), *kept), exec_body=lambda body: body.update(namespace)
    )
    return cast("EventClass", made)


def is_event_class(cls: object) -> bool:
    """Whether it is an event class of theirs."""
    return isinstance(cls, type) and issubclass(cls, theirs.Event)


def to_ours(event: theirs.Event) -> ours.Event:
    """The event by which this engine knows an event of theirs."""
    cls = our_class(type(event))
    if issubclass(cls, StandIn):
        return cls.of(event)
    return cast("ours.Event", _made(cls, event))


def to_theirs(event: ours.Event) -> theirs.Event:
    """The event that their code works with; one they know nothing of stays as it is."""
    if isinstance(event, StandIn):
        return cast("theirs.Event", event.held)
    cls = _TO_THEIRS.get(type(event))
    return cast("theirs.Event", event if cls is None else _made(cls, event))


def _made(cls: type[BaseModel], event: BaseModel) -> BaseModel:
    """The same event in another library: declared values, undeclared ones, result."""
    values: dict[str, object] = {name: _value(value) for name, value in event.__dict__.items()}
    private = cast("Mapping[str, object]", event.__pydantic_private__ or {})
    values.update(cast("Mapping[str, object]", private.get("_data") or {}))
    if isinstance(event, ours.UnhandledEvent):
        values["qualified_name"] = event.qualified_name.replace(f"{_STAND_INS}.", ".")
    if private.get("_result") is not None:
        values["result"] = private["_result"]
    return cls(**values)


def _value(value: object) -> object:
    if isinstance(value, theirs.Event):
        return to_ours(value)
    if isinstance(value, ours.Event):
        return to_theirs(value)
    if isinstance(value, list):
        return [_value(item) for item in cast("list[object]", value)]
    other = _ENUMS.get(cast("type[Enum]", type(value)))
    return value if other is None else other(cast("Enum", value).value)
