"""The first byte of every encoded value: the wire's version in the high half, the form in the low.

An event whose large parts travel apart has a table between that byte and the body: the number of blobs, then hash and
size of each.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from broker_wf.wire.blobs import Blob
from broker_wf.wire.limits import Limits

VERSION = 1
PLAIN = 0
ZLIB = 1
REFERRING = 2
"""Beside PLAIN or ZLIB: the table is there. The scripts know these bytes too. Forms 4 … 7 and 12 … 15 are reserved."""
SIGNED = 8
"""Beside any of these: a signature is behind everything else, see ``signing``."""
KEY_ID_BYTES, MAC_BYTES = 4, 16
SIGNATURE_BYTES = KEY_ID_BYTES + MAC_BYTES

_LEVEL = 1
_SAMPLED_FROM = 256 * 1024
_SAMPLES = 8
_SAMPLE_BYTES = 1024
_SHRUNK = 0.97
CHEAP_COPY_BYTES = 4095
"""A shorter envelope is faster copied than looked into."""
PLAIN_HEAD = bytes([VERSION << 4 | PLAIN])
_ZLIB_HEAD = bytes([VERSION << 4 | ZLIB])
_SIGNED_HEADS = tuple(VERSION << 4 | SIGNED | form for form in (PLAIN, ZLIB, REFERRING, REFERRING | ZLIB))
_REFERRING_HEADS = tuple(VERSION << 4 | REFERRING | form for form in (PLAIN, ZLIB, SIGNED, SIGNED | ZLIB))
_COUNT = struct.Struct(">I")
_ROW = struct.Struct(">16sI")


class Reference(NamedTuple):
    """A row of the table: hash of a blob and its size in bytes, before compression."""

    hash: bytes
    size: int


def seal(body: bytes, limits: Limits) -> bytes:
    """Put the body into an envelope, compressed where that is worth it."""
    if len(body) > limits.compress_from and _seems_to_shrink(body):
        packed = zlib.compress(body, _LEVEL)
        if len(packed) < len(body):
            return _ZLIB_HEAD + packed
    return PLAIN_HEAD + body


def _seems_to_shrink(body: bytes) -> bool:
    """Try a sample of what is long: of bytes that do not shrink, all else would be time lost at every hop."""
    if len(body) < _SAMPLED_FROM:
        return True
    step = len(body) // _SAMPLES
    sample = b"".join(body[at : at + _SAMPLE_BYTES] for at in range(0, step * _SAMPLES, step))
    return len(zlib.compress(sample, _LEVEL)) < len(sample) * _SHRUNK


def seal_referring(body: bytes, blobs: Sequence[Blob], limits: Limits) -> bytes:
    """Put a body that refers to blobs into an envelope."""
    plain = seal(body, limits)
    rows = b"".join(_ROW.pack(blob.hash, blob.size) for blob in blobs)
    return b"".join((bytes([plain[0] | REFERRING]), _COUNT.pack(len(blobs)), rows, plain[1:]))


def refers(data: bytes) -> bool:
    """Whether these bytes say that they need blobs."""
    return data != b"" and data[0] in _REFERRING_HEADS


def references(data: bytes) -> tuple[Reference, ...]:
    """The blobs that an encoded event needs; none of bytes that are no such event."""
    if not refers(data):
        return ()
    try:
        table = data[1 + _COUNT.size : _end_of_table(data)]
    except ValueError:
        return ()
    return tuple(Reference(*row) for row in _ROW.iter_unpack(table))


def is_signed(data: bytes) -> bool:
    """Whether a signature, which may be anything, is behind a payload."""
    return data != b"" and data[0] in _SIGNED_HEADS and len(data) > SIGNATURE_BYTES


def unsigned(data: bytes) -> bytes:
    """A payload without its signature, if it has one; nobody looks at that."""
    return bytes([data[0] & ~SIGNED]) + data[1:-SIGNATURE_BYTES] if is_signed(data) else data


def unseal(data: bytes, limits: Limits) -> bytes | memoryview:
    """Take the body out; it is never longer than the limit, whatever the bytes claim.

    Raises:
        ValueError: no envelope of this version, or too long.
        zlib.error: the compressed body is damaged.
    """
    if not data:
        raise ValueError("there are no bytes")
    if len(data) > limits.max_bytes:
        raise ValueError(f"{len(data):,} bytes are over the limit of {limits.max_bytes:,}")
    version, form = data[0] >> 4, data[0] & 0x0F
    if version != VERSION:
        raise ValueError(f"it is of version {version} of the wire, and this process reads version {VERSION}")
    if form == PLAIN:
        return data[1:] if len(data) <= CHEAP_COPY_BYTES else memoryview(data)[1:]
    if form == ZLIB:
        return _inflated(memoryview(data)[1:], limits.max_bytes - 1)
    if form == REFERRING:
        return memoryview(data)[_end_of_table(data) :]
    if form == REFERRING | ZLIB:
        return _inflated(memoryview(data)[_end_of_table(data) :], limits.max_bytes - 1)
    if form & SIGNED:
        raise ValueError("it is signed, and this process has no BROKER_WF_SIGNING_KEY")
    raise ValueError(f"unknown form {form}")


def _end_of_table(data: bytes) -> int:
    start = 1 + _COUNT.size
    if len(data) < start:
        raise ValueError("the table of its blobs is not whole")
    end = start + _COUNT.unpack_from(data, 1)[0] * _ROW.size
    if len(data) < end:
        raise ValueError("the table of its blobs is not whole")
    return end


def _inflated(data: memoryview, max_bytes: int) -> bytes:
    stream = zlib.decompressobj()
    body = stream.decompress(data, max_bytes + 1)
    if len(body) > max_bytes:
        raise ValueError(f"it is over the limit of {max_bytes + 1:,} bytes when decompressed")
    if not stream.eof or stream.unused_data:
        raise ValueError("the compressed body is not whole")
    return body
