"""Values to trees of what msgpack has: scalars, lists, dicts and extension types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import msgpack
from msgpack import ExtType

from broker_wf.wire.arrays import write_array
from broker_wf.wire.classes import is_class
from broker_wf.wire.containers import ERROR_MARK, ITEM_MARKS, PAIR_MARKS, PAIRS_MARK
from broker_wf.wire.foreign import ForeignError
from broker_wf.wire.leaves import LEAF_WRITERS, SCALARS, write_int
from broker_wf.wire.limits import Limits
from broker_wf.wire.model_plan import ModelPlan, StandInPlan
from broker_wf.wire.parts import CUSTOM, FIELD, RESULT, TYPE, Extras, Fields
from broker_wf.wire.plans import Plan
from broker_wf.wire.refusal import OverLimitError, RefusedError, type_name
from broker_wf.wire.registry import EventRegistry, can_travel
from broker_wf.wire.remote_errors import encode_error

_KEY_LENGTH = 40


class Encoder:
    """Makes trees. A tree may share lists and dicts with the value: pack it before the value can change."""

    def __init__(self, registry: EventRegistry, limits: Limits) -> None:
        self._registry = registry
        self._max_depth = limits.max_depth
        self._max_keys = limits.max_keys

    def tree(self, value: object, depth: int = 0) -> object:
        """Give the tree of a value that has ``depth`` containers around it.

        Raises:
            RefusedError: something in it has no encoding or is beyond a limit; the refusal knows where.
        """
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is list:
            return self._list(cast("list[object]", value), depth)
        if kind is dict:
            return self._dict(cast("dict[object, object]", value), depth)
        write = LEAF_WRITERS.get(kind)
        if write is not None:
            return write(value)
        if kind in ITEM_MARKS or kind in PAIR_MARKS:
            return self._container(kind, value, depth)
        plan = self._registry.plan_of(kind)
        if plan is not None:
            return self._planned(plan, value, depth)
        return self._other(kind, value)

    def field(self, model: object, name: str) -> ExtType | None:
        """Give the tree of a field as the class's own serializer for it writes it; None: it has none.

        Raises:
            RefusedError: the serializer refused it.
        """
        plan = self._registry.plan_of(type(model))
        if not isinstance(plan, ModelPlan) or name not in plan.custom:
            return None
        parts = [plan.name, name, _dumped(plan, model, name)]
        return ExtType(FIELD, msgpack.packb(parts, default=write_int, unicode_errors="surrogatepass"))

    def _list(self, items: list[object], depth: int) -> list[object]:
        if depth >= self._max_depth:
            raise self._too_deep(items)
        if SCALARS.issuperset(map(type, items)):
            return items
        return self._items([], items, depth + 1)

    def _items(self, out: list[object], items: Iterable[object], depth: int) -> list[object]:
        index = 0
        try:
            for index, item in enumerate(items):  # noqa: B007 - the handler below tells it
                out.append(item if type(item) in SCALARS else self.tree(item, depth))
        except RefusedError as refusal:
            refusal.within(f"[{index}]")
            raise
        return out

    def _dict(self, mapping: dict[object, object], depth: int) -> object:
        if depth >= self._max_depth:
            raise self._too_deep(mapping)
        if len(mapping) > self._max_keys:
            raise OverLimitError(mapping, "number of keys", len(mapping), self._max_keys)
        if not SCALARS.issuperset(map(type, mapping)):
            return self._pairs(PAIRS_MARK, mapping, depth + 1)
        if SCALARS.issuperset(map(type, mapping.values())):
            return mapping
        out: dict[object, object] = {}
        for key, value in mapping.items():
            out[key] = value if type(value) in SCALARS else self._at_key(key, value, depth + 1)
        return out

    def _at_key(self, key: object, value: object, depth: int) -> object:
        try:
            return self.tree(value, depth)
        except RefusedError as refusal:
            refusal.within(f"[{_shown(key)}]")
            raise

    def _pairs(self, mark: ExtType, mapping: Mapping[object, object], depth: int) -> list[object]:
        if len(mapping) > self._max_keys:
            raise OverLimitError(mapping, "number of keys", len(mapping), self._max_keys)
        out: list[object] = [mark]
        for key, value in mapping.items():
            out.append(self._at_key(key, key, depth))
            out.append(self._at_key(key, value, depth))
        return out

    def _planned(self, plan: Plan, value: object, depth: int) -> list[object]:
        if depth >= self._max_depth:
            raise self._too_deep(value)
        try:
            payload, extras = plan.take(value)
        except ForeignError as error:
            raise RefusedError(value, str(error)) from error
        if type(payload) is not dict:
            return [plan.tag, self.tree(payload, depth + 1)]
        fields = cast("Fields", payload)
        try:
            fields = self._fields(fields, depth + 1)
        except OverLimitError:
            raise
        except RefusedError:
            if not isinstance(plan, (ModelPlan, StandInPlan)) or not plan.custom:
                raise
            fields, extras = self._custom_fields(plan, value, fields, extras or {}, depth + 1)
        return [plan.tag, fields] if extras is None else [plan.tag, fields, self._extras(extras, depth + 1)]

    def _fields(self, fields: Fields, depth: int) -> Fields:
        return {n: v if type(v) in SCALARS else self._at_name(n, v, depth) for n, v in fields.items()}

    def _at_name(self, name: str, value: object, depth: int) -> object:
        try:
            return self.tree(value, depth)
        except RefusedError as refusal:
            refusal.within(f".{name}")
            raise

    def _custom_fields(
        self, plan: ModelPlan | StandInPlan, value: object, fields: Fields, extras: Extras, depth: int
    ) -> tuple[Fields, Extras]:
        """Encode fields of which some are refused: one may have a serializer of its own to speak for it."""
        encoded: Fields = {}
        custom: Fields = {}
        for name, item in fields.items():
            try:
                encoded[name] = self._at_name(name, item, depth)
            except RefusedError:
                if name not in plan.custom:
                    raise
                custom[name] = _dumped(plan, value, name)
        return encoded, {**extras, CUSTOM: custom}

    def _extras(self, extras: Extras, depth: int) -> Extras:
        out: Extras = {}
        for code, value in extras.items():
            if code == RESULT:
                out[code] = self._at_name("result", value, depth)
            elif type(value) is dict:
                values = cast("Fields", value)
                if len(values) > self._max_keys:
                    raise OverLimitError(values, "number of undeclared values", len(values), self._max_keys)
                out[code] = self._fields(values, depth)
            else:
                out[code] = value
        return out

    def _container(self, kind: type, value: object, depth: int) -> list[object]:
        if depth >= self._max_depth:
            raise self._too_deep(value)
        mark = ITEM_MARKS.get(kind)
        if mark is not None:
            return self._items([mark(value)], cast("Iterable[object]", value), depth + 1)
        return self._pairs(PAIR_MARKS[kind](value), cast("Mapping[object, object]", value), depth + 1)

    def _other(self, kind: type, value: object) -> object:
        """Encode what is neither common nor of a registered class."""
        if is_class(value):
            return self._class(value)
        if isinstance(value, BaseException):
            return [ERROR_MARK, encode_error(value)]
        array = write_array(value)
        if array is None:
            raise RefusedError(value, self._why_not(kind))
        return array

    def _class(self, cls: type) -> ExtType:
        plan = self._registry.plan_of(cls)
        if plan is None:
            raise RefusedError(cls, f"the class {type_name(cls)} is not registered; see broker_wf.register")
        return ExtType(TYPE, plan.name.encode())

    def _why_not(self, kind: type) -> str:
        if can_travel(kind):
            return (
                "no annotation of the workflow's events or state names its class and the workflow's module does not "
                "define it, so that other processes do not know it; declare it in an annotation, or decorate it with "
                "@broker_wf.register"
            )
        return "there is no encoding for this class; use a pydantic model, a dataclass or plain values"

    def _too_deep(self, value: object) -> OverLimitError:
        return OverLimitError(value, "levels of nesting (is it in a circle?)", self._max_depth + 1, self._max_depth)


def _dumped(plan: ModelPlan | StandInPlan, value: object, name: str) -> object:
    try:
        return plan.dump_custom(value, name)
    except ForeignError as error:
        refusal = RefusedError(getattr(value, name), f"its own serializer refused it: {error}")
        refusal.within(f".{name}")
        raise refusal from error


def _shown(key: object) -> str:
    """Show a dict's key in a path, cut where it is long."""
    text = repr(key) if type(key) in SCALARS else type(key).__name__
    return text if len(text) <= _KEY_LENGTH else f"{text[:_KEY_LENGTH]}…"
