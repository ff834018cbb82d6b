"""The bounds of a value: exactly at each it passes, one beyond it is refused with its place."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from broker_wf.errors import DecodeError, EncodeError, LimitExceededError
from broker_wf.events import StopEvent
from broker_wf.wire.codec import Codec
from broker_wf.wire.leaves import write_int
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from tests.unit.wire.samples import CODEC, NAMES, Box, Dog, Everything, Point, Simple, codec_of, dynamic

SMALL = Limits(max_bytes=1_000, max_depth=4, max_keys=3, compress_from=500)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_the_defaults_are_those_of_the_documentation() -> None:
    limits = Limits()
    assert (limits.max_bytes, limits.max_depth, limits.max_keys) == (32 * 1024**2, 64, 10_000)
    assert limits.compress_from == 64 * 1024


def test_a_value_64_levels_deep_passes_and_one_of_65_does_not() -> None:
    assert CODEC.decode_value(CODEC.encode_value(nested(64), what="state")) == nested(64)
    with pytest.raises(LimitExceededError, match="65 is over the limit of 64") as caught:
        CODEC.encode_value(nested(65), what="state")
    assert "state[0][0]" in str(caught.value)
    assert "of type list" in str(caught.value)


@pytest.mark.parametrize(
    "innermost",
    [[], {}, (), {1: 2}, {(): 1}, Point(1, 2), Box("b"), Dog(name="a"), Counter(), Simple(text="a")],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_container_counts_as_one_level(innermost: object) -> None:
    deep_enough = Codec(EventRegistry(NAMES), Limits(max_depth=5))
    assert deep_enough.decode_value(deep_enough.encode_value([[innermost]], what="s")) == [[innermost]]
    too_shallow = Codec(EventRegistry(NAMES), Limits(max_depth=2))
    with pytest.raises(LimitExceededError):
        too_shallow.encode_value([[innermost]], what="s")


def test_the_packer_asks_for_nothing_but_large_ints() -> None:
    with pytest.raises(TypeError, match="no encoding for set"):
        write_int(set())


def test_what_the_packer_cannot_take_is_an_encode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be a text or list of more than 4 GiB."""

    def refuse(tree: object) -> bytes:
        raise ValueError("list is too large")

    codec = codec_of()
    monkeypatch.setattr(codec, "_packers", SimpleNamespace(pack=refuse))
    with pytest.raises(EncodeError, match=r"state of type int .*too large to be packed: list is too large"):
        codec.encode_value(1, what="state")


def test_an_event_is_one_level_whatever_it_is_made_of() -> None:
    codec = codec_of(Simple, limits=SMALL)
    simple = Simple(text="a")
    simple.numbers = nested(3)
    for event in (dynamic(a=nested(3)), StopEvent(result=nested(3)), simple):
        assert codec.decode_event(codec.encode_event(event).payload) == event
    with pytest.raises(LimitExceededError, match=r"Event.a\[0\]\[0\]\[0\] of type list"):
        codec.encode_event(dynamic(a=nested(4)))
    simple.numbers = nested(4)
    with pytest.raises(LimitExceededError, match=r"Simple.numbers\[0\]\[0\]\[0\] of type list"):
        codec.encode_event(simple)


def test_depth_is_checked_when_reading_too() -> None:
    data = CODEC.encode_value(nested(5), what="state")
    with pytest.raises(DecodeError, match="deeper than 4 levels"):
        codec_of(limits=SMALL).decode_value(data)
    data = CODEC.encode_value({"a": {"a": {"a": {"a": {}}}}}, what="state")
    with pytest.raises(DecodeError, match="deeper than 4 levels"):
        codec_of(limits=SMALL).decode_value(data)


def test_a_value_that_holds_itself_is_refused() -> None:
    circle: list[object] = []
    circle.append({"again": circle})
    with pytest.raises(LimitExceededError, match=r"Event.circle\[0\]\['again'\]\[0\].*is it in a circle\?"):
        CODEC.encode_event(dynamic(circle=circle))


@pytest.mark.parametrize("kind", [dict, Counter], ids=["dict", "counter"])
def test_a_dict_of_10000_keys_passes_and_one_more_does_not(kind: type[Any]) -> None:
    allowed = kind({str(i): i for i in range(10_000)})
    assert CODEC.decode_value(CODEC.encode_value(allowed, what="state")) == allowed
    allowed["more"] = 1
    with pytest.raises(LimitExceededError, match=r"state\[0\] .* number of keys: 10,001 .* 10,000"):
        CODEC.encode_value([allowed], what="state")


