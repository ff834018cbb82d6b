"""Trees of what msgpack has back to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import msgpack

from broker_wf.wire import containers
from broker_wf.wire.arrays import ARRAY, ARRAY_SCALAR, read_array, read_array_scalar
from broker_wf.wire.leaves import LEAF_READERS
from broker_wf.wire.limits import Limits
from broker_wf.wire.model_plan import ModelPlan
from broker_wf.wire.parts import ADDITIONAL, BLOB, CLASS, CUSTOM, DYNAMIC, FIELD, TYPE, Extras, Fields
from broker_wf.wire.plans import PLANS, Plan
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.remote_errors import decode_error
from broker_wf.wire.splitting import Away

_NO_EXTRAS: Extras = {}
_CHECKED_FROM = 16 * 1024
_NAMED_EXTRAS = frozenset({DYNAMIC, ADDITIONAL, CUSTOM})


class _Mark:
    """First element of a list that stands for a container."""

    __slots__ = ("code", "data")

    def __init__(self, code: int, data: bytes) -> None:
        self.code, self.data = code, data


_UNFINISHED = frozenset({list, dict, _Mark, Away, msgpack.Timestamp, *PLANS})
"""Classes of what msgpack gives that is not a value yet."""


class Decoder:
    """Reads trees.

    All its methods raise ValueError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error or
    an exception of msgpack for bytes that the encoder did not write.
    """

    def __init__(self, registry: EventRegistry, limits: Limits) -> None:
        self._registry = registry
        self._max_depth = limits.max_depth
        self._max_keys = limits.max_keys
        readers: dict[int, Callable[[bytes], object]] = {
            **LEAF_READERS,
            ARRAY: read_array,
            ARRAY_SCALAR: read_array_scalar,
            TYPE: self._class,
            BLOB: Away,
            FIELD: self._field,
            CLASS: self._plan,
        }
        self._readers = readers
        self._unpack: Callable[[bytes | memoryview], object] = partial(
            msgpack.unpackb,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            ext_hook=self._extension,
            max_map_len=self._max_keys,
        )

    def value(self, body: bytes | memoryview) -> object:
        """Read one value; the body must hold nothing else."""
        if len(body) > _CHECKED_FROM:
            _check_lengths(body)
        return self._finished(self._unpack(body), 0)

    def tree(self, body: bytes | memoryview) -> object:
        """Read a tree that is to be finished."""
        if len(body) > _CHECKED_FROM:
            _check_lengths(body)
        return self._unpack(body)

    def finished(self, tree: object) -> object:
        """Make the value of a tree, and use the tree up."""
        return self._finished(tree, 0)

    def _extension(self, code: int, data: bytes) -> object:
        read = self._readers.get(code)
        if read is not None:
            return read(data)
        if code in containers.CODES:
            return _Mark(code, data)
        raise ValueError(f"unknown extension type {code}")

    def _plan(self, data: bytes) -> Plan:
        plan = self._registry.plan_named(data.decode())
        if plan is None:
            raise ValueError(f"the class {data.decode()!r} is not registered here")
        return plan

    def _class(self, data: bytes) -> type:
        return self._plan(data).cls

    def _field(self, data: bytes) -> object:
        name, field, written = cast("tuple[str, str, object]", read_field(data))
        plan = self._plan(name.encode())
        if not isinstance(plan, ModelPlan):
            raise TypeError(f"{name} has no fields with serializers of their own")
        return plan.load_custom(field, written)

    def _finished(self, tree: object, depth: int) -> object:
        kind = type(tree)
        if kind is list:
            return self._list(cast("list[object]", tree), depth)
        if kind is dict:
            return self._dict(cast("dict[object, object]", tree), depth)
        if kind in _UNFINISHED:
            raise ValueError("a mark where a value should be")
        return tree

    def _list(self, items: list[object], depth: int) -> object:
        if depth >= self._max_depth:
            raise ValueError(f"it is deeper than {self._max_depth} levels")
        head = items[0] if items else None
        if type(head) in PLANS:
            return self._instance(cast("Plan", head), items, depth + 1)
        if type(head) is _Mark:
            return self._container(head, items, depth + 1)
        if not _UNFINISHED.isdisjoint(map(type, items)):
            self._finish_items(items, depth + 1)
        return items

    def _finish_items(self, items: list[object], depth: int) -> None:
        for index, item in enumerate(items):
            if type(item) in _UNFINISHED:
                items[index] = self._finished(item, depth)

    def _dict(self, mapping: dict[object, object], depth: int) -> object:
        if depth >= self._max_depth:
            raise ValueError(f"it is deeper than {self._max_depth} levels")
        if not _UNFINISHED.isdisjoint(map(type, mapping)):
            raise ValueError("a mark as a key")
        self._finish_values(mapping, depth + 1)
        return mapping

    def _finish_values(self, mapping: dict[object, object], depth: int) -> None:
        for key, value in mapping.items():
            if type(value) in _UNFINISHED:
                mapping[key] = self._finished(value, depth)

    def _container(self, mark: _Mark, items: list[object], depth: int) -> object:
        del items[0]
        self._finish_items(items, depth)
        if mark.code == containers.ERROR:
            if len(items) != 1 or type(items[0]) is not dict:
                raise ValueError("not an exception")
            return decode_error(cast("Mapping[str, object]", items[0]), self._registry.errors)
        if mark.code in containers.PAIR_CODES and len(items) > 2 * self._max_keys:
            raise ValueError(f"it has more than {self._max_keys} keys")
        return containers.rebuild(mark.code, mark.data, items)

    def _instance(self, plan: Plan, items: list[object], depth: int) -> object:
        """Rebuild an instance; its fields and extras are part of it and no levels of their own."""
        if not 2 <= len(items) <= 3:
            raise ValueError(f"{plan.name} has not the parts it should have")
        extras = self._extras(items[2], depth) if len(items) == 3 else _NO_EXTRAS
        if type(items[1]) is not dict:
            return plan.rebuild(self._finished(items[1], depth), extras)
        fields = cast("Fields", items[1])
        for name, value in fields.items():
            if type(value) in _UNFINISHED:
                fields[name] = self._finished(value, depth)
        return plan.rebuild(fields, extras)

    def _extras(self, tree: object, depth: int) -> Extras:
        if type(tree) is not dict:
            raise ValueError("extras are no dict")
        extras = cast("dict[object, object]", tree)
        for code, value in extras.items():
            if code in _NAMED_EXTRAS and type(value) is dict:
                self._finish_values(cast("dict[object, object]", value), depth)
            elif type(value) in _UNFINISHED:
                extras[code] = self._finished(value, depth)
        return cast("Extras", extras)


def read_field(data: bytes) -> list[object]:
    """Class, name and content of a field that its own serializer has written."""
    if len(data) > _CHECKED_FROM:
        _check_lengths(data)
    return cast(
        "list[object]",
        msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass", ext_hook=_leaf),
    )


def _leaf(code: int, data: bytes) -> object:
    return LEAF_READERS[code](data)


def _check_lengths(body: bytes | memoryview) -> None:
    """Walk the body without building it: msgpack makes room for the length a list claims before it reads on.

    Raises:
        msgpack.OutOfData: something claims to be longer than the body.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(body))
    unpacker.feed(body)
    unpacker.skip()
