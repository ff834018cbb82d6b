"""The keys of a state, and the class that a state of a subclass carries among them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgpack
import pytest
from pydantic import BaseModel, Field, field_serializer, field_validator

from broker_wf.context.state_store import DictState
from broker_wf.errors import DecodeError, EncodeError, LimitExceededError
from broker_wf.inspector.plain import plain_value
from broker_wf.wire.codec import Codec
from broker_wf.wire.envelope import PLAIN_HEAD, is_signed
from broker_wf.wire.limits import Limits
from broker_wf.wire.parts import FIELD
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import codec_for
from broker_wf.wire.state import (
    CLASS_KEY,
    cleared_state,
    decoded_state,
    encoded_state,
    may_be_of_subclass,
    replaced_state,
    value_at,
    value_with,
)


class Shape(BaseModel):
    color: str = "red"


class Square(Shape):
    edge: int = 2


class Needy(BaseModel):
    needed: int


class Keyed(DictState):
    declared: int = 1


class Kind(Enum):
    ROUND = 1


def codec(*roots: type) -> Codec:
    return Codec(EventRegistry(roots=roots))


def test_a_state_of_the_declared_class_does_not_name_it() -> None:
    assert encoded_state(codec(), Shape, Shape()).keys() == {"color"}


def test_a_state_of_a_subclass_names_its_class_and_is_read_as_one() -> None:
    own = codec(Shape, Square)
    values = encoded_state(own, Shape, Square(edge=5))
    assert values.keys() == {"color", "edge", CLASS_KEY}
    assert decoded_state(own, Shape, values) == Square(edge=5)
    assert decoded_state(own, Shape, cleared_state(own, Shape, values)) == Square()


def test_a_state_of_keys_may_be_of_a_subclass_with_fields() -> None:
    own = codec(Keyed)
    read = decoded_state(own, DictState, encoded_state(own, DictState, Keyed(declared=3, other=4)))
    assert type(read) is Keyed
    assert (read.declared, read.to_dict()) == (3, {"other": 4})


def test_a_class_that_may_not_travel_is_refused_when_it_is_set() -> None:
    with pytest.raises(EncodeError, match=r"the class of the state.*not registered"):
        encoded_state(codec(), Shape, Square())


@pytest.mark.parametrize("named", [Needy, "Square"])
def test_a_class_that_is_no_subclass_of_the_declared_one_is_refused_when_it_is_read(named: object) -> None:
    own = codec(Shape, Needy)
    values = {CLASS_KEY: own.encode_value(named, what="it")}
    with pytest.raises(DecodeError, match="no subclass of Shape"):
        decoded_state(own, Shape, values)


def test_what_was_never_set_is_replaced_by_a_state_that_has_no_defaults() -> None:
    own = codec(Needy)
    values = replaced_state(own, Needy, {}, Needy(needed=3))
    assert decoded_state(own, Needy, values) == Needy(needed=3)
    with pytest.raises(ValueError, match="defaults for all fields"):
        decoded_state(own, Needy, {})


def test_a_parent_is_merged_into_the_class_that_was_set_before() -> None:
    own = codec(Shape, Square)
    before = encoded_state(own, Shape, Square(edge=5))
    assert decoded_state(own, Shape, replaced_state(own, Shape, before, Shape(color="blue"))) == Square(
        color="blue", edge=5
    )


def test_the_key_of_the_class_is_not_for_users() -> None:
    with pytest.raises(ValueError, match="kept for the library"):
        value_with(codec(), DictState, CLASS_KEY, None, 1)


def test_one_key_is_set_where_others_have_no_default() -> None:
    key, _ = value_with(codec(Needy), Needy, "needed", None, 4)
    assert key == "needed"


def test_only_a_key_that_the_declared_class_lacks_is_asked_of_the_subclass() -> None:
    assert may_be_of_subclass(Shape, "edge")
    assert not may_be_of_subclass(Shape, "color")
    assert not may_be_of_subclass(DictState, "anything")


class Angle:
    """A class of which nothing is known."""

    def __init__(self, degrees: int) -> None:
        self.degrees = degrees


class Turned(BaseModel):
    """A state with a field that its own serializer and validator speak for."""

    model_config = {"arbitrary_types_allowed": True}
    needed: str
    angle: Angle = Field(default_factory=lambda: Angle(0))
    plain: object = None

    @field_serializer("angle")
    def _written(self, angle: Angle) -> object:
        if angle.degrees < 0:
            raise ValueError("no negative angles")
        return {"turned": [angle.degrees, "x" * min(max(0, angle.degrees - 400), 40_000)]}

    @field_validator("angle", mode="before")
    @classmethod
    def _read(cls, value: Any) -> object:
        return value if isinstance(value, Angle) else Angle(value["turned"][0])


def test_a_field_that_its_own_serializer_writes_is_signed_as_all_others() -> None:
    own, state = codec_for(EventRegistry(roots=[Turned]), Limits(), "the-key-of-today", "n").at("r"), Turned(needed="a")
    raw = encoded_state(own, Turned, state)
    assert all(map(is_signed, raw.values()))
    assert decoded_state(own, Turned, raw).angle.degrees == 0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(EncodeError):
        encoded_state(own, Turned, Turned(needed="a", plain=object()))


@pytest.mark.parametrize("degrees", [90, 2**70, 40_000])
def test_a_field_without_encoding_is_kept_as_its_own_serializer_writes_it(degrees: int) -> None:
    own = codec(Turned)
    values = encoded_state(own, Turned, Turned(needed="a", angle=Angle(degrees)))
    read = decoded_state(own, Turned, values)
    assert (read.needed, read.angle.degrees) == ("a", degrees)
    assert value_at(own, Turned, "angle.degrees", values["angle"], ...) == degrees
    key, raw = value_with(own, Turned, "angle.degrees", values["angle"], 45)
    assert (key, value_at(own, Turned, "angle.degrees", raw, ...)) == ("angle", 45)
    assert plain_value(raw) == {"turned": [45, ""]}


def test_a_serializer_of_the_states_own_may_refuse_and_speaks_for_its_field_alone() -> None:
    own = codec(Turned)
    with pytest.raises(EncodeError, match=r"state key 'angle'.*its own serializer refused it: .*no negative angles"):
        encoded_state(own, Turned, Turned(needed="a", angle=Angle(-1)))
    with pytest.raises(EncodeError, match=r"state key 'plain' of type .*Angle cannot be encoded.*Resource"):
        encoded_state(own, Turned, Turned(needed="a", plain=Angle(1)))
    with pytest.raises(EncodeError, match="state key 'angle'"):
        encoded_state(codec(Shape), Turned, Turned(needed="a"))


def test_a_field_with_a_serializer_of_its_own_has_a_limit_too() -> None:
    own = Codec(EventRegistry(roots=(Turned,)), Limits(max_bytes=1_000))
    with pytest.raises(LimitExceededError, match="state key 'angle'"):
        encoded_state(own, Turned, Turned(needed="a", angle=Angle(2_000)))


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (["unknown", "angle", {}], "is not registered here"),
        ([f"{__name__}.Turned", "needed", "b"], "has no serializer of its own for 'needed'"),
        ([f"{__name__}.Turned", "angle", {}], "turned"),
        ([f"{__name__}.Kind", "angle", {}], "has no fields with serializers of their own"),
        ([f"{__name__}.Turned", "angle", msgpack.ExtType(99, b"")], "malformed"),
        ([f"{__name__}.Turned"], "not enough values"),
    ],
)
def test_a_field_that_no_serializer_has_written_is_refused(parts: list[object], says: str) -> None:
    body = msgpack.packb(msgpack.ExtType(FIELD, msgpack.packb(parts)))
    with pytest.raises(DecodeError, match=says):
        codec(Turned, Kind).decode_value(PLAIN_HEAD + body)