def test_undeclared_values_are_counted_like_keys() -> None:
    codec = codec_of(limits=SMALL)
    codec.encode_event(dynamic(a=1, b=2, c=3))
    with pytest.raises(LimitExceededError, match="number of undeclared values: 4"):
        codec.encode_event(dynamic(a=1, b=2, c=3, d=4))


@pytest.mark.parametrize("kind", [dict, Counter, lambda pairs: {(k,): v for k, v in pairs.items()}])
def test_keys_are_counted_when_reading_too(kind: Any) -> None:
    data = CODEC.encode_value(kind({"a": 1, "b": 2, "c": 3, "d": 4}), what="state")
    with pytest.raises(DecodeError):
        codec_of(limits=SMALL).decode_value(data)


def test_a_value_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    codec = codec_of(limits=Limits(max_bytes=1_000, compress_from=10_000))
    frame = len(codec.encode_value("x" * 900, what="state")) - 900
    data = codec.encode_value("x" * (1_000 - frame), what="state")
    assert len(data) == 1_000
    assert codec.decode_value(data) == "x" * (1_000 - frame)
    with pytest.raises(LimitExceededError, match="encoded size of state in bytes: 1,001 is over the limit of 1,000"):
        codec.encode_value("x" * (1_001 - frame), what="state")


def test_32_mib_pass_and_one_byte_more_does_not() -> None:
    frame = 6
    CODEC.decode_value(CODEC.encode_value(b"\0" * (32 * 1024**2 - frame), what="state"))
    with pytest.raises(LimitExceededError, match="33,554,433 is over the limit of 33,554,432"):
        CODEC.encode_value(b"\0" * (32 * 1024**2 - frame + 1), what="state")


def test_the_size_limit_holds_before_compression() -> None:
    with pytest.raises(LimitExceededError):
        codec_of(limits=SMALL).encode_value("x" * 1_000, what="state")


def test_too_large_an_event_names_the_field_that_is_most_of_it() -> None:
    codec = Codec(EventRegistry(NAMES), SMALL)
    with pytest.raises(LimitExceededError, match=r"Everything \(most of it token, a str\)"):
        codec.encode_event(Everything(text="a").model_copy(update={"token": "x" * 2_000}))
    with pytest.raises(LimitExceededError, match="encoded size of Event in bytes"):
        codec.encode_event(dynamic(a="x" * 2_000))


def test_longer_bytes_than_the_limit_are_not_looked_at() -> None:
    with pytest.raises(DecodeError, match="1,001 bytes are over the limit of 1,000"):
        codec_of(limits=SMALL).decode_value(b"\x10" + b"\x00" * 1_000)


def test_only_what_is_longer_than_the_threshold_and_shrinks_is_compressed() -> None:
    codec = codec_of(limits=SMALL)
    frame = 3
    plain = codec.encode_value(b"x" * (500 - frame), what="state")
    packed = codec.encode_value(b"x" * (501 - frame), what="state")
    assert (plain[0], packed[0]) == (0x10, 0x11)
    assert len(packed) < 50
    assert codec.decode_value(packed) == b"x" * (501 - frame)
    noise = bytes(i * i * 7 % 251 for i in range(30)) + bytes(range(256)) + bytes(range(255, -1, -1))
    assert codec.encode_value(noise, what="state")[0] == 0x10


def test_of_what_is_long_a_sample_says_whether_it_is_compressed() -> None:
    codec, noise = codec_of(limits=Limits()), random.Random(1).randbytes(600_000)
    assert codec.encode_value(noise, what="state")[0] == 0x10
    assert codec.encode_value(b"x" * 600_000, what="state")[0] == 0x11
    half = codec.encode_value(noise[:300_000] + b"x" * 300_000, what="state")
    assert (half[0], len(half) < 310_000) == (0x11, True)


def test_a_bomb_is_not_inflated_beyond_the_limit() -> None:
    bomb = codec_of(limits=Limits(max_bytes=10**6, compress_from=10)).encode_value(b"\0" * 900_000, what="state")
    with pytest.raises(DecodeError, match="over the limit of 5,000 bytes when decompressed"):
        codec_of(limits=Limits(max_bytes=5_000)).decode_value(bomb)


def test_a_stack_that_is_nearly_used_up_is_an_encode_error() -> None:
    def at_the_end() -> None:
        try:
            at_the_end()
        except RecursionError:
            CODEC.encode_value(nested(60), what="state")

    with pytest.raises(EncodeError, match="recursion"):
        at_the_end()


@pytest.mark.parametrize("wrong", [{"max_depth": 0}, {"max_depth": 129}, {"max_bytes": 0}, {"max_keys": 0}])
def test_limits_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**wrong)
