"""The keys of a state, and the class that a state of a subclass carries among them."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from broker_wf.context.state_store import DictState
from broker_wf.errors import DecodeError, EncodeError
from broker_wf.wire.codec import Codec
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.state import (
    CLASS_KEY,
    cleared_state,
    decoded_state,
    encoded_state,
    may_be_of_subclass,
    replaced_state,
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
