"""What a step's signature says: what it takes, what it gives, what it needs besides."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

from broker_wf.errors import WorkflowValidationError
from broker_wf.events import Event
from broker_wf.later import Later

if TYPE_CHECKING:
    from broker_wf import collect as collecting
    from broker_wf import resource
else:  # Few steps collect, or have resources; who writes one that does has imported them.
    collecting, resource = Later("broker_wf.collect"), Later("broker_wf.resource")

EventClass = type[Event]
Scopes = Sequence[Mapping[str, object]]
"""Names that annotations may use besides those of the function's module; the first that suffices counts."""

_ITERATORS = (AsyncIterator, AsyncIterable, AsyncGenerator)
_NO_EVENT = "Step signature must have at least one parameter annotated as type Event"


class Slot(NamedTuple):
    """An event parameter of a step.

    Attributes:
        parameter: its name in the signature.
        types: the classes it accepts; for a collection those of its members.
    """

    parameter: str
    types: tuple[EventClass, ...]


class Returns(NamedTuple):
    """A return annotation, taken apart.

    Attributes:
        bare: what is returned as it is, whether an event class or not.
        listed: what is returned inside a list.
        none: None may be returned.
    """

    bare: tuple[object, ...]
    listed: tuple[object, ...]
    none: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A step's signature.

    Attributes:
        slots: its event parameters, in order.
        collect: of the one ``list[E]`` parameter; None for other steps.
        context_parameter: name of the Context parameter, if there is one.
        state_type: ``S`` of ``Context[S]``.
    """

    slots: tuple[Slot, ...]
    collect: collecting.Collect | None
    returns: Returns
    context_parameter: str | None
    state_type: type | None
    resources: tuple[resource.ResourceDefinition, ...]


def read_signature(function: Callable[..., object], scopes: Scopes = ({},)) -> Signature:
    """Read and check the signature of a step.

    Raises:
        WorkflowValidationError: it is not that of a step.
    """
    hints = _hints(function, scopes)
    _refuse_iterators(function, hints.get("return"))
    context_parameter: str | None = None
    state_type: type | None = None
    resources: list[resource.ResourceDefinition] = []
    slots: list[tuple[Slot, collecting.Collect | None]] = []
    for name, annotation in _parameters(function, hints):
        if _is_context(annotation):
            context_parameter, state_type = name, next(iter(get_args(annotation)), None)
        elif (needed := _needed(name, annotation, scopes)) is not None:
            resources.append(needed)
        elif (slot := _slot(name, annotation)) is not None:
            slots.append(slot)
    return Signature(
        slots=tuple(slot for slot, _ in slots),
        collect=_checked_intake(slots),
        returns=_returns(hints),
        context_parameter=context_parameter,
        state_type=state_type,
        resources=tuple(resources),
    )


def _hints(function: Callable[..., object], scopes: Scopes) -> dict[str, object]:
    failure: NameError | None = None
    for scope in scopes:
        try:
            return get_type_hints(function, localns=dict(scope), include_extras=True)
        except NameError as error:
            failure = error
    missing = getattr(failure, "name", None)
    named = f" Missing name: {missing}." if missing else ""
    raise WorkflowValidationError(
        f"Failed to resolve type annotations for {function.__qualname__}.{named} Postponed and string "
        f"annotations must use names that are known when the module runs (not under TYPE_CHECKING only), in "
        f"the function's module or where the @step decorator is applied."
    ) from failure


def _refuse_iterators(function: Callable[..., object], returned: object) -> None:
    if inspect.isasyncgenfunction(function) or (get_origin(returned) or returned) in _ITERATORS:
        raise WorkflowValidationError(
            "Async-iterator fan-out (AsyncIterator[E], AsyncGenerator[E, None], async generator steps) is "
            "not supported. Return list[E], or send events one by one with ctx.send_event."
        )


def _parameters(function: Callable[..., object], hints: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Give names and annotations, ``X | None`` as ``X``."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in ("self", "cls"):
            annotation = hints.get(name, parameter.annotation)
            yield name, _without_none(annotation)


def _without_none(annotation: object) -> object:
    """``X`` of ``X | None``; anything else as it is."""
    members = _members(annotation)
    return members[0] if len(members) == 1 else annotation


def _members(annotation: object) -> tuple[object, ...]:
    """Members of a union but None; the annotation itself if it is no union."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(a for a in get_args(annotation) if a is not type(None))
    return (annotation,)


