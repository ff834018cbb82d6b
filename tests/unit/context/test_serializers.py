"""How saved contexts are written: classes by name, an allowlist, and pickle only for who asks for it."""

from __future__ import annotations

import base64
import pickle
from pathlib import PurePosixPath
from typing import Any

import pytest
from pydantic import BaseModel, ValidationInfo, model_validator

from broker_wf.context import BaseSerializer, JsonPickleSerializer, JsonSerializer, PickleSerializer
from broker_wf.context.json_serializer import active_serializer
from broker_wf.context.state_store import DictState
from broker_wf.events import Event, StartEvent


class Point(BaseModel):
    x: int
    y: int = 0


class Named(Event):
    name: str


class Component:
    """An object with the three methods of LlamaIndex components."""

    def __init__(self, size: int) -> None:
        self.size = size

    @classmethod
    def class_name(cls) -> str:
        return "Component"

    def to_dict(self) -> dict[str, Any]:
        return {"size": self.size}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Component:
        return cls(data["size"])


class Looking(BaseModel):
    """Remembers which serializer rebuilt it."""

    value: int

    @model_validator(mode="after")
    def look(self, info: ValidationInfo) -> Looking:
        seen.append(active_serializer())
        return self


seen: list[JsonSerializer | None] = []


def test_plain_values_are_plain_json() -> None:
    assert JsonSerializer().serialize({"x": 1, "y": [2, 3]}) == '{"x": 1, "y": [2, 3]}'


@pytest.mark.parametrize("value", [Point(x=1), [Point(x=1)], {"deep": {"p": [Point(x=2, y=3)]}}, Named(name="n")])
def test_models_come_back_with_their_classes(value: object) -> None:
    assert JsonSerializer().deserialize(JsonSerializer().serialize(value)) == value


def test_a_model_is_written_with_its_qualified_name() -> None:
    data = JsonSerializer().serialize_value(Point(x=1))
    assert data == {"__is_pydantic": True, "value": {"x": 1, "y": 0}, "qualified_name": f"{__name__}.Point"}


def test_a_component_comes_back_through_its_own_methods() -> None:
    text = JsonSerializer().serialize(Component(3))
    assert '"__is_component": true' in text
    assert JsonSerializer().deserialize(text).size == 3


@pytest.mark.parametrize("value", [object(), {1, 2}, {"deep": [object()]}])
def test_what_has_no_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Failed to serialize value"):
        JsonSerializer().serialize(value)


def test_an_allowlist_knows_its_classes_and_no_others() -> None:
    serializer = JsonSerializer(allowed_types=[Point])
    assert serializer.deserialize(serializer.serialize(Point(x=1))) == Point(x=1)
    with pytest.raises(ValueError, match="not in the serializer's allowed types"):
        serializer.deserialize(serializer.serialize(Named(name="n")))


def test_an_allowlist_takes_names_too() -> None:
    serializer = JsonSerializer(allowed_types=[f"{__name__}.Point"])
    assert serializer.resolve_class(f"{__name__}.Point") is Point


def test_the_librarys_own_events_and_states_are_always_known() -> None:
    serializer = JsonSerializer(allowed_types=[])
    assert serializer.deserialize(serializer.serialize(StartEvent())) == StartEvent()
    assert serializer.resolve_class("broker_wf.context.state_store.DictState") is DictState


def test_with_types_adds_to_an_allowlist_and_leaves_the_first_as_it_was() -> None:
    narrow = JsonSerializer(allowed_types=["some.Name"])
    wide = narrow.with_types(Point)
    assert wide.resolve_class(f"{__name__}.Point") is Point
    with pytest.raises(ValueError, match="allowed types"):
        narrow.resolve_class(f"{__name__}.Point")


def test_with_types_of_a_serializer_that_knows_all_is_itself() -> None:
    serializer = JsonSerializer()
    assert serializer.with_types(Point) is serializer


@pytest.mark.parametrize("entry", [list[int], Any, 3])
def test_an_allowlist_of_anything_but_classes_and_names_is_refused(entry: object) -> None:
    with pytest.raises(TypeError, match="concrete classes"):
        JsonSerializer(allowed_types=[entry])


def test_two_classes_of_one_name_are_refused() -> None:
    twin = type("Point", (BaseModel,), {"__module__": __name__})
    with pytest.raises(ValueError, match="Two classes claim the serialized name"):
        JsonSerializer(allowed_types=[Point, twin])


@pytest.mark.parametrize("name", ["builtins.eval", "os.path", "Point"])
def test_a_name_that_is_no_class_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a class"):
        JsonSerializer().resolve_class(name)


def test_validators_can_ask_for_the_serializer_that_rebuilds() -> None:
    serializer = JsonSerializer()
    seen.clear()
    serializer.deserialize(serializer.serialize(Looking(value=1)))
    assert seen == [None, serializer]
    assert active_serializer() is None


def test_the_context_of_a_serializer_of_ones_own_does_nothing() -> None:
    class Own(BaseSerializer):
        def serialize(self, value: Any) -> str:
            return str(value)

        def deserialize(self, value: str) -> Any:
            return value

    with Own().validation_context():
        assert active_serializer() is None


def test_pickle_is_for_what_has_no_json() -> None:
    serializer = PickleSerializer()
    assert serializer.serialize([1]) == "[1]"
    assert serializer.deserialize("[1]") == [1]
    path = PurePosixPath("a/b")
    assert pickle.loads(base64.b64decode(serializer.serialize(path))) == path
    assert serializer.deserialize(serializer.serialize(path)) == path


@pytest.mark.parametrize("text", ["1234", '"gAAA"', "null", '{"a": 1}'])
def test_json_is_not_taken_for_pickle(text: str) -> None:
    assert PickleSerializer().deserialize(text) == JsonSerializer().deserialize(text)


def test_what_cannot_be_pickled_either_is_refused() -> None:
    with pytest.raises(ValueError, match="Failed to serialize value"):
        PickleSerializer().serialize(lambda: None)


def test_the_former_name_is_the_same_class() -> None:
    assert JsonPickleSerializer is PickleSerializer
