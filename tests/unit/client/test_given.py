"""Events from somebody who has not their classes: whoever has them validates the values."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from broker_wf.client.given import encoded
from broker_wf.core.ids import EventName
from broker_wf.errors import DecodeError, EncodeError
from broker_wf.events import Event, StartEvent
from broker_wf.settings import Settings
from broker_wf.wire.blobs import Encoded
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import codec_for

KEY = "a key that is long enough for this"
ASKED = EventName("Asked")


class Inner(Event):
    count: int


class Asked(StartEvent):
    at: datetime
    inner: Inner = Inner(count=0)
    words: tuple[str, ...] = ()


def given(values: dict[str, object], key: str = "") -> Encoded:
    return encoded(Settings.load(signing_key=key), ASKED, values, "r")


def read(one: Encoded, key: str = "") -> Event:
    return codec_for(EventRegistry({Asked: ASKED}), Limits(), key, "default").at("r").decode_event(one.payload)


@pytest.mark.parametrize("key", ["", KEY])
def test_values_arrive_as_the_class_has_them(key: str) -> None:
    values = {"at": "2026-01-02T03:04:05Z", "inner": {"count": "7"}, "words": ["a", "b"], "more": [1, {"a": None}]}
    event = read(given(values, key), key)
    assert isinstance(event, Asked)
    assert event.at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert (event.inner.count, event.words, event.more) == (7, ("a", "b"), [1, {"a": None}])
    assert (read(given({"at": "2026-01-02T03:04:05Z"}), "")).inner == Inner(count=0)  # pyright: ignore[reportAttributeAccessIssue]


def test_equal_values_in_another_order_have_the_same_payload() -> None:
    one, other = given({"at": 1, "words": [], "x": 2, "y": 3}), given({"y": 3, "words": [], "x": 2, "at": 1})
    assert one.payload == other.payload
    assert one.payload != given({"at": 2, "words": [], "x": 2, "y": 3}).payload


@pytest.mark.parametrize(("values", "why"), [({}, "at"), ({"at": "never"}, "at"), ({"at": 1, "inner": 2}, "inner")])
def test_values_that_do_not_fit_are_refused_by_whoever_reads_them(values: dict[str, object], why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        read(given(values))


def test_an_undeclared_value_without_an_encoding_is_refused_here() -> None:
    with pytest.raises(EncodeError, match="Asked"):
        given({"at": 1, "more": object()})