def _is_context(annotation: object) -> bool:
    """Whether it is a class called Context: this module knows none by any other mark."""
    return getattr(get_origin(annotation) or annotation, "__name__", None) == "Context"


def _needed(name: str, annotation: object, scopes: Scopes) -> resource.ResourceDefinition | None:
    descriptor = resource.descriptor_in(annotation) if get_origin(annotation) is Annotated else None
    if descriptor is None:
        return None
    wanted = get_args(annotation)[0]
    descriptor.set_type_annotation(wanted)
    # Kept as long as the resource: what the callers' frames hold would be kept alive with it.
    descriptor.set_localns(dict(scopes[0]))
    return resource.ResourceDefinition(name=name, resource=descriptor, type_annotation=wanted)


def _slot(name: str, annotation: object) -> tuple[Slot, collecting.Collect | None] | None:
    """Read an event parameter; None if it is none."""
    marker: collecting.Collect | None = None
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        marker = next((m for m in marks if isinstance(m, collecting.Collect)), None)
        if marker is None:
            return None
        annotation = _without_none(inner)
    if get_origin(annotation) is list:
        members = _events(m for argument in get_args(annotation) for m in _members(argument))
        if members:
            marker = marker or collecting.Collect()
            if not isinstance(marker.cardinality, (collecting.All, collecting.Take)):
                raise WorkflowValidationError(f"Collect cardinality on {name!r} must be All() or Take(n).")
            return Slot(parameter=name, types=members), marker
    if marker is not None:
        raise WorkflowValidationError(
            f"Parameter {name!r} carries a Collect marker but is not annotated as list[E] of an Event "
            f"subclass. Collect markers apply only to collection fan-in (list[Event]) parameters."
        )
    types = _events(_members(annotation))
    return (Slot(parameter=name, types=types), None) if types else None


def _events(types: Iterable[object]) -> tuple[EventClass, ...]:
    """The types, each once, if all are event classes; else nothing."""
    unique = tuple(dict.fromkeys(types))
    return cast("tuple[EventClass, ...]", unique) if all(is_event_class(t) for t in unique) else ()


def is_event_class(candidate: object) -> bool:
    """Whether it is Event or a class derived from it."""
    return isinstance(candidate, type) and get_origin(candidate) is None and issubclass(candidate, Event)


def _checked_intake(slots: Sequence[tuple[Slot, collecting.Collect | None]]) -> collecting.Collect | None:
    if not slots:
        raise WorkflowValidationError(_NO_EVENT)
    lists = [slot.parameter for slot, marker in slots if marker is not None]
    if len(lists) > 1:
        raise WorkflowValidationError(
            f"A step may declare at most one list[E] collection parameter, but found {' and '.join(map(repr, lists))}."
        )
    if lists and len(slots) > 1:
        raise WorkflowValidationError(
            "A list[E] collection parameter cannot be combined with other event parameters. Use a single "
            "list[E] parameter, or several parameters of one event each."
        )
    for slot, _ in slots:
        if len(slots) > 1 and len(slot.types) > 1:
            raise WorkflowValidationError(
                f"A step with more than one event parameter needs a single event type for each, but "
                f"parameter {slot.parameter!r} declares {len(slot.types)}."
            )
    return slots[0][1]


def _returns(hints: Mapping[str, object]) -> Returns:
    if "return" not in hints:
        raise WorkflowValidationError("Return types of workflows step functions must be annotated with their type.")
    bare: dict[object, None] = {}
    listed: dict[object, None] = {}
    none = False
    union = (Union, UnionType)
    returned = hints["return"]
    for member in get_args(returned) if get_origin(returned) in union else (returned,):
        if member is type(None):
            none = True
        elif get_origin(member) is list:
            listed.update(dict.fromkeys(m for argument in get_args(member) for m in _flat(argument)))
        else:
            bare[member] = None
    return Returns(bare=tuple(bare), listed=tuple(listed), none=none)


def _flat(annotation: object) -> Iterator[object]:
    """Take unions and lists in a list apart."""
    if get_origin(annotation) is list:
        for argument in get_args(annotation):
            yield from _flat(argument)
    elif get_origin(annotation) in (Union, UnionType):
        for argument in _members(annotation):
            yield from _flat(argument)
    else:
        yield annotation
