"""Large parts of events travel apart, as blobs: each is kept once per run, under the hash of its content."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_KEPT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A part of an event, encoded.

    Attributes:
        hash: of the encoded part before compression; 16 bytes.
        size: of the encoded part before compression, in bytes.
        sealed: the part in an envelope of its own.
    """

    hash: bytes
    size: int
    sealed: bytes


class Encoded(NamedTuple):
    """An encoded event. Whoever hands on the payload hands on the blobs, ahead of it.

    A tuple, for it is made once per event and costs less than half of a frozen dataclass.

    Attributes:
        payload: refers to the blobs by their hashes.
        blobs: each once; of most events none.
    """

    payload: bytes
    blobs: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """The blobs that some payloads refer to, at hand.

    Attributes:
        sealed: by hash; a blob that was not found is not in it.
        values: text and bytes among them, by hash: decoded once, however many payloads share them.
    """

    sealed: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    values: dict[bytes, str | bytes] = field(default_factory=dict[bytes, "str | bytes"])


NOTHING_FETCHED = Fetched()
"""For payloads that refer to nothing."""


class Kept(NamedTuple):
    """A blob that this process has met.

    Attributes:
        value: where that is text or bytes.
        bytes_held: memory it took when it was met; a text that is encoded later takes more.
    """

    blob: Blob
    value: str | bytes | None
    bytes_held: int


class BlobCache:
    """The blobs this process has met last, by hash and by the very object that is their value.

    So a text that was read and is sent on is neither encoded nor compressed nor fetched again. May be used by several
    threads at once.

    Attributes:
        values: hash by the id of a value, for a quick look whether there is anything to find.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self.values: dict[int, bytes] = {}
        self._guard = threading.Lock()

    def find(self, hash_: bytes) -> Kept | None:
        """The blob of a hash."""
        with self._guard:
            kept = self._kept.get(hash_)
            if kept is not None:
                self._kept.move_to_end(hash_)
            return kept

    def blob_of(self, value: object) -> Blob | None:
        """The blob whose value is this very object."""
        hash_ = self.values.get(id(value))
        kept = None if hash_ is None else self.find(hash_)
        return kept.blob if kept is not None and kept.value is value else None

    def keep(self, blob: Blob, value: str | bytes | None) -> None:
        """Remember a blob; those not met for the longest time make room."""
        kept = Kept(blob, value, len(blob.sealed) + (0 if value is None else sys.getsizeof(value)))
        with self._guard:
            self._drop(blob.hash)
            self._kept[blob.hash] = kept
            if value is not None:
                # The entry holds the object, so that its id stays its own.
                self.values[id(value)] = blob.hash
            self._bytes += kept.bytes_held
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))

    def _drop(self, hash_: bytes) -> None:
        kept = self._kept.pop(hash_, None)
        if kept is not None:
            self.values.pop(id(kept.value), None)
            self._bytes -= kept.bytes_held


process_blobs = BlobCache(_KEPT_BYTES)
"""What all codecs and connections of this process share: a hash means the same everywhere."""
