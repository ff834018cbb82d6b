"""numpy arrays, where numpy is installed, and what is said where it is not."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import msgpack
import pytest
from msgpack import ExtType

from broker_wf.errors import DecodeError, EncodeError
from broker_wf.wire import arrays
from tests.unit.wire.samples import CODEC, again, dynamic, value_again


@pytest.fixture
def np() -> Any:
    return importlib.import_module("numpy")


KINDS = [
    ("arange(6).reshape(2, 3)", None),
    ("zeros((0, 3), dtype='float32')", None),
    ("array(1.5)", None),
    ("array(['a', 'bcd'])", None),
    ("array(['2024-01-01'], dtype='datetime64[ns]')", None),
    ("asfortranarray(arange(6).reshape(2, 3))", None),
    ("array([(1, (2.0, [3, 4]))], dtype=[('a', '<i4'), ('b', [('c', '<f8'), ('d', '<i2', (2,))])])", None),
]


@pytest.mark.parametrize("text", [text for text, _ in KINDS])
def test_an_array_keeps_dtype_shape_and_content(np: Any, text: str) -> None:
    array = eval(f"np.{text}", {"np": np, "arange": np.arange})
    received = again(dynamic(array=array)).array
    assert (received.dtype, received.shape) == (array.dtype, array.shape)
    assert received.tobytes() == array.tobytes()
    assert received.flags.writeable


def test_a_scalar_keeps_its_class(np: Any) -> None:
    for value in (np.float64(1.5), np.int8(3), np.bool_(True), np.datetime64("2024-01-01")):
        received = value_again([value])[0]
        assert (type(received), received) == (type(value), value)


def test_arrays_of_objects_and_of_nothing_are_refused(np: Any) -> None:
    with pytest.raises(EncodeError, match=r"Event.a of type numpy.ndarray .*array of Python objects"):
        CODEC.encode_event(dynamic(a=np.array([object()])))
    with pytest.raises(EncodeError, match="whose items have no bytes"):
        CODEC.encode_event(dynamic(a=np.zeros(2, dtype="V0")))


def test_a_dtype_that_its_description_does_not_tell_is_refused(np: Any) -> None:
    aligned = np.dtype([("a", "i1"), ("b", "i8")], align=True)
    with pytest.raises(EncodeError, match="an array of dtype"):
        CODEC.encode_event(dynamic(a=np.zeros(1, dtype=aligned)))


def test_a_subclass_of_an_array_is_refused(np: Any) -> None:
    with pytest.raises(EncodeError, match="no encoding for this class"):
        CODEC.encode_event(dynamic(a=np.ma.masked_array([1])))


def packed(*parts: object) -> bytes:
    body: bytes = msgpack.packb(ExtType(arrays.ARRAY, msgpack.packb(parts)))
    return b"\x10" + body


@pytest.mark.parametrize(
    "parts",
    [
        ("<i4", [2], b"\0" * 4),
        ("O", [1], b"\0" * 8),
        ("nonsense", [1], b""),
        ("<i4", [1]),
        (1, 2, 3),
        ([[1]], [1], b""),
    ],
)
def test_bytes_that_are_no_array_are_a_decode_error(np: Any, parts: tuple[object, ...]) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode_value(packed(*parts))


def test_an_array_where_numpy_is_not_installed_is_a_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DecodeError, match="numpy is not installed here"):
        CODEC.decode_value(packed("<i4", [1], b"\0" * 4))


def test_a_value_is_not_taken_for_an_array_where_numpy_was_never_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    with pytest.raises(EncodeError):
        CODEC.encode_value(object(), what="state")
