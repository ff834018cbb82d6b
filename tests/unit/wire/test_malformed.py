"""Bytes of any origin: a DecodeError or a value, and nothing else."""

from __future__ import annotations

import random
import sys
import tracemalloc
import zlib
from collections.abc import Iterator

import msgpack
import pytest
from msgpack import ExtType

from broker_wf.errors import DecodeError
from tests.unit.wire import golden_files
from tests.unit.wire.samples import CODEC

HEAD = b"\x10"
ALL = {**golden_files.EVENTS, **golden_files.VALUES}


def packed(tree: object) -> bytes:
    body: bytes = msgpack.packb(tree)
    return HEAD + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "there are no bytes"),
        (b"\x20\x01", "version 2 of the wire"),
        (b"\x14\x01", "unknown form 4"),
        (b"\x12\x01", "the table of its blobs is not whole"),
        (b"\x13\x00\x00\x00\x01" + bytes(19), "the table of its blobs is not whole"),
        (b"\x12\x00\x00\x00\x00\xd6\x0e\x00\x00\x00\x00", "a mark where a value should be"),
        (b"\x10", "incomplete"),
        (b"\x10\x01\x01", "malformed"),
        (b"\x11nonsense", "malformed"),
        (b"\x11" + zlib.compress(b"\x01")[:-1], "not whole"),
        (b"\x11" + zlib.compress(b"\x01") + b"x", "not whole"),
        (b"\x10\xc1", "Unpack|malformed|format"),
        (packed(ExtType(99, b"")), "unknown extension type 99"),
        (packed(ExtType(64, b"os.system")), "class 'os.system' is not registered"),
        (packed(ExtType(64, b"StopEvent")), "a mark where a value should be"),
        (packed([1, ExtType(64, b"StopEvent")]), "a mark where a value should be"),
        (packed(msgpack.Timestamp(1)), "a mark where a value should be"),
        (packed([ExtType(64, b"StopEvent")]), "not the parts"),
        (packed([ExtType(64, b"StopEvent"), {}, {}, {}]), "not the parts"),
        (packed([ExtType(64, b"StopEvent"), 1]), "no fields where they should be"),
        (packed([ExtType(64, b"StopEvent"), {}, 1]), "extras are no dict"),
        (packed([ExtType(64, b"StopEvent"), {}, {0: 1}]), "undeclared values are no dict"),
        (packed([ExtType(64, b"StopEvent"), {}, {1: 1}]), "malformed"),
        (packed([ExtType(64, b"tests.unit.wire.samples.Point"), 1]), "no fields"),
        (packed([ExtType(64, b"tests.unit.wire.samples.Box"), 1]), "no fields"),
        (packed([ExtType(64, b"tests.unit.wire.samples.Token"), 1]), "is no str"),
        (packed([ExtType(64, b"tests.unit.wire.samples.Rights"), "x"]), "ValueError|TypeError"),
        (packed([ExtType(64, b"tests.unit.wire.samples.Celsius"), 1]), "not the parts"),
        (packed([ExtType(64, b"fractions.Fraction"), 1]), "is no text"),
        (packed([ExtType(64, b"fractions.Fraction"), "1/0"]), "ZeroDivisionError"),
        (packed([ExtType(68, b""), 1]), "a key without a value"),
        (packed([ExtType(66, b""), []]), "unhashable"),
        (packed([ExtType(70, b"eval")]), "malformed"),
        (packed([ExtType(72, b"x")]), "invalid literal"),
        (packed([ExtType(73, b""), 1]), "not an exception"),
        (packed([ExtType(73, b""), {"type": "ValueError"}]), "needs a type and a message"),
        (packed([ExtType(73, b""), {}, 2]), "not an exception"),
        (packed(ExtType(2, b"\x00")), "malformed"),
        (packed(ExtType(2, b"\x07\xe8\x0d\x01\x00\x00\x00\x00\x00\x00\x00\x00")), "month"),
        (packed(ExtType(4, b"\x00" * 8 + b"?")), "unknown kind of time zone"),
        (packed(ExtType(4, b"\x00" * 8 + b"KNo/Where")), "No/Where"),
        (packed(ExtType(4, b"\x00" * 8 + b"K../../etc/passwd")), "(?i)zone|key|path"),
        (packed(ExtType(8, b"abc")), "malformed"),
        (packed(ExtType(10, b"?")), "malformed"),
        (packed(ExtType(12, b"1,2")), "not enough values"),
        (HEAD + b"\x81\x90\x01", "malformed"),
        (HEAD + b"\x81\xd4\x41\x00\x01", "a mark as a key"),
        (HEAD + b"\x91" * 3_000 + b"\x01", "malformed"),
        (HEAD + b"\xa1\xff", "malformed"),
    ],
)
def test_bytes_nobody_wrote_are_a_decode_error_that_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        CODEC.decode_value(data)


def test_reading_imports_nothing() -> None:
    before = set(sys.modules)
    for name in (b"antigravity.Nobody", b"this", b"os.system"):
        with pytest.raises(DecodeError):
            CODEC.decode_value(packed([ExtType(64, name), {}]))
        with pytest.raises(DecodeError):
            CODEC.decode_value(packed(ExtType(13, name)))
        CODEC.decode_value(packed([ExtType(73, b""), {"type": name.decode(), "message": "m"}]))
    assert set(sys.modules) == before


def damaged(seed: int, count: int) -> Iterator[bytes]:
    """Golden bytes with flipped bits, cut or spliced, and noise."""
    chance = random.Random(seed)
    originals = [golden_files.read(name) for name in ALL if name != "long"]
    for _ in range(count):
        data = bytearray(chance.choice(originals))
        match chance.randrange(4):
            case 0:
                for _ in range(chance.randint(1, 4)):
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case 1:
                del data[chance.randrange(len(data)) :]
            case 2:
                other = chance.choice(originals)
                data[chance.randrange(1, len(data) + 1) :] = other[chance.randrange(1, len(other) + 1) :]
            case _:
                data[1:] = chance.randbytes(chance.randint(0, 200))
        yield bytes(data)


@pytest.mark.parametrize("seed", range(1, 6))
def test_damaged_bytes_give_a_decode_error_or_a_value(seed: int) -> None:
    refused = 0
    for data in damaged(seed, 800):
        try:
            CODEC.decode_value(data)
        except DecodeError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize("name", ["event_everything", "dict_tuple_keys", "datetime_zone", "long"])
def test_every_truncation_is_a_decode_error(name: str) -> None:
    whole = golden_files.read(name)
    for end in range(len(whole)):
        with pytest.raises(DecodeError):
            CODEC.decode_value(whole[:end])


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\xdd\x00\x00\xff\xff" * 400 + b"\x00" * 14_000,
        HEAD + b"\xdd\x00\x0f\xff\xff" * 400 + b"\x00" * 1_100_000,
        HEAD + b"\xdd\xff\xff\xff\xff",
        HEAD + b"\xc6\xff\xff\xff\xff",
        HEAD + b"\xdf\x7f\xff\xff\xff",
    ],
)
def test_claimed_lengths_take_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            CODEC.decode_value(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024**2 + 8 * len(data)
