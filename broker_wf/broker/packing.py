"""msgpack as Lua's cmsgpack speaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgpack


def pack(value: object) -> bytes:
    """For Lua's cmsgpack, which knows no separate type for bytes."""
    return msgpack.packb(value, use_bin_type=False)  # pyright: ignore[reportReturnType]


def pack_parts(parts: Sequence[bytes]) -> bytes:
    """A list of what is packed already."""
    return b"".join((msgpack.Packer().pack_array_header(len(parts)), *parts))  # pyright: ignore[reportReturnType]


def unpack(raw: bytes) -> object:
    """From Lua's cmsgpack: strings come as bytes, an empty map may come as an empty list."""
    return msgpack.unpackb(raw, raw=True, strict_map_key=False)


def unpack_text(raw: bytes) -> dict[str, object]:
    """A map packed by Python whose strings are all text, as text again."""
    return msgpack.unpackb(raw, raw=False, strict_map_key=False, unicode_errors="replace")


def message_of(raw: bytes) -> dict[str, bytes]:
    """A message of an inbox: names and bytes. Empty for what is none, which anybody may have written there."""
    try:
        found = unpack(raw)
    except (ValueError, TypeError, msgpack.UnpackException):  # TypeError: a map whose key is a list
        return {}
    pairs = cast("Mapping[object, object]", found).items() if isinstance(found, dict) else ()
    return {
        name.decode("utf-8", "replace"): value
        for name, value in pairs
        if isinstance(name, bytes) and isinstance(value, bytes)
    }
