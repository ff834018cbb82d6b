"""Which classes are known, and by which names."""

from __future__ import annotations

import sys
import types
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pytest
from pydantic import BaseModel
from typing_extensions import TypeAliasType, TypedDict

from broker_wf import events
from broker_wf.core.class_names import qualified_name
from broker_wf.core.ids import EventName
from broker_wf.errors import EncodeError
from broker_wf.events import Event, StepState, StopEvent
from broker_wf.wire.classes import is_class
from broker_wf.wire.codec import Codec
from broker_wf.wire.registry import EventRegistry
from tests.unit.wire import samples
from tests.unit.wire.samples import (
    NAMES,
    Animal,
    Box,
    Celsius,
    CheckedBox,
    Color,
    Dog,
    Everything,
    FrozenBox,
    Level,
    Point,
    Rights,
    Simple,
    Token,
    Wrapper,
)

HERE = __name__


class Bound(BaseModel):
    pass


class Left(BaseModel):
    pass


class Right(BaseModel):
    pass


V = TypeVar("V", bound=Bound)
W = TypeVar("W", Left, Right)


class Choice(Enum):
    ONE = 1


class Leaf(NamedTuple):
    x: int


class Held(TypedDict):
    leaf: Leaf


class Box2(BaseModel, Generic[V]):
    item: V


@dataclass
class Node:
    child: Node | None
    leaf: dict[str, list[Held]]
    nowhere: Unresolvable  # type: ignore[name-defined]  # noqa: F821
    choice: Choice


class Alias:
    """Like what a ``type`` statement makes, which may name itself."""

    __value__: object = None

    def __repr__(self) -> str:
        return "RECURSIVE"


RECURSIVE = Alias()
Alias.__value__ = dict[str, RECURSIVE] | Right  # type: ignore[valid-type]
NAMED = TypeAliasType("NAMED", list[Right])
Id = NewType("Id", Leaf)


def known(*roots: Any) -> Callable[[type], bool]:
    registry = EventRegistry(roots=roots)
    return lambda cls: registry.name_of(cls) is not None


def test_everything_that_a_field_can_hold_is_known() -> None:
    registry = EventRegistry({Everything: EventName("Everything")})
    for cls in (
        Color,
        Level,
        Rights,
        Point,
        Box,
        FrozenBox,
        CheckedBox,
        Animal,
        Wrapper[int],
        Celsius,
        Token,
    ):
        assert registry.name_of(cls) == f"{cls.__module__}.{cls.__qualname__}"
        assert registry.class_named(qualified_name(cls)) is cls


def test_subclasses_of_what_a_field_can_hold_are_known() -> None:
    assert known(Animal)(Dog)


@pytest.mark.parametrize(
    ("root", "found"),
    [
        (Node, [Node, Leaf, Choice]),
        (Annotated[list[Leaf], "note"], [Leaf]),
        (Literal[Choice.ONE, "x"], [Choice]),
        (Callable[[Leaf], Right], [Leaf, Right]),
        (Id, [Leaf]),
        (RECURSIVE, [Right]),
        (NAMED, [Right]),
        (Box2, [Box2, Bound]),
        (W, [Left, Right]),
        (Wrapper[Leaf], [Wrapper[Leaf], Leaf]),
        (defaultdict[str, tuple[Leaf, ...]], [Leaf]),
    ],
    ids=str,
)
def test_annotations_of_all_forms_are_followed(root: object, found: list[type]) -> None:
    is_known = known(root)
    assert [cls for cls in found if not is_known(cls)] == []


def test_what_no_annotation_leads_to_is_unknown() -> None:
    is_known = known(Leaf)
    assert not is_known(Right)
    assert not is_known(int)
    assert EventRegistry().class_named("os.system") is None


