"""Two plain values have one fingerprint if and only if Python says that they are equal."""

from __future__ import annotations

import math
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_wf.events import Event
from broker_wf.wire.fingerprints import UNKNOWN, fingerprint, fingerprints

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3) | st.integers(),
    st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 2.5]),
    st.text(max_size=2),
    st.binary(max_size=2),
)
plain = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=1) | st.integers(0, 2), inner, max_size=2),
    ),
    max_leaves=4,
)


class Colour(str, Enum):
    RED = "red"


class Level(int, Enum):
    ONE = 1


class Shape(Enum):
    ROUND = "round"


@given(plain, plain)
def test_equal_values_and_no_others_have_one_fingerprint(one: Any, other: Any) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (0, -0.0), (Colour.RED, "red"), (Level.ONE, 1), ({"a": 1, "b": 2}, {"b": 2.0, "a": True})],
)
def test_what_is_equal_under_another_type_is_the_same(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(other) != UNKNOWN


@pytest.mark.parametrize("value", [math.nan, object(), Shape.ROUND, Decimal(1), {1, 2}, [Decimal(1)], Event()])
def test_only_python_can_say_what_other_values_are_equal_to(value: Any) -> None:
    assert fingerprint(value) == UNKNOWN


def test_what_contains_itself_has_none() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert fingerprint(loop) == UNKNOWN


class Shy(Event):
    user: str = "Ada"

    @property
    def secret(self) -> str:
        raise RuntimeError("not for you")


def test_fields_of_an_event_are_those_it_has_by_whatever_way_and_else_none() -> None:
    found = fingerprints(Shy(town="Ulm"), ["user", "town", "nothing", "secret"])
    assert found == {
        "user": fingerprint("Ada"),
        "town": fingerprint("Ulm"),
        "nothing": fingerprint(None),
        "secret": UNKNOWN,
    }
