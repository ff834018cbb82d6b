"""Large parts of events travel apart."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable

import pytest

from broker_wf.errors import DecodeError, LimitExceededError
from broker_wf.events import Event, StopEvent
from broker_wf.wire.blobs import Blob, BlobCache, Encoded, Fetched
from broker_wf.wire.codec import Codec
from broker_wf.wire.envelope import references
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from tests.unit.wire.samples import NAMES, Counted, Dog, Everything, Loose, Simple, dynamic

MIB = 1024 * 1024
FROM = 1_000


def codec_with(cache_bytes: int = 0, **limits: int) -> Codec:
    """A process of its own: it shares no cache with another."""
    return Codec(EventRegistry(NAMES), Limits(**{"blob_from": FROM, **limits}), BlobCache(cache_bytes))


def fetched(*encoded: Encoded) -> Fetched:
    return Fetched({blob.hash: blob.sealed for one in encoded for blob in one.blobs})


def text_of_encoding(size: int) -> str:
    """A text whose own encoding has so many bytes."""
    return "x" * (size - 3)


def sizes(blobs: Iterable[Blob]) -> list[int]:
    return [blob.size for blob in blobs]


@pytest.mark.parametrize(
    "event",
    [
        Simple(text="t" * 2_000),
        Simple(text="short", numbers=[*range(3_000)]),
        Simple(text="t" * 2_000, numbers=[*range(3_000)]),
        dynamic(a="ä" * 2_000, b=1, c=b"\0" * 2_000),
        dynamic(a={"deep": [{"er": "x" * 2_000}]}, b=(1, "y" * 2_000)),
        dynamic(a=Dog(name="n" * 2_000), b=[Dog(name="rex", tricks=["t" * 2_000])]),
        dynamic(a="lone \ud800 surrogate" * 100),
        StopEvent(result="r" * 2_000),
        StopEvent(result=["r" * 2_000, None], more="m" * 2_000),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_with_large_parts_is_the_same_elsewhere(event: Event) -> None:
    encoded = codec_with().encode_event(event)
    assert encoded.blobs
    assert len(encoded.payload) < 700
    again = codec_with().decode_event(encoded.payload, fetched(encoded))
    assert again == event
    assert again.model_fields_set == event.model_fields_set
    assert repr(again) == repr(event)


def test_values_of_a_model_that_takes_any_stay_in_the_field_that_holds_it() -> None:
    event = dynamic(a=Loose(known=1, unknown="u" * 2_000))  # pyright: ignore[reportCallIssue]
    encoded = codec_with().encode_event(event)
    assert len(encoded.blobs) == 1
    assert codec_with().decode_event(encoded.payload, fetched(encoded)) == event


def test_a_part_of_exactly_the_threshold_stays_and_one_byte_more_goes() -> None:
    for part in (text_of_encoding(FROM), b"x" * (FROM - 3)):
        encoded = codec_with().encode_event(dynamic(a=part))
        assert encoded.blobs == ()
        assert references(encoded.payload) == ()
    for part in (text_of_encoding(FROM + 1), b"x" * (FROM + 1 - 3)):
        encoded = codec_with().encode_event(dynamic(a=part))
        assert sizes(encoded.blobs) == [FROM + 1]
        assert [row.size for row in references(encoded.payload)] == [FROM + 1]


def test_the_threshold_is_a_quarter_of_a_mebibyte_unless_it_is_set() -> None:
    quarter = MIB // 4
    assert Limits().blob_from == quarter
    codec = Codec(EventRegistry(NAMES), blobs=BlobCache(0))
    assert codec.encode_event(dynamic(a="x" * (quarter - 5))).blobs == ()
    assert sizes(codec.encode_event(dynamic(a="x" * (quarter - 4))).blobs) == [quarter + 1]


def test_a_large_event_of_small_parts_stays_whole() -> None:
    event = dynamic(**{f"a{i}": "x" * 500 for i in range(100)})
    encoded = codec_with().encode_event(event)
    assert encoded.blobs == ()
    assert codec_with().decode_event(encoded.payload) == event


def test_small_and_large_parts_beside_each_other_keep_their_order() -> None:
    event = dynamic(a="x" * 500, b="y" * 2_000, c="z" * 500, d=7)
    encoded = codec_with().encode_event(event)
    assert len(encoded.blobs) == 1
    again = codec_with().decode_event(encoded.payload, fetched(encoded))
    assert list(again.to_dict()) == ["a", "b", "c", "d"]


def test_equal_parts_of_different_events_are_one_blob() -> None:
    codec = codec_with()
    encoded = [codec.encode_event(dynamic(text="t" * 2_000, n=n)) for n in range(5)]
    assert len({blob.hash for one in encoded for blob in one.blobs}) == 1
    assert len({one.payload for one in encoded}) == 5


def test_equal_parts_of_one_event_are_one_blob() -> None:
    encoded = codec_with().encode_event(dynamic(a="t" * 2_000, b="u" * 2_000, c="t" * 2_000))
    assert len(encoded.blobs) == 2
    again = codec_with().decode_event(encoded.payload, fetched(encoded))
    assert (again.a, again.b, again.c) == ("t" * 2_000, "u" * 2_000, "t" * 2_000)


def test_a_blob_is_compressed_like_any_value() -> None:
    encoded = codec_with(compress_from=5_000).encode_event(dynamic(a="t" * 4_000, b="t" * 9_000))
    assert [(blob.sealed[0], blob.size) for blob in encoded.blobs] == [(0x10, 4_003), (0x11, 9_003)]
    assert len(encoded.blobs[1].sealed) < 500


def test_the_rest_of_an_event_is_compressed_like_any_value() -> None:
    event = dynamic(large="t" * 2_000, **{f"a{i}": "x" * 900 for i in range(10)})
    encoded = codec_with(compress_from=5_000).encode_event(event)
    assert encoded.payload[0] == 0x13
    assert codec_with().decode_event(encoded.payload, fetched(encoded)) == event


def test_the_payload_does_not_depend_on_what_was_encoded_before() -> None:
    fresh, used = codec_with(), codec_with(MIB)
    text, other = "t" * 2_000, "o" * 3_000
    used.encode_event(dynamic(a=text, b=other))
    for event in (dynamic(x=other, a=text, n=1), dynamic(a=text, x="new" * 1_000, b=other), dynamic(a=1)):
        assert used.encode_event(event) == fresh.encode_event(event)


def test_a_part_that_was_read_is_sent_on_without_being_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = codec_with().encode_event(dynamic(text="t" * 20_000))
    codec = codec_with(MIB)
    text = codec.decode_event(encoded.payload, fetched(encoded)).text
    packed: list[int] = []
    pack = codec._packers.pack

    def watched(tree: object) -> bytes:
        packed.append(len(pack(tree)))
        return pack(tree)

    monkeypatch.setattr(codec._packers, "pack", watched)
    onward = codec.encode_event(dynamic(text=text, n=2))
    assert onward.blobs == encoded.blobs
    assert max(packed) < 1_000


@pytest.mark.parametrize(
    "again",
    [lambda t: Simple(text=t, numbers=[1]), lambda t: StopEvent(result=t), lambda t: dynamic(a=t, b=2)],
    ids=["field", "result", "undeclared"],
)
def test_a_part_is_known_wherever_it_stands(again: Callable[[str], Event]) -> None:
    codec, text = codec_with(MIB), "t" * 2_000
    first = codec.encode_event(dynamic(a=text))
    assert codec.encode_event(again(text)).blobs[0] is first.blobs[0]


def test_an_event_without_a_known_part_is_written_as_ever() -> None:
    codec = codec_with(MIB)
    codec.encode_event(dynamic(a="t" * 2_000))
    for event in (Simple(text="short"), Simple(text="short", numbers=[1]), dynamic(a=1), StopEvent(result=1)):
        assert codec.encode_event(event) == codec_with().encode_event(event)


def test_a_part_known_under_another_threshold_stays_if_it_is_not_large_here() -> None:
    cache, text = BlobCache(MIB), "t" * 2_000
    Codec(EventRegistry(NAMES), Limits(blob_from=FROM), cache).encode_event(dynamic(a=text))
    encoded = Codec(EventRegistry(NAMES), Limits(blob_from=10 * FROM), cache).encode_event(dynamic(a=text))
    assert encoded.blobs == ()


def test_text_and_bytes_that_many_events_share_are_one_object() -> None:
    codec, reader = codec_with(), codec_with()
    encoded = [codec.encode_event(dynamic(t="t" * 2_000, b=b"b" * 2_000, n=n)) for n in range(3)]
    at_hand = fetched(*encoded)
    events = [reader.decode_event(one.payload, at_hand) for one in encoded]
    assert len({id(event.t) for event in events}) == 1
    assert len({id(event.b) for event in events}) == 1


def test_a_list_that_many_events_share_is_each_events_own() -> None:
    codec = codec_with(MIB)
    encoded = [codec.encode_event(dynamic(rows=[*range(2_000)], n=n)) for n in range(2)]
    at_hand = fetched(*encoded)
    first, second = (codec.decode_event(one.payload, at_hand) for one in encoded)
    first.rows.append("more")
    assert second.rows == [*range(2_000)]


def test_a_missing_blob_is_a_decode_error_that_names_the_part() -> None:
    codec = codec_with()
    for event, name in (
        (Simple(text="t" * 2_000), "'text'"),
        (dynamic(undeclared="t" * 2_000), "'undeclared'"),
        (StopEvent(result="t" * 2_000), "'result'"),
    ):
        payload = codec.encode_event(event).payload
        with pytest.raises(DecodeError, match=f"its {name} is kept apart, in a blob of 2,003 bytes"):
            codec.decode_event(payload)


def test_a_blob_of_another_size_than_its_reference_is_a_decode_error() -> None:
    codec = codec_with()
    encoded, other = codec.encode_event(dynamic(a="t" * 2_000)), codec.encode_event(dynamic(a="t" * 2_001))
    wrong = Fetched({encoded.blobs[0].hash: other.blobs[0].sealed})
    with pytest.raises(DecodeError, match="its blob has 2,004 bytes where it should have 2,003"):
        codec.decode_event(encoded.payload, wrong)


@pytest.mark.parametrize("damage", [b"", b"\x10", b"\x20abc", b"\x10\xc1", b"\x11nonsense"])
def test_a_damaged_blob_is_a_decode_error(damage: bytes) -> None:
    codec = codec_with()
    encoded = codec.encode_event(dynamic(a="t" * 2_000))
    with pytest.raises(DecodeError):
        codec.decode_event(encoded.payload, Fetched({encoded.blobs[0].hash: damage}))


def test_a_reference_to_a_row_that_is_not_in_the_table_is_a_decode_error() -> None:
    codec = codec_with()
    encoded = codec.encode_event(dynamic(a="t" * 2_000))
    payload = encoded.payload.replace(b"\xd6\x0e\x00\x00\x00\x00", b"\xd6\x0e\x00\x00\x00\x01")
    with pytest.raises(DecodeError, match="'a' refers to a blob that its table does not name"):
        codec.decode_event(payload, fetched(encoded))


def test_a_reference_inside_a_part_is_a_decode_error() -> None:
    codec = codec_with()
    encoded = codec.encode_event(dynamic(a="t" * 2_000))
    payload = encoded.payload.replace(b"\xa1a\xd6\x0e\x00\x00\x00\x00", b"\xa1a\x91\xd6\x0e\x00\x00\x00\x00")
    with pytest.raises(DecodeError, match="a mark where a value should be"):
        codec.decode_event(payload, fetched(encoded))


def test_extras_that_are_no_dict_are_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="extras are no dict"):
        codec_with().decode_event(b"\x12\x00\x00\x00\x00\x93\xc7\x06\x40Simple\x80\x90")


@pytest.mark.parametrize("data", [b"", b"\x10\x01", b"\x12", b"\x12\x00\x00\x00\x09short", b"\x22\x00\x00\x00\x01"])
def test_bytes_without_a_whole_table_refer_to_nothing(data: bytes) -> None:
    assert references(data) == ()


def test_the_hard_limit_holds_for_the_whole_event() -> None:
    codec, plain = codec_with(max_bytes=10_000), codec_with(max_bytes=10_000, blob_from=50_000)
    frame = len(plain.encode_event(dynamic(a="x" * 4_000, b="y" * 4_000)).payload) - 8_000
    largest = dynamic(a="x" * 4_000, b="y" * (6_000 - frame))
    assert len(plain.encode_event(largest).payload) == 10_000
    encoded = codec.encode_event(largest)
    assert len(encoded.blobs) == 2
    assert codec.decode_event(encoded.payload, fetched(encoded)) == largest
    message = r"encoded size of Event in bytes: 10,001 is over the limit of 10,000"
    for one in (codec, plain):
        with pytest.raises(LimitExceededError, match=message):
            one.encode_event(dynamic(a="x" * 4_000, b="y" * (6_001 - frame)))


def test_too_large_an_event_names_the_part_that_is_most_of_it() -> None:
    event = Everything(text="a").model_copy(update={"token": "x" * 20_000})
    with pytest.raises(LimitExceededError, match=r"Everything \(most of it token, a str\)"):
        codec_with(max_bytes=10_000).encode_event(event)


def test_the_hard_limit_holds_when_reading_too_each_use_of_a_blob_counting() -> None:
    text = "t" * 2_000
    encoded = codec_with().encode_event(dynamic(a=text, b=text, c=text))
    with pytest.raises(DecodeError, match="over the limit of bytes with its blobs"):
        codec_with(max_bytes=5_000).decode_event(encoded.payload, fetched(encoded))


def test_a_value_of_the_state_is_never_split() -> None:
    codec = codec_with()
    data = codec.encode_value("t" * 5_000, what="state")
    assert references(data) == ()
    assert codec.decode_value(data) == "t" * 5_000
    event = dynamic(a="t" * 5_000)
    assert codec.decode_event(codec.encode_value(event, what="whole")) == event


def test_encoding_leaves_the_event_as_it_is() -> None:
    event = Counted(value=1)
    event.undeclared = "t" * 2_000
    codec_with().encode_event(event)
    assert event.undeclared == "t" * 2_000


def test_a_cache_forgets_what_was_not_met_for_the_longest_time() -> None:
    cache = BlobCache(3_000)
    first, second, third = (Blob(hash=bytes([n]) * 16, size=1_500, sealed=b"s" * 1_200) for n in range(3))
    cache.keep(first, None)
    cache.keep(second, None)
    assert cache.find(first.hash) is not None
    cache.keep(third, None)
    assert cache.find(second.hash) is None
    assert cache.find(first.hash) is not None


def test_a_cache_counts_what_its_values_take() -> None:
    cache, text = BlobCache(3_000), "t" * 2_500
    cache.keep(Blob(hash=b"h" * 16, size=2_503, sealed=b"s" * 1_000), text)
    assert cache.find(b"h" * 16) is None
    assert cache.blob_of(text) is None
    assert not cache.values


def test_a_text_that_grows_while_it_is_kept_does_not_upset_the_count() -> None:
    cache, text = BlobCache(MIB), "ä" * 2_500
    cache.keep(Blob(hash=b"h" * 16, size=5_003, sealed=b"s"), text)
    codec_with().encode_event(dynamic(a=text))
    cache.keep(Blob(hash=b"h" * 16, size=5_003, sealed=b"s"), None)
    assert cache._bytes == 1


def test_a_cache_takes_no_other_object_for_the_one_it_knows() -> None:
    cache = BlobCache(MIB)
    cache.keep(Blob(hash=b"h" * 16, size=2_503, sealed=b"s"), "t" * 2_500)
    gc.collect()
    assert all(cache.blob_of(str(n) * 2_500) is None for n in range(100))


def test_a_value_that_is_kept_again_stands_for_its_equal() -> None:
    cache, blob = BlobCache(MIB), Blob(hash=b"h" * 16, size=2_503, sealed=b"s")
    first, second = "t" * 2_500, "".join(["t"] * 2_500)
    cache.keep(blob, first)
    cache.keep(blob, second)
    assert cache.blob_of(first) is None
    assert cache.blob_of(second) == blob
    assert len(cache.values) == 1


def test_several_threads_may_encode_the_same_parts() -> None:
    codec, texts = codec_with(20_000), ["t" * 5_000, "u" * 5_000, "v" * 5_000, "w" * 5_000]
    wanted = {text: codec_with().encode_event(dynamic(a=text)) for text in texts}
    wrong: list[str] = []

    def encode() -> None:
        for n in range(200):
            text = texts[n % len(texts)]
            if codec.encode_event(dynamic(a=text)) != wanted[text]:
                wrong.append(text)

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
