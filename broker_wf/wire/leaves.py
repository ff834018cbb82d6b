"""Values without parts, and the msgpack extension type of each kind.

The numbers are the protocol: one may be added, none may change its meaning.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from msgpack import ExtType

from broker_wf.wire.refusal import RefusedError

BIG_INT = 1
DATETIME = 2
DATE = 3
TIME = 4
TIMEDELTA = 5
ZONE = 6
UUID_ = 7
DECIMAL = 8
COMPLEX = 9
PATH = 10
BYTEARRAY = 11
RANGE = 12

SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
"""What msgpack carries by itself. An int beyond 64 bits is a BIG_INT; the packer asks for it."""

_DATETIME = struct.Struct(">HBBBBBIB")
_DATE = struct.Struct(">HBB")
_TIME = struct.Struct(">BBBIB")
_TIMEDELTA = struct.Struct(">iii")
_OFFSET = struct.Struct(">q")
_COMPLEX = struct.Struct(">dd")
_MICROSECOND = timedelta(microseconds=1)

L = TypeVar("L")
LeafWriter = Callable[[object], ExtType]
LeafReader = Callable[[bytes], object]


def write_int(value: object) -> ExtType:
    """Write an int of any size; the packer's ``default``, which it asks for nothing else.

    Raises:
        TypeError: it is not an int.
    """
    if not isinstance(value, int):
        raise TypeError(f"no encoding for {type(value).__name__}")
    return ExtType(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _read_int(data: bytes) -> object:
    return int.from_bytes(data, "big", signed=True)


def _zone_bytes(zone: tzinfo | None, offset: timedelta | None) -> bytes:
    """Nothing for a naive time, ``Z`` for UTC, ``K<key>`` for a named zone, ``+<microseconds>`` else."""
    if zone is None:
        return b""
    if zone is timezone.utc:
        return b"Z"
    if type(zone) is ZoneInfo and cast("str | None", zone.key) is not None:
        return b"K" + zone.key.encode()
    if offset is None:
        raise RefusedError(zone, "the time zone has neither a name nor a fixed offset")
    return b"+" + _OFFSET.pack(offset // _MICROSECOND)


def _zone_of(data: bytes) -> tzinfo | None:
    if not data:
        return None
    match data[:1]:
        case b"Z":
            return timezone.utc
        case b"K":
            return ZoneInfo(data[1:].decode())
        case b"+":
            return timezone(timedelta(microseconds=_OFFSET.unpack(data[1:])[0]))
        case _:
            raise ValueError("unknown kind of time zone")


def _write_datetime(t: datetime) -> ExtType:
    head = _DATETIME.pack(t.year, t.month, t.day, t.hour, t.minute, t.second, t.microsecond, t.fold)
    return ExtType(DATETIME, head + _zone_bytes(t.tzinfo, t.utcoffset()) if t.tzinfo else head)


def _read_datetime(data: bytes) -> datetime:
    year, month, day, hour, minute, second, microsecond, fold = _DATETIME.unpack_from(data)
    zone = _zone_of(data[_DATETIME.size :])
    return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _write_date(d: date) -> ExtType:
    return ExtType(DATE, _DATE.pack(d.year, d.month, d.day))


def _read_date(data: bytes) -> date:
    return date(*_DATE.unpack(data))


def _write_time(t: time) -> ExtType:
    head = _TIME.pack(t.hour, t.minute, t.second, t.microsecond, t.fold)
    return ExtType(TIME, head + _zone_bytes(t.tzinfo, t.utcoffset()))


def _read_time(data: bytes) -> time:
    hour, minute, second, microsecond, fold = _TIME.unpack_from(data)
    return time(hour, minute, second, microsecond, _zone_of(data[_TIME.size :]), fold=fold)


def _write_timedelta(d: timedelta) -> ExtType:
    return ExtType(TIMEDELTA, _TIMEDELTA.pack(d.days, d.seconds, d.microseconds))


def _read_timedelta(data: bytes) -> timedelta:
    days, seconds, microseconds = _TIMEDELTA.unpack(data)
    return timedelta(days, seconds, microseconds)


def _write_zone(zone: tzinfo) -> ExtType:
    return ExtType(ZONE, _zone_bytes(zone, zone.utcoffset(None)))


def _write_uuid(value: UUID) -> ExtType:
    return ExtType(UUID_, value.bytes)


def _read_uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


def _write_decimal(value: Decimal) -> ExtType:
    return ExtType(DECIMAL, str(value).encode())


def _read_decimal(data: bytes) -> Decimal:
    return Decimal(data.decode("ascii"))


def _write_complex(value: complex) -> ExtType:
    return ExtType(COMPLEX, _COMPLEX.pack(value.real, value.imag))


def _read_complex(data: bytes) -> complex:
    return complex(*_COMPLEX.unpack(data))


def _write_path(value: PurePath) -> ExtType:
    kind = b"P" if isinstance(value, Path) else b"W" if isinstance(value, PureWindowsPath) else b"X"
    return ExtType(PATH, kind + str(value).encode("utf-8", "surrogatepass"))


def _read_path(data: bytes) -> PurePath:
    kinds: dict[bytes, type[PurePath]] = {b"P": Path, b"W": PureWindowsPath, b"X": PurePosixPath}
    return kinds[data[:1]](data[1:].decode("utf-8", "surrogatepass"))


def _write_bytearray(value: bytearray) -> ExtType:
    return ExtType(BYTEARRAY, bytes(value))


def _write_range(value: range) -> ExtType:
    return ExtType(RANGE, f"{value.start},{value.stop},{value.step}".encode())


def _read_range(data: bytes) -> range:
    start, stop, step = data.decode("ascii").split(",")
    return range(int(start), int(stop), int(step))


def _writers() -> dict[type, LeafWriter]:
    table: dict[type, LeafWriter] = {}

    def add(cls: type[L], write: Callable[[L], ExtType]) -> None:
        table[cls] = cast("LeafWriter", write)

    add(datetime, _write_datetime)
    add(date, _write_date)
    add(time, _write_time)
    add(timedelta, _write_timedelta)
    for zone in (timezone, ZoneInfo):
        add(zone, _write_zone)
    add(UUID, _write_uuid)
    add(Decimal, _write_decimal)
    add(complex, _write_complex)
    for path in (type(Path()), PurePosixPath, PureWindowsPath):
        add(path, _write_path)
    add(bytearray, _write_bytearray)
    add(range, _write_range)
    return table


LEAF_WRITERS = _writers()
"""By exact class: a subclass is another class, and says more than its base can carry."""

LEAF_READERS: dict[int, LeafReader] = {
    BIG_INT: _read_int,
    DATETIME: _read_datetime,
    DATE: _read_date,
    TIME: _read_time,
    TIMEDELTA: _read_timedelta,
    ZONE: _zone_of,
    UUID_: _read_uuid,
    DECIMAL: _read_decimal,
    COMPLEX: _read_complex,
    PATH: _read_path,
    BYTEARRAY: bytearray,
    RANGE: _read_range,
}
"""By extension code. They raise ValueError, LookupError, ArithmeticError or struct.error for bad bytes."""
