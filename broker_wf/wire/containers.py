"""Containers other than list and dict: a marked list, ``[mark, *items]`` or ``[mark, key, value, key …]``."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from msgpack import ExtType

from broker_wf.wire.foreign import called
from broker_wf.wire.refusal import RefusedError

TUPLE = 65
SET = 66
FROZENSET = 67
PAIRS = 68
"""A dict with a key that msgpack cannot have as a key."""
ORDERED_DICT = 69
DEFAULT_DICT = 70
"""The mark's bytes name the factory."""
COUNTER = 71
DEQUE = 72
"""The mark's bytes are its maximal length, if it has one."""
ERROR = 73
"""An exception: ``[mark, dict]``."""

CODES = frozenset(range(TUPLE, ERROR + 1))
PAIR_CODES = frozenset({PAIRS, ORDERED_DICT, DEFAULT_DICT, COUNTER})

PAIRS_MARK = ExtType(PAIRS, b"")
ERROR_MARK = ExtType(ERROR, b"")

_FACTORIES: dict[str, Callable[[], object]] = {
    cls.__name__: cls for cls in (list, dict, set, int, float, str, bool, tuple, bytes, frozenset)
}


def _mark(code: int) -> Callable[[object], ExtType]:
    mark = ExtType(code, b"")
    return lambda _: mark


def _deque_mark(value: object) -> ExtType:
    length = cast("deque[object]", value).maxlen
    return ExtType(DEQUE, b"" if length is None else str(length).encode())


def _default_dict_mark(value: object) -> ExtType:
    factory = cast("defaultdict[object, object]", value).default_factory
    if factory is None:
        return ExtType(DEFAULT_DICT, b"")
    name = getattr(factory, "__name__", "")
    if _FACTORIES.get(name) is not factory:
        raise RefusedError(value, "its default_factory is not a builtin type; make it a dict")
    return ExtType(DEFAULT_DICT, name.encode())


ITEM_MARKS: dict[type, Callable[[object], ExtType]] = {
    tuple: _mark(TUPLE),
    set: _mark(SET),
    frozenset: _mark(FROZENSET),
    deque: _deque_mark,
}
"""Containers of items, by exact class."""

PAIR_MARKS: dict[type, Callable[[object], ExtType]] = {
    OrderedDict: _mark(ORDERED_DICT),
    Counter: _mark(COUNTER),
    defaultdict: _default_dict_mark,
}
"""Containers of pairs, by exact class."""


def rebuild(code: int, data: bytes, items: list[object]) -> object:
    """Make the container from its items, or from its keys and values in turn.

    Raises:
        ValueError: they make no such container.
    """
    match code:
        case 65:
            return tuple(items)
        case 66:
            return called(set[object], items)
        case 67:
            return called(frozenset[object], items)
        case 72:
            return deque(items, int(data) if data else None)
        case _:
            return _rebuild_pairs(code, data, items)


def _rebuild_pairs(code: int, data: bytes, items: list[object]) -> object:
    if len(items) % 2:
        raise ValueError("a key without a value")
    pairs = called(_dict_of, zip(items[::2], items[1::2], strict=True))
    match code:
        case 68:
            return pairs
        case 69:
            return OrderedDict(pairs)
        case 71:
            return Counter(cast("Mapping[object, int]", pairs))
        case _:
            return defaultdict(_FACTORIES[data.decode()] if data else None, pairs)


def _dict_of(pairs: Iterable[tuple[object, object]]) -> dict[object, object]:
    return dict(pairs)
