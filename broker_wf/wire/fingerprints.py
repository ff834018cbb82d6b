"""Hashes of plain values: two values have the same if and only if they are equal in Python."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from enum import Enum
from typing import cast

from broker_wf.events import Event
from broker_wf.wire.foreign import ForeignError, called

UNKNOWN = b""
"""In place of a hash: only Python can say what this value equals."""


def fingerprints(event: Event, fields: Iterable[str]) -> dict[str, bytes]:
    """The hashes of an event's fields; that of None for a field it does not have."""
    return {name: _of_field(event, name) for name in fields}


def fingerprint(value: object) -> bytes:
    """The hash of None, a bool, number, text, bytes, or a list, tuple or dict of such; else ``UNKNOWN``."""
    try:
        plain = repr(_plain(value))
    except (_NotPlainError, RecursionError):
        return UNKNOWN
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=12).digest()


class _NotPlainError(Exception):
    pass


def _of_field(event: Event, name: str) -> bytes:
    try:
        return fingerprint(called(getattr, event, name, None))
    except ForeignError:
        return UNKNOWN  # It raises again where the step looks.


def _plain(value: object) -> object:
    """Nested tuples of builtins, the same for equal values: 1, 1.0 and True are one number."""
    if value is None:
        return None
    if isinstance(value, int) and (type(value) in (bool, int) or isinstance(value, Enum)):
        return int.__index__(value)
    if type(value) is float:
        return _number(value)
    if type(value) is str or (isinstance(value, str) and isinstance(value, Enum)):
        return str.__str__(value)
    if type(value) is bytes:
        return value
    return _container(value)


def _number(value: float) -> int | float:
    if math.isnan(value):
        raise _NotPlainError
    return int(value) if math.isfinite(value) and value.is_integer() else value


def _container(value: object) -> object:
    if type(value) is list:
        return ("list", *map(_plain, cast("list[object]", value)))
    if type(value) is tuple:
        return ("tuple", *map(_plain, cast("tuple[object, ...]", value)))
    if type(value) is dict:
        pairs = cast("dict[object, object]", value).items()
        return ("dict", *sorted((repr(_plain(key)), repr(_plain(one))) for key, one in pairs))
    raise _NotPlainError
