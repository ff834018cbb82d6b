"""Encoded values to plain JSON data without knowing any class: for people, who have no registry at hand.

An instance becomes ``{"type": name, "value": fields}``, a part that is kept apart ``{"blob": hash, "bytes": size}``.
What JSON has no form for becomes text.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import cast

import msgpack

from broker_wf.errors import DecodeError
from broker_wf.wire.arrays import ARRAY, ARRAY_SCALAR
from broker_wf.wire.blobs import NOTHING_FETCHED, Fetched
from broker_wf.wire.containers import CODES, ERROR, PAIR_CODES
from broker_wf.wire.decoder import read_field
from broker_wf.wire.envelope import Reference, references, unseal, unsigned
from broker_wf.wire.leaves import LEAF_READERS
from broker_wf.wire.limits import Limits
from broker_wf.wire.parts import ADDITIONAL, BLOB, CLASS, CUSTOM, DYNAMIC, FIELD, RESULT, TYPE

_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
    msgpack.UnpackException,
)
_SECRET = "pydantic.types.Secret"
_HIDDEN = "**********"
_PLAIN_STOP = "StopEvent"


class _ClassMark:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Mark:
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


def plain_value(data: bytes, blobs: Fetched = NOTHING_FETCHED) -> object:
    """What the codec wrote, as plain data; a part that is kept apart and not in ``blobs`` as a note of its size.

    A signature is not looked at: who looks on has no key.

    Raises:
        DecodeError: the bytes are malformed, or of another version of the wire.
    """
    try:
        return _plain(_Reader(references(data), blobs).tree(unseal(unsigned(data), Limits())))
    except _MALFORMED as error:
        raise DecodeError("a value", f"{type(error).__name__}: {error}") from error


def plain_or_reason(data: bytes, blobs: Fetched = NOTHING_FETCHED) -> object:
    """As :func:`plain_value`; for bytes that cannot be read their number and why."""
    try:
        return plain_value(data, blobs)
    except DecodeError as error:
        return {"bytes": len(data), "undecodable": error.reason}


def plain_event(data: bytes, name: str, blobs: Fetched = NOTHING_FETCHED) -> tuple[str, object]:
    """An event's class name and fields; ``name`` stands in where the bytes cannot be read."""
    found = plain_or_reason(data, blobs)
    if isinstance(found, dict):
        instance = cast("dict[str, object]", found)
        if instance.keys() == {"type", "value"}:
            return cast(str, instance["type"]), instance["value"]
        return name, instance
    return name, found


def plain_result(data: bytes, blobs: Fetched = NOTHING_FETCHED) -> tuple[str, object]:
    """A stop event's class name and result: bare for a plain StopEvent, else its fields."""
    name, value = plain_event(data, _PLAIN_STOP, blobs)
    if name != _PLAIN_STOP or not isinstance(value, dict):
        return name, value
    fields = cast("dict[str, object]", value)
    return name, fields if "undecodable" in fields else fields.get("result")


class _Reader:
    """Reads trees that may refer to blobs."""

    def __init__(self, rows: Sequence[Reference], blobs: Fetched) -> None:
        self._rows, self._blobs = rows, blobs

    def tree(self, body: bytes | memoryview) -> object:
        return cast(
            "object",
            msgpack.unpackb(body, strict_map_key=False, unicode_errors="surrogatepass", ext_hook=self._extension),
        )

    def _extension(self, code: int, data: bytes) -> object:
        if code == CLASS:
            return _ClassMark(data.decode())
        if code == TYPE:
            return data.decode()
        if code in CODES:
            return _Mark(code)
        if code in (ARRAY, ARRAY_SCALAR):
            return _ArrayNote(data)
        if code == FIELD:
            return read_field(data)[2]
        if code == BLOB:
            return self._part(self._rows[int.from_bytes(data, "big")])
        read = LEAF_READERS.get(code)
        if read is None:
            raise ValueError(f"unknown extension type {code}")
        return read(data)

    def _part(self, row: Reference) -> object:
        sealed = self._blobs.sealed.get(row.hash)
        if sealed is None:
            return {"blob": row.hash.hex(), "bytes": row.size}
        return self.tree(unseal(sealed, Limits()))


class _ArrayNote:
    """Kind and shape of an array; its numbers are not for reading."""

    __slots__ = ("shown",)

    def __init__(self, data: bytes) -> None:
        kind, shape, raw = cast("tuple[object, list[int], bytes]", msgpack.unpackb(data))
        self.shown = {"type": "numpy.ndarray", "value": {"dtype": kind, "shape": shape, "bytes": len(raw)}}


def _plain(tree: object) -> object:
    match tree:
        case None | bool() | int() | str():
            return tree
        case float():
            return tree if math.isfinite(tree) else str(tree)
        case list():
            return _listed(cast("list[object]", tree))
        case dict():
            return {_key(key): _plain(value) for key, value in cast("dict[object, object]", tree).items()}
        case _:
            return _leaf(tree)


def _leaf(value: object) -> object:
    match value:
        case bytes() | bytearray():
            return _text_or_base64(bytes(value))
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _ArrayNote():
            return value.shown
        case _ClassMark() | _Mark():
            raise ValueError("a mark where a value should be")
        case _:
            return str(value)


def _text_or_base64(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"type": "bytes", "value": base64.b64encode(data).decode()}


def _key(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "backslashreplace")
    return key if isinstance(key, str) else str(key)


def _listed(items: list[object]) -> object:
    head = items[0] if items else None
    if isinstance(head, _ClassMark):
        return _instance(head.name, items)
    if isinstance(head, _Mark):
        return _container(head.code, items[1:])
    return [_plain(item) for item in items]


def _instance(name: str, items: list[object]) -> object:
    if name.startswith(_SECRET):
        return {"type": name, "value": _HIDDEN}
    payload = items[1]
    if not isinstance(payload, dict):
        value = _plain(payload)
        only = cast("list[object]", value) if isinstance(value, list) else [value]
        return {"type": name, "value": only[0] if len(only) == 1 else only}
    fields = cast("dict[str, object]", _plain(cast("dict[object, object]", payload)))
    if len(items) > 2:
        extras = cast("dict[int, object]", items[2])
        for code in (DYNAMIC, ADDITIONAL, CUSTOM):
            fields.update(cast("dict[str, object]", _plain(extras.get(code, {}))))
        if RESULT in extras:
            fields["result"] = _plain(extras[RESULT])
    return {"type": name, "value": fields}


def _container(code: int, items: list[object]) -> object:
    if code == ERROR:
        record = cast("dict[str, object]", _plain(items[0]))
        return {"type": record.get("type"), "value": {k: v for k, v in record.items() if k != "type"}}
    if code in PAIR_CODES:
        return _pairs(zip(items[::2], items[1::2], strict=True))
    return [_plain(item) for item in items]


def _pairs(pairs: Iterable[tuple[object, object]]) -> object:
    made = [(_plain(key), _plain(value)) for key, value in pairs]
    if all(isinstance(key, str | int | float | None) for key, _ in made):
        return {_key(key): value for key, value in made}
    return [[key, value] for key, value in made]
