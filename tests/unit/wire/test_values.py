"""Values of each kind: what comes back is equal, of the same class, and in the same order."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, PrivateAttr, Secret, SecretBytes, SecretStr

from broker_wf.core.ids import EventName
from broker_wf.errors import DecodeError, EncodeError
from broker_wf.events import Event
from broker_wf.wire.codec import Codec
from broker_wf.wire.registry import EventRegistry
from tests.unit.wire.samples import (
    CODEC,
    Box,
    Celsius,
    CheckedBox,
    Color,
    Dog,
    FrozenBox,
    Level,
    Point,
    Rights,
    Token,
    dynamic,
    value_again,
)

zones = st.sampled_from([None, timezone.utc, ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=-3))])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**100), max_value=2**100)
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters())
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.sampled_from([Color.RED, Level.LOW, Rights.READ | Rights.WRITE, Point(1, 2), FrozenBox("x"), Token("t")])
)
hashable = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, max_size=4).map(deque)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4).map(OrderedDict)
        | st.sets(hashable, max_size=4)
        | st.frozensets(hashable, max_size=4)
        | st.builds(Box, st.text(), st.lists(st.builds(Point, inner, inner), max_size=2), inner)
        | inner.map(lambda value: Dog.model_construct(name=value, tricks=[]))
        | inner.map(lambda value: dynamic(value=value))
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_any_nested_value_comes_back_equal_and_of_the_same_class(value: object) -> None:
    received = value_again(value)
    assert received == value
    assert shape(received) == shape(value)


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet=st.characters(categories=["Cs", "Lu"])))
def test_any_text_comes_back_even_with_lone_surrogates(text: str) -> None:
    assert value_again({text: [text]}) == {text: [text]}


def shape(value: object) -> object:
    """Classes all the way down; sets by their members' classes in no order."""
    if isinstance(value, dict):
        return type(value), [(shape(k), shape(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(str(shape(item)) for item in value)
    if isinstance(value, (BaseModel, Box)):
        return type(value), [shape(item) for item in vars(value).values()]
    return type(value)


def test_a_number_that_is_none_stays_none() -> None:
    assert math.isnan(value_again(float("nan")))
    assert math.copysign(1, value_again(-0.0)) == -1


def test_a_zone_of_another_library_becomes_its_offset() -> None:
    class Odd(tzinfo):
        def utcoffset(self, dt: datetime | None) -> timedelta:
            return timedelta(hours=1, microseconds=7)

    received = value_again(datetime(2024, 1, 1, tzinfo=Odd()))
    assert received == datetime(2024, 1, 1, tzinfo=Odd())
    assert received.utcoffset() == timedelta(hours=1, microseconds=7)


def test_a_zone_without_offset_is_refused() -> None:
    class Vague(tzinfo):
        def utcoffset(self, dt: datetime | None) -> None:
            return None

    with pytest.raises(EncodeError, match=r"state\.?\[0\] .*neither a name nor a fixed offset"):
        CODEC.encode_value([datetime(2024, 1, 1, tzinfo=Vague())], what="state")


def test_a_default_dict_keeps_its_factory_if_that_is_builtin() -> None:
    received = value_again(defaultdict(int, {"a": 1}))
    assert received["b"] == 0
    assert value_again(defaultdict(None, {"a": 1})).default_factory is None
    with pytest.raises(EncodeError, match="default_factory is not a builtin type"):
        CODEC.encode_value(defaultdict(lambda: 1), what="state")


def test_secrets_keep_what_they_hide() -> None:
    assert value_again(SecretStr("s")).get_secret_value() == "s"
    assert value_again(SecretBytes(b"s")).get_secret_value() == b"s"


def test_a_secret_of_any_kind_keeps_what_it_hides() -> None:
    class Keys(BaseModel):
        keys: Secret[dict[str, int]]

    codec = Codec(EventRegistry(roots=[Keys]))
    assert value_again(Keys(keys=Secret[dict[str, int]]({"a": 1})), codec).keys.get_secret_value() == {"a": 1}


def test_urls_of_pydantic_are_known() -> None:
    assert value_again(AnyUrl("redis://h:1/0")) == AnyUrl("redis://h:1/0")


def test_a_class_that_tells_pydantic_how_it_is_written_travels_that_way() -> None:
    assert value_again(Celsius(1.5)) == Celsius(1.5)


def test_a_class_whose_own_serializer_raises_is_refused() -> None:
    class Broken(Celsius):
        @property
        def degrees(self) -> float:  # type: ignore[override]
            raise OSError("worn out")

        @degrees.setter
        def degrees(self, value: float) -> None: ...

    codec = Codec(EventRegistry(roots=[Broken]))
    with pytest.raises(EncodeError, match="worn out"):
        codec.encode_value(Broken(1), what="state")


def test_a_dataclass_is_rebuilt_without_its_init() -> None:
    @dataclass
    class Counting:
        a: int
        b: int = 2
        c: list[int] = field(default_factory=list)
        d: int = field(init=False)

        def __post_init__(self) -> None:
            self.d = 0

    codec = Codec(EventRegistry(roots=[Counting]))
    value = Counting(1)
    value.d = 9
    assert value_again(value, codec) == value
    del value.d
    data = codec.encode_value(value, what="state")
    with pytest.raises(DecodeError, match="lacks its required field 'd'"):
        codec.decode_value(data)
    value.d = 1
    del value.c
    vars(value).pop("b")
    received = value_again(value, codec)
    assert (received.b, received.c) == (2, [])


def test_a_pydantic_dataclass_is_not_validated_again() -> None:
    box = CheckedBox(1)
    box.size = "odd"  # type: ignore[assignment]
    assert value_again(box).size == "odd"


def test_private_attributes_of_models_take_their_defaults() -> None:
    class Model(BaseModel):
        a: int
        _made: list[int] = PrivateAttr(default_factory=lambda: [1])
        _copied: list[int] = PrivateAttr(default=[2])
        _unset: int = PrivateAttr()

    codec = Codec(EventRegistry(roots=[Model]))
    model = Model(a=1)
    model._made.append(9)
    received = value_again(model, codec)
    assert (received._made, received._copied) == ([1], [2])
    assert received._copied is not Model.__private_attributes__["_copied"].default


def test_a_model_may_set_up_its_private_attributes_itself() -> None:
    class Model(BaseModel):
        a: int
        _double: int = PrivateAttr(default=0)

        def model_post_init(self, context: Any, /) -> None:
            self._double = 2 * self.a

    class Silent(BaseModel):
        a: int

        def model_post_init(self, context: Any, /) -> None:
            self.a = 7

    codec = Codec(EventRegistry(roots=[Model, Silent]))
    assert value_again(Model(a=2), codec)._double == 4
    assert value_again(Silent(a=1).model_copy(update={"a": 2}), codec).a == 2


def test_a_default_that_depends_on_other_fields_is_made_from_them() -> None:
    class Model(BaseModel):
        a: int
        b: int = Field(default_factory=lambda fields: fields["a"] + 1)

    codec = Codec(EventRegistry(roots=[Model]))
    model = Model(a=1)
    del model.b
    assert value_again(model, codec).b == 2


def test_a_subclass_of_a_container_is_refused() -> None:
    class Chunks(list[int]):
        pass

    with pytest.raises(EncodeError, match="no encoding for this class"):
        CODEC.encode_value(Chunks(), what="state")


def test_subclasses_of_plain_values_keep_their_class() -> None:
    class Count(int):
        pass

    class Share(float):
        pass

    class Blob(bytes):
        pass

    codec = Codec(EventRegistry(roots=[Count, Share, Blob]))
    for value in (Count(2**70), Share(0.5), Blob(b"x")):
        received = value_again(value, codec)
        assert (received, type(received)) == (value, type(value))


def test_an_enum_member_that_is_gone_is_an_error_that_names_it() -> None:
    data = CODEC.encode_value(Color.GREEN, what="state").replace(b"GREEN", b"BROWN")
    with pytest.raises(DecodeError, match="Color has no member 'BROWN'"):
        CODEC.decode_value(data)


def test_a_named_tuple_lacking_a_field_takes_its_default_or_is_an_error() -> None:
    data = CODEC.encode_value(Point(1, 2), what="state")
    assert CODEC.decode_value(data.replace(b"\xa1y", b"\xa1z")) == Point(1, 0)
    with pytest.raises(DecodeError, match="Point lacks its required field 'x'"):
        CODEC.decode_value(data.replace(b"\xa1x", b"\xa1z"))


def test_an_unregistered_class_as_a_value_is_refused() -> None:
    with pytest.raises(EncodeError, match="the class int is not registered"):
        CODEC.encode_value(int, what="state")


def test_a_hash_that_raises_is_a_decode_error() -> None:
    class Odd(Event):
        def __hash__(self) -> int:
            if self.get("odd"):
                raise OSError("no hash")
            return 1

    event = Odd()
    held = {event}
    event["odd"] = True
    codec = Codec(EventRegistry({Odd: EventName("Odd")}))
    data = codec.encode_value(held, what="state")
    with pytest.raises(DecodeError, match="OSError: no hash"):
        codec.decode_value(data)


def test_bytes_that_are_read_do_not_share_memory_with_the_message() -> None:
    data = CODEC.encode_value({"a": b"x" * 5_000}, what="state")
    value: Any = CODEC.decode_value(data)
    assert type(value["a"]) is bytes
