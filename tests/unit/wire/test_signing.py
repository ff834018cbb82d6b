"""Payloads with a signature: made by the first key, read by all, refused where they were changed."""

from __future__ import annotations

import pytest

from broker_wf.errors import DecodeError
from broker_wf.events import Event
from broker_wf.inspector.plain import plain_event
from broker_wf.wire.blobs import BlobCache, Encoded, Fetched
from broker_wf.wire.codec import Codec
from broker_wf.wire.envelope import SIGNATURE_BYTES, is_signed, references, unsigned
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import codec_for
from broker_wf.wire.state import change_result, result_of_change
from tests.unit.wire.samples import NAMES, Simple, dynamic

OLD, NEW = "the-key-of-long-ago", "the-key-of-today"
LIMITS = Limits(blob_from=1_000, compress_from=1_200, max_bytes=20_000)
SMALL = Simple(text="hello", numbers=[1, 2])
LARGE = dynamic(a="x" * 3_000, b=[*range(2_000)], c="y" * 900)
CASES = [SMALL, dynamic(a="y" * 900, b="z" * 900), LARGE]
"""Plain, compressed, with blobs."""


def codec(key: str, *place: str, namespace: str = "n") -> Codec:
    """The codec of a process of its own, for a place in a namespace."""
    return codec_for(EventRegistry(NAMES), LIMITS, key, namespace, BlobCache(0)).at(*(place or ("r",)))


def fetched(encoded: Encoded) -> Fetched:
    return Fetched({blob.hash: blob.sealed for blob in encoded.blobs})


def read(key: str, encoded: Encoded) -> Event:
    return codec(key).decode_event(encoded.payload, fetched(encoded))


def test_without_a_key_the_codec_is_as_it_was() -> None:
    made = codec("")
    assert type(made) is Codec
    assert not is_signed(made.encode_event(SMALL).payload)


@pytest.mark.parametrize("event", CASES, ids=["plain", "compressed", "blobs"])
def test_what_one_process_signs_another_reads(event: Event) -> None:
    encoded, bare = codec(NEW).encode_event(event), codec("").encode_event(event)
    assert len(encoded.payload) == len(bare.payload) + SIGNATURE_BYTES
    assert encoded.blobs == bare.blobs
    assert unsigned(encoded.payload) == bare.payload
    assert references(encoded.payload) == references(bare.payload)
    assert read(NEW, encoded) == event


@pytest.mark.parametrize("result", [0, 1, 24, 27, 255, 1 << 40, 2.5, -3, "text", [1], "t" * 1_500])
def test_results_of_changes_are_read_whoever_made_them(result: object) -> None:
    """The server makes them without a first byte, and makes none where values are signed."""
    assert result_of_change(codec(NEW), change_result(codec(NEW), result)) == result
    mixed = codec(f"unsigned,{NEW}")
    assert result_of_change(mixed, change_result(codec(NEW), result)) == result
    made = bare_codec().encode_value(result, what="a result")[1:]
    assert result_of_change(mixed, made) == result_of_change(codec(""), made) == result
    with pytest.raises(DecodeError, match="it is not signed"):
        result_of_change(codec(NEW), made)


def bare_codec() -> Codec:
    """One that compresses nothing, as the server does not."""
    return Codec(EventRegistry(NAMES), Limits(compress_from=10_000))


def test_values_are_signed_too() -> None:
    raw = codec(NEW).encode_value({"a": [1]}, what="state key 'a'")
    assert is_signed(raw)
    assert codec(NEW).decode_value(raw, what="state key 'a'") == {"a": [1]}
    with pytest.raises(DecodeError, match="state key 'a' cannot be decoded: it is not what a key in"):
        codec(NEW).decode_value(raw[:-1] + bytes([raw[-1] ^ 1]), what="state key 'a'")


@pytest.mark.parametrize("event", CASES, ids=["plain", "compressed", "blobs"])
def test_any_changed_byte_is_noticed(event: Event) -> None:
    encoded = codec(NEW).encode_event(event)
    for at in range(0, len(encoded.payload), 1 if len(encoded.payload) < 200 else 37):
        changed = bytearray(encoded.payload)
        changed[at] ^= 0x01
        with pytest.raises(DecodeError):
            codec(NEW).decode_event(bytes(changed), fetched(encoded))


def test_a_changed_blob_is_noticed() -> None:
    encoded = codec(NEW).encode_event(LARGE)
    others = codec(NEW).encode_event(dynamic(a="z" * 3_000, b=[*reversed(range(2_000))])).blobs
    exchanged = {mine.hash: other.sealed for mine, other in zip(encoded.blobs, others, strict=True)}
    assert codec("").decode_event(unsigned(encoded.payload), Fetched(exchanged)) != LARGE
    with pytest.raises(DecodeError, match=r"a blob it refers to was changed.*BROKER_WF_SIGNING_KEY"):
        codec(NEW).decode_event(encoded.payload, Fetched(exchanged))


def test_a_missing_blob_and_one_that_is_known_here() -> None:
    encoded = codec(NEW).encode_event(LARGE)
    with pytest.raises(DecodeError, match="not there any more"):
        codec(NEW).decode_event(encoded.payload)
    known = Fetched({blob.hash: blob.sealed for blob in encoded.blobs}, {encoded.blobs[0].hash: "x" * 3_000})
    assert codec(NEW).decode_event(encoded.payload, known) == LARGE


def test_a_key_is_replaced() -> None:
    before, both, after = OLD, f"{NEW}, {OLD}", NEW
    assert read(both, codec(before).encode_event(SMALL)) == SMALL
    assert read(after, codec(both).encode_event(SMALL)) == SMALL
    assert read(f"{OLD},{NEW}", codec(both).encode_event(SMALL)) == SMALL
    with pytest.raises(DecodeError, match="a key that is not in the BROKER_WF_SIGNING_KEY of this process"):
        read(after, codec(before).encode_event(SMALL))


def test_keys_are_introduced_and_given_up() -> None:
    bare, signed = codec("").encode_event(SMALL), codec(NEW).encode_event(SMALL)
    with pytest.raises(DecodeError, match="it is not signed, and this process has a BROKER_WF_SIGNING_KEY"):
        read(NEW, bare)
    with pytest.raises(DecodeError, match="it is signed, and this process has no BROKER_WF_SIGNING_KEY"):
        read("", signed)
    reads_only = f"unsigned,{NEW}"
    assert codec(reads_only).encode_event(SMALL) == bare
    assert read(reads_only, signed) == read(reads_only, bare) == read(f"{NEW},unsigned", bare) == SMALL


def test_what_is_no_payload() -> None:
    for data in (b"", b"\x18", b"\x18" * 20, b"\x18" * 21, b"\xff" * 40, b"\x1c" * 40):
        for key in ("", NEW, f"{NEW},unsigned"):
            with pytest.raises(DecodeError):
                codec(key).decode_event(data)
    with pytest.raises(DecodeError, match="over the limit"):
        codec(NEW).decode_event(b"\x18" * 30_000)


def test_people_see_what_is_signed() -> None:
    name, fields = plain_event(codec(NEW).encode_event(SMALL).payload, "?")
    assert (name, fields) == plain_event(codec("").encode_event(SMALL).payload, "?")
    assert name == "Simple"
