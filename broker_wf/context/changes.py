"""Changes of the state that depend on what stands there: a number raised, a list or a set grown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

ABSENT = object()
"""Nothing stands at the path."""
Number = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        kind: ``increment``, ``append`` or ``add``.
        values: by how much, or what is appended or added.
    """

    kind: str
    values: tuple[object, ...]

    def made(self, path: str, before: object) -> tuple[object, object]:
        """The value after the change, a new object, and the result of the change.

        Raises:
            TypeError: what stands there is no number, list or set.
        """
        return _MADE[self.kind](path, before, self.values)


def increment(by: Number) -> Change:
    """Raise a number; where there is none, it was 0. The result is the number.

    Raises:
        TypeError: ``by`` is no number.
    """
    if not _is_number(by):
        raise TypeError(f"a state is incremented by a number, not by {by!r}")
    return Change("increment", (by,))


def append(values: tuple[object, ...]) -> Change:
    """Grow a list at its end; where there is none, it was empty. The result is its length."""
    return Change("append", values)


def add(values: tuple[object, ...]) -> Change:
    """Grow a set; where there is none, it was empty. The result is how many of the values were not in it.

    Raises:
        TypeError: a value cannot be in a set.
    """
    return Change("add", tuple(dict.fromkeys(values)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _incremented(path: str, before: object, values: tuple[object, ...]) -> tuple[object, object]:
    if before is ABSENT:
        return values[0], values[0]
    if not _is_number(before):
        raise _unfit("increment", path, before, "a number")
    after = cast(int, before) + cast(int, values[0])
    return after, after


def _appended(path: str, before: object, values: tuple[object, ...]) -> tuple[object, object]:
    if not isinstance(before, list) and before is not ABSENT:
        raise _unfit("append to", path, before, "a list")
    after = [*(cast("list[object]", before) if before is not ABSENT else ()), *values]
    return after, len(after)


def _added(path: str, before: object, values: tuple[object, ...]) -> tuple[object, object]:
    if not isinstance(before, set) and before is not ABSENT:
        raise _unfit("add to", path, before, "a set")
    known = cast("set[object]", before) if before is not ABSENT else set[object]()
    after = known.union(values)
    return after, len(after) - len(known)


def _unfit(verb: str, path: str, found: object, wanted: str) -> TypeError:
    return TypeError(f"cannot {verb} state path {path!r}: it holds {type(found).__name__}, which is not {wanted}")


_MADE: dict[str, Callable[[str, object, tuple[object, ...]], tuple[object, object]]] = {
    "increment": _incremented,
    "append": _appended,
    "add": _added,
}
