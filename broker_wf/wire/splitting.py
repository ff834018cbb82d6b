"""Taking the large parts out of an event's tree, and putting them back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from msgpack import ExtType

from broker_wf.wire.blobs import Blob, BlobCache
from broker_wf.wire.envelope import Reference, seal
from broker_wf.wire.limits import Limits
from broker_wf.wire.parts import ADDITIONAL, BLOB, CUSTOM, DYNAMIC, RESULT

_HASH_BYTES = 16
_ROW_BYTES = 4
_REFERENCE_BYTES = 6
"""Of a reference in the body: an extension type of four bytes."""
_NAMED_EXTRAS = (DYNAMIC, ADDITIONAL, CUSTOM)
_SMALL = frozenset({int, float, bool, type(None)})
_LONGEST_HEAD_BYTES = 5


class Away:
    """Stands in a tree where a part was taken out.

    Raises:
        ValueError: the bytes are no row of a table.
    """

    __slots__ = ("row",)

    def __init__(self, data: bytes) -> None:
        if len(data) != _ROW_BYTES:
            raise ValueError("a reference has four bytes")
        self.row = int.from_bytes(data, "big")


class MissingBlobError(ValueError):
    """A part of an event was taken out, and its blob is not there any more."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(f"its {name!r} is kept apart, in a blob of {size:,} bytes, and that is not there any more")


class Part(NamedTuple):
    """A field, undeclared value or result: where it is in the tree, and its name."""

    holder: dict[object, object]
    key: object
    name: str

    @property
    def value(self) -> object:
        """What stands there."""
        return self.holder[self.key]


class Split(NamedTuple):
    """A tree without its large parts.

    Attributes:
        away_bytes: by which the body of the whole tree is longer.
    """

    tree: object
    blobs: tuple[Blob, ...]
    away_bytes: int


def parts_of(tree: object) -> Iterator[Part]:
    """The parts of an event's tree; of any other tree none."""
    items = cast("list[object]", tree) if type(tree) is list else []
    if len(items) > 1:
        yield from _named(items[1])
    if len(items) > 2:
        yield from _parts_beside(items[2])


def _parts_beside(extras: object) -> Iterator[Part]:
    """The parts that stand beside the fields."""
    if type(extras) is dict:
        by_code = cast("dict[object, object]", extras)
        for code in _NAMED_EXTRAS:
            yield from _named(by_code.get(code))
        if RESULT in by_code:
            yield Part(by_code, RESULT, "result")


def _named(holder: object) -> Iterator[Part]:
    if type(holder) is dict:
        values = cast("dict[object, object]", holder)
        yield from [Part(values, name, str(name)) for name in values]


def has_known_part(tree: object, known: Mapping[int, bytes]) -> bool:
    """Whether a part of an event's tree is the value of a blob that was met before, going by its id."""
    items = cast("list[dict[object, object]]", tree)
    if not known.keys().isdisjoint(map(id, items[1].values())):
        return True
    return len(items) > 2 and any(id(part.value) in known for part in _parts_beside(items[2]))


def split(tree: object, pack: Callable[[object], bytes], limits: Limits, cache: BlobCache) -> Split:
    """Take out the parts whose own encoding is longer than ``limits.blob_from``. The tree given stays as it is."""
    reduced = _copied(tree)
    rows: dict[bytes, int] = {}
    blobs: list[Blob] = []
    away_bytes = 0
    for part in parts_of(reduced):
        blob = _blob_of(part.value, pack, limits, cache)
        if blob is None:
            continue
        if blob.hash not in rows:
            rows[blob.hash] = len(blobs)
            blobs.append(blob)
        part.holder[part.key] = ExtType(BLOB, rows[blob.hash].to_bytes(_ROW_BYTES, "big"))
        away_bytes += blob.size - _REFERENCE_BYTES
    return Split(reduced, tuple(blobs), away_bytes)


def put_back(tree: object, rows: Sequence[Reference], value_of: Callable[[Reference], object], max_bytes: int) -> None:
    """Put the parts back into a tree; ``max_bytes`` is what all of them may have together.

    Raises:
        MissingBlobError: ``value_of`` gave None for a part.
        ValueError: they are too large, or the tree refers to a row that is not there.
    """
    for part in parts_of(tree):
        away = part.value
        if type(away) is not Away:
            continue
        if away.row >= len(rows):
            raise ValueError(f"{part.name!r} refers to a blob that its table does not name")
        row = rows[away.row]
        max_bytes -= row.size - _REFERENCE_BYTES
        if max_bytes < 0:
            raise ValueError("it is over the limit of bytes with its blobs")
        value = value_of(row)
        if value is None:
            raise MissingBlobError(part.name, row.size)
        part.holder[part.key] = value


def hash_of(body: bytes | memoryview) -> bytes:
    """What a blob is known by: the hash of its content before compression."""
    return hashlib.sha256(body).digest()[:_HASH_BYTES]


def _copied(tree: object) -> object:
    """Copy what holds the parts of an event, and nothing else."""
    tag, fields, *extras = cast("list[object]", tree)
    copies: list[object] = [tag, dict(cast("dict[object, object]", fields))]
    for by_code in cast("list[dict[object, object]]", extras):
        copies.append(
            {c: dict(cast("dict[object, object]", v)) if c in _NAMED_EXTRAS else v for c, v in by_code.items()}
        )
    return copies


def _blob_of(value: object, pack: Callable[[object], bytes], limits: Limits, cache: BlobCache) -> Blob | None:
    """The blob of a part; None if it is not large enough."""
    kind = type(value)
    known = cache.blob_of(value)
    if known is not None and known.size > limits.blob_from:
        return known
    if kind in _SMALL or (isinstance(value, str | bytes) and 4 * len(value) + _LONGEST_HEAD_BYTES <= limits.blob_from):
        return None
    packed = pack(value)
    if len(packed) <= limits.blob_from:
        return None
    hash_ = hash_of(packed)
    kept = cache.find(hash_)
    blob = kept.blob if kept else Blob(hash=hash_, size=len(packed), sealed=seal(packed, limits))
    if isinstance(value, str | bytes):
        cache.keep(blob, value)
    elif kept is None:
        cache.keep(blob, None)
    return blob
