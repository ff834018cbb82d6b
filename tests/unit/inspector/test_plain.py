from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgpack
import pytest
from pydantic import SecretStr

from broker_wf.errors import DecodeError
from broker_wf.events import Event, StopEvent
from broker_wf.inspector.plain import plain_event, plain_or_reason, plain_result, plain_value
from broker_wf.wire.blobs import Fetched
from broker_wf.wire.codec import Codec
from broker_wf.wire.registry import EventRegistry


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


class Found(Event):
    where: Point
    color: Color
    secret: SecretStr = SecretStr("hidden")


class Receipt(StopEvent):
    price: float


CODEC = Codec(EventRegistry(is_open=True))


def plain(value: object) -> Any:
    found = plain_value(CODEC.encode_value(value, what="a value"))
    json.dumps(found, allow_nan=False)
    return found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (2**80, 2**80),
        (1.5, 1.5),
        (float("inf"), "inf"),
        ("\ud800 alone", "\ud800 alone"),
        (b"text", "text"),
        (b"\xff", {"type": "bytes", "value": "/w=="}),
        ([1, [2]], [1, [2]]),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (deque([1]), [1]),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        ({(1, 2): "a"}, [[[1, 2], "a"]]),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (datetime(2024, 2, 29, tzinfo=timezone.utc), "2024-02-29T00:00:00+00:00"),
        (date(2024, 2, 29), "2024-02-29"),
        (timedelta(minutes=1), 60.0),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (PurePosixPath("/a/b"), "/a/b"),
        (range(3), "range(0, 3)"),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_a_value_is_shown_as_json_has_it(value: object, shown: object) -> None:
    assert plain(value) == shown


def test_a_class_is_shown_by_its_name() -> None:
    CODEC.registry.register(Point)
    assert plain(Point) == f"{__name__}.Point"


def test_an_event_is_shown_by_its_name_and_fields_without_its_class() -> None:
    fields: dict[str, Any] = {"where": Point(1, 2), "color": Color.RED, "more": [1]}
    name, value = plain_event(CODEC.encode_event(Found(**fields)).payload, "?")
    assert name == "Found"
    assert value == {
        "where": {"type": f"{__name__}.Point", "value": {"x": 1, "y": 2}},
        "color": {"type": f"{__name__}.Color", "value": "RED"},
        "secret": {"type": "pydantic.types.SecretStr", "value": "**********"},
        "more": [1],
    }


def test_a_plain_stop_event_gives_its_result_bare() -> None:
    assert plain_result(CODEC.encode_event(StopEvent(result=[1])).payload) == ("StopEvent", [1])
    assert plain_result(CODEC.encode_event(StopEvent()).payload) == ("StopEvent", None)


def test_a_stop_event_of_the_users_own_gives_its_fields() -> None:
    assert plain_result(CODEC.encode_event(Receipt(price=2.5)).payload) == ("Receipt", {"price": 2.5})


def test_an_exception_is_shown_by_its_class_and_text() -> None:
    found = plain(KeyError("gone"))
    assert found["type"] == "builtins.KeyError"
    assert found["value"]["message"] == "'gone'"


def test_an_array_is_shown_by_kind_and_shape() -> None:
    body = msgpack.packb(["<f8", [2, 3], bytes(48)])
    data = b"\x10" + msgpack.packb([msgpack.ExtType(32, body)])
    assert plain_value(data) == [{"type": "numpy.ndarray", "value": {"dtype": "<f8", "shape": [2, 3], "bytes": 48}}]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x10", b"\x20\x01", b"\x10\xc1", b"\x11abc", b"\x10" + msgpack.packb(msgpack.ExtType(99, b""))],
)
def test_bytes_that_are_no_value_are_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        plain_value(data)


def test_bytes_that_cannot_be_read_are_shown_by_their_number_and_why() -> None:
    found: Any = plain_or_reason(b"\x20\x01")
    assert found["bytes"] == 2
    assert "version 2" in found["undecodable"]
    assert plain_event(b"\x20\x01", "Lost") == ("Lost", found)
    assert plain_result(b"\x20\x01") == ("StopEvent", found)


def test_a_part_that_is_kept_apart_is_put_back_where_it_was() -> None:
    encoded = CODEC.encode_event(StopEvent(result="x" * 2_000_000))
    fetched = Fetched({blob.hash: blob.sealed for blob in encoded.blobs})
    assert plain_result(encoded.payload, fetched) == ("StopEvent", "x" * 2_000_000)


def test_a_part_that_is_not_at_hand_is_told_by_its_size() -> None:
    encoded = CODEC.encode_event(StopEvent(result="x" * 2_000_000))
    _, note = plain_result(encoded.payload)
    assert note == {"blob": encoded.blobs[0].hash.hex(), "bytes": 2_000_005}
