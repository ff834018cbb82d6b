"""The first byte of every encoded value: the wire's version in the high half, the form in the low."""

from __future__ import annotations

import zlib

from broker_wf.wire.limits import Limits

VERSION = 1
PLAIN = 0
ZLIB = 1
"""Forms 2 … 15 are reserved."""

_LEVEL = 1
_CHEAP_COPY_BYTES = 4096
_PLAIN_HEAD = bytes([VERSION << 4 | PLAIN])
_ZLIB_HEAD = bytes([VERSION << 4 | ZLIB])


def seal(body: bytes, limits: Limits) -> bytes:
    """Put the body into an envelope, compressed where that is worth it."""
    if len(body) > limits.compress_from:
        packed = zlib.compress(body, _LEVEL)
        if len(packed) < len(body):
            return _ZLIB_HEAD + packed
    return _PLAIN_HEAD + body


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
        return data[1:] if len(data) < _CHEAP_COPY_BYTES else memoryview(data)[1:]
    if form == ZLIB:
        return _inflated(memoryview(data)[1:], limits.max_bytes - 1)
    raise ValueError(f"unknown form {form}")


def _inflated(data: memoryview, max_bytes: int) -> bytes:
    stream = zlib.decompressobj()
    body = stream.decompress(data, max_bytes + 1)
    if len(body) > max_bytes:
        raise ValueError(f"it is over the limit of {max_bytes + 1:,} bytes when decompressed")
    if not stream.eof or stream.unused_data:
        raise ValueError("the compressed body is not whole")
    return body