def test_the_librarys_own_events_are_always_known_under_their_bare_names() -> None:
    registry = EventRegistry()
    own = [cls for cls in vars(events).values() if is_class(cls) and issubclass(cls, Event)]
    assert {registry.name_of(cls) for cls in own if cls.__module__ == "broker_wf.events"} >= {
        "Event",
        "StartEvent",
        "StopEvent",
        "StepFailedEvent",
        "WorkflowFailedEvent",
        "WorkflowTimedOutEvent",
        "StepStateChanged",
    }
    assert registry.name_of(StepState) == "broker_wf.events.StepState"


def test_a_given_name_goes_before_a_class_of_the_library() -> None:
    class Mine(StopEvent):
        pass

    registry = EventRegistry({Mine: EventName("StopEvent")})
    assert registry.class_named("StopEvent") is Mine
    assert registry.name_of(StopEvent) == "broker_wf.events.StopEvent"


def module_with(**names: object) -> str:
    module = types.ModuleType("app_of_a_test")
    vars(module).update(names)
    sys.modules[module.__name__] = module
    return module.__name__


def test_events_that_a_module_only_imports_are_known() -> None:
    class Imported(Event):
        pass

    Imported.__module__ = "elsewhere"
    try:
        registry = EventRegistry(modules=[module_with(Imported=Imported), "not_loaded"])
    finally:
        del sys.modules["app_of_a_test"]
    assert registry.name_of(Imported) == "Imported"


def test_classes_left_over_from_other_calls_of_a_function_are_not_taken() -> None:
    def one_call() -> tuple[type[Event], type[Event]]:
        class Root(Event):
            pass

        class Sibling(Event):
            pass

        return Root, Sibling

    def another_call() -> type[Event]:
        class Sibling(Event):
            pass

        return Sibling

    root, sibling = one_call()
    stale = another_call()
    registry = EventRegistry({root: EventName("Root")})
    assert registry.name_of(sibling) == "Sibling"
    assert registry.name_of(stale) is None


def test_two_events_of_one_bare_name_go_by_their_full_names() -> None:
    class First:
        class Same(Event):
            pass

    class Second:
        class Same(Event):
            pass

    registry = EventRegistry(roots=[First.Same, Second.Same])
    assert registry.name_of(First.Same) == qualified_name(First.Same)
    assert registry.name_of(Second.Same) == qualified_name(Second.Same)


def test_two_classes_under_one_given_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two classes under the name 'X'.*Simple and .*Start"):
        EventRegistry({Simple: EventName("X"), samples.Start: EventName("X")})


def test_a_class_defined_anew_takes_the_name_and_the_old_one_can_still_be_written() -> None:
    def define() -> type[BaseModel]:
        class Cell(BaseModel):
            x: int

        return Cell

    registry = EventRegistry()
    old, new = registry.register(define()), registry.register(define())
    assert registry.class_named(qualified_name(new)) is new
    assert registry.name_of(old) == registry.name_of(new)


def test_registering_a_class_makes_what_it_holds_known_too() -> None:
    registry = EventRegistry()
    assert registry.register(Node) is Node
    assert registry.name_of(Leaf) is not None
    registry.register(Node)


def test_an_exception_can_be_registered() -> None:
    class OddError(Exception):
        pass

    registry = EventRegistry()
    registry.register(OddError)
    assert registry.errors[qualified_name(OddError)] is OddError


def test_a_class_that_cannot_travel_cannot_be_registered() -> None:
    class Plain:
        pass

    with pytest.raises(ValueError, match="Plain has no encoding"):
        EventRegistry().register(Plain)


def test_exceptions_of_the_modules_are_known() -> None:
    assert EventRegistry(NAMES).errors["tests.unit.wire.samples.NoCodecError"] is samples.NoCodecError


def test_a_class_that_is_refused_does_not_travel_from_an_open_registry_either() -> None:
    class Hollow(BaseModel):
        pass

    class Holder(Event):
        value: object

    registry = EventRegistry({Holder: EventName("Holder")}, is_open=True)
    registry.refuse(Hollow, "it is hollow")
    with pytest.raises(EncodeError, match="it is hollow"):
        Codec(registry).encode_event(Holder(value=Hollow()))
    with pytest.raises(ValueError, match="it is hollow"):
        registry.plan_of(Hollow).rebuild({}, {})
