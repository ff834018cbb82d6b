"""How large a value may be on the wire."""

from __future__ import annotations

from dataclasses import dataclass

_KIB = 1024
_MIB = 1024 * _KIB
_DEEPEST = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one encoded value. A value exactly at a bound passes.

    Attributes:
        max_bytes: of the encoded value, before compression, its header byte included.
        max_depth: containers (lists, dicts, models …) within each other; 1 … 128.
        max_keys: of one dict, and of the undeclared values of one event.
        compress_from: longer bodies are compressed, if that makes them smaller.
        blob_from: a field, undeclared value or result of an event whose own encoding is longer, before compression,
            travels apart, as a blob.
    """

    max_bytes: int = 32 * _MIB
    max_depth: int = 64
    max_keys: int = 10_000
    compress_from: int = 64 * _KIB
    blob_from: int = 256 * _KIB

    def __post_init__(self) -> None:
        if not 1 <= self.max_depth <= _DEEPEST:
            raise ValueError(f"max_depth must be 1 … {_DEEPEST}, not {self.max_depth}")
        if self.max_bytes < 1 or self.max_keys < 1 or self.compress_from < 0 or self.blob_from < 1:
            raise ValueError("max_bytes, max_keys and blob_from must be positive, compress_from not negative")
