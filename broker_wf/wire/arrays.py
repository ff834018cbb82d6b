"""numpy arrays and scalars, if numpy is there; it is never needed otherwise."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Protocol, cast

import msgpack
from msgpack import ExtType

from broker_wf.wire.refusal import RefusedError

ARRAY = 32
ARRAY_SCALAR = 33

_NAME = "numpy"


class _DType(Protocol):
    hasobject: bool
    itemsize: int
    fields: object
    str: str
    descr: object


class _Array(Protocol):
    dtype: _DType
    shape: tuple[int, ...]

    def tobytes(self) -> bytes: ...
    def reshape(self, shape: tuple[int, ...]) -> _Array: ...
    def copy(self) -> _Array: ...
    def __getitem__(self, index: tuple[()]) -> object: ...


class _Numpy(Protocol):
    """The part of numpy that is used; it need not be installed for this file to be checked."""

    ndarray: type
    generic: type

    def asarray(self, value: object) -> _Array: ...
    def dtype(self, description: object) -> _DType: ...
    def frombuffer(self, data: bytes, dtype: _DType) -> _Array: ...


def write_array(value: object) -> ExtType | None:
    """Write an array or scalar of numpy; None if the value is neither.

    Raises:
        RefusedError: an array of Python objects, or of a dtype without a size.
    """
    module = sys.modules.get(_NAME)
    if module is None:
        return None
    numpy = cast("_Numpy", module)
    is_array = type(value) is numpy.ndarray
    if not is_array and not isinstance(value, numpy.generic):
        return None
    array = numpy.asarray(value)
    if array.dtype.hasobject:
        raise RefusedError(value, "an array of Python objects has no encoding; give it a numeric or text dtype")
    if not array.dtype.itemsize:
        raise RefusedError(value, "an array whose items have no bytes has no encoding")
    description = array.dtype.str if array.dtype.fields is None else array.dtype.descr
    if numpy.dtype(_with_tuples(description)) != array.dtype:
        raise RefusedError(value, f"an array of dtype {array.dtype} has no encoding")
    body = msgpack.packb([description, list(array.shape), array.tobytes()])
    return ExtType(ARRAY if is_array else ARRAY_SCALAR, body)


def read_array(data: bytes) -> object:
    """Read an array; it owns its memory and may be written to.

    Raises:
        ValueError: the bytes are no array, or numpy is not installed here.
    """
    array = _read(data)
    return array.copy()


def read_array_scalar(data: bytes) -> object:
    """Read a scalar of numpy.

    Raises:
        ValueError: the bytes are no scalar, or numpy is not installed here.
    """
    return _read(data)[()]


def _read(data: bytes) -> _Array:
    numpy = cast("_Numpy", _installed_numpy())
    description, shape, raw = cast("tuple[object, list[int], bytes]", msgpack.unpackb(data))
    return numpy.frombuffer(raw, numpy.dtype(_with_tuples(description))).reshape(tuple(shape))


def _with_tuples(description: object) -> object:
    """Give a structured dtype's description the tuples that numpy wants and msgpack does not keep."""
    if isinstance(description, str):
        return description
    rows = cast("list[list[object]]", description)
    return [
        (name, _with_tuples(kind), *(tuple(cast("list[int]", shape)) for shape in rest)) for name, kind, *rest in rows
    ]


def _installed_numpy() -> object:
    """Load numpy: a fixed name, so nothing on the wire chooses what is imported.

    Raises:
        ValueError: it is not installed here.
    """
    if _NAME not in sys.modules and importlib.util.find_spec(_NAME) is None:
        raise ValueError("it holds a numpy array, and numpy is not installed here")
    return importlib.import_module(_NAME)
