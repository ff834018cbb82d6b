"""Pydantic models, events among them: their fields straight from the instance, no dump and no validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cached_property
from inspect import unwrap
from typing import cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo, ModelPrivateAttr
from pydantic.functional_serializers import PlainSerializer, WrapSerializer
from pydantic_core import PydanticUndefined

from broker_wf.events import StopEvent
from broker_wf.events.dict_like import DictLikeModel, is_dict_like_class
from broker_wf.events.stand_in import StandIn
from broker_wf.wire.foreign import called
from broker_wf.wire.parts import ADDITIONAL, CUSTOM, DYNAMIC, RESULT, UNSET, WHOLE, Extras, Fields, Parts, class_tag
from broker_wf.wire.refusal import RefusedError

_set = object.__setattr__
_DATA = "_data"
_RESULT = "_result"


class ModelPlan:
    """Plan of one model class.

    Attributes:
        name: the wire's name of the class.
        custom: fields with a serializer of their own; it is used where a value has no encoding.
    """

    def __init__(self, cls: type[BaseModel], name: str) -> None:
        self.cls = cls
        self.name = name
        self.tag = class_tag(name)
        self._infos: Mapping[str, FieldInfo] = cls.model_fields
        self._all = frozenset(self._infos)
        self._sent = tuple(n for n, info in self._infos.items() if not info.exclude or info.is_required())
        self._sent_set = frozenset(self._sent)
        self._private: Mapping[str, ModelPrivateAttr] = cls.__private_attributes__
        self._has_data = is_dict_like_class(cls)
        self._only_data = self._has_data and len(self._private) == 1
        self._is_foreign = not issubclass(cls, DictLikeModel)
        self._has_result = issubclass(cls, StopEvent) or (self._has_data and _RESULT in self._private)
        self._allows_more = cls.model_config.get("extra") == "allow"
        self._has_post_init = _has_post_init(cls)

    @cached_property
    def custom(self) -> frozenset[str]:
        """Fields with a serializer of their own; a frozen one could not be set when it is read."""
        if self.cls.model_config.get("frozen"):
            return frozenset()
        decorated = self.cls.__pydantic_decorators__.field_serializers.values()
        by_decorator = {field for serializer in decorated for field in serializer.info.fields}
        by_annotation = {n for n, info in self._infos.items() if _has_serializer(info)}
        return frozenset(n for n in by_decorator | by_annotation if n in self._all and not self._infos[n].frozen)

    def take(self, value: object) -> Parts:
        """Give the fields of an instance and what there is beside them.

        Raises:
            RefusedError: a required field has no value.
        """
        model = cast("BaseModel", value)
        fields = cast("Fields", model.__dict__)
        if fields.keys() != self._sent_set:
            fields = self._present(fields)
        extras: Extras | None = None
        private = model.__pydantic_private__
        if private:
            extras = self._carried(private)
        if self._allows_more or len(model.__pydantic_fields_set__) != len(self._all):
            extras = self._with_rest(model, fields, extras or {})
        return fields, extras

    def _with_rest(self, model: BaseModel, fields: Fields, extras: Extras) -> Extras | None:
        """Add the values of ``extra="allow"`` and the names of the fields that were not given."""
        unset = [n for n in fields if n not in model.__pydantic_fields_set__]
        if unset:
            extras[UNSET] = unset
        if model.__pydantic_extra__:
            extras[ADDITIONAL] = model.__pydantic_extra__
        return extras or None

    def _present(self, held: Fields) -> Fields:
        """Leave out excluded fields and what only shares the instance's dict: cached properties."""
        for name in self._sent:
            if name not in held and self._infos[name].is_required():
                refusal = RefusedError(None, "the required field has no value")
                refusal.within(f".{name}")
                raise refusal
        return {n: held[n] for n in self._sent if n in held}

    def _carried(self, private: Mapping[str, object]) -> Extras | None:
        """Private attributes that are part of the value: undeclared values, and a StopEvent's result."""
        dynamic = private.get(_DATA) if self._has_data else None
        result = private.get(_RESULT) if self._has_result else None
        if not dynamic and result is None:
            return None
        extras: Extras = {}
        if dynamic:
            extras[DYNAMIC] = dynamic
        if result is not None:
            extras[RESULT] = result
        return extras

    def dump_custom(self, value: object, name: str) -> object:
        """Give a field as its own serializer writes it for JSON.

        Raises:
            ForeignError: the serializer raised, or left the field out.
        """
        return called(self._dump_field, value, name)

    def _dump_field(self, value: object, name: str) -> object:
        return self.cls.__pydantic_serializer__.to_python(value, mode="json", include={name})[name]

    def load_custom(self, name: str, written: object) -> object:
        """Read one field as its own validators read it.

        Raises:
            ForeignError: a validator refused, or a default could not be made.
        """
        if name not in self.custom:
            raise ValueError(f"{self.name} has no serializer of its own for {name!r}")
        model = called(self.cls.model_construct)
        self._load_custom(model, {name: written})
        return vars(model)[name]

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Make an instance without validating it; private attributes that do not travel get their default.

        What comes from somebody who has not the class is validated.
        Fields the class does not have are dropped, missing ones get their default.

        Raises:
            ValueError: a required field is missing, or the parts are no fields and extras.
            ForeignError: what was given does not fit.
        """
        if type(payload) is not dict:
            raise ValueError(f"{self.name} has no fields where they should be")
        if CUSTOM in extras and WHOLE in (given := _dict_of(extras[CUSTOM])):
            return called(self.cls.model_validate, given[WHOLE])
        fields = cast("Fields", payload)
        names = set(fields)
        if UNSET in extras:
            names -= set(cast("list[str]", extras[UNSET]))
        if fields.keys() != self._all:
            custom = _dict_of(extras.get(CUSTOM))
            fields = self._completed(fields, custom)
            names = (names | custom.keys()) & self._all
        model = self.cls.__new__(self.cls)
        _set(model, "__dict__", fields)
        _set(model, "__pydantic_fields_set__", names)
        _set(model, "__pydantic_extra__", self._additional(extras, names) if self._allows_more else None)
        _set(model, "__pydantic_private__", self._new_private(fields, extras))
        if CUSTOM in extras:
            self._load_custom(model, _dict_of(extras[CUSTOM]))
        if self._has_post_init:
            self._post_init(model)
        return model

    def _completed(self, fields: Fields, custom: Mapping[str, object]) -> Fields:
        complete: Fields = {}
        for name, info in self._infos.items():
            if name in fields:
                complete[name] = fields[name]
            elif name in custom:
                continue
            elif info.is_required():
                raise ValueError(f"{self.name} lacks its required field {name!r}")
            else:
                complete[name] = _default(info, complete)
        return complete

    def _additional(self, extras: Extras, names: set[str]) -> Fields:
        additional = _dict_of(extras.get(ADDITIONAL))
        names |= additional.keys()
        return additional

    def _new_private(self, fields: Fields, extras: Extras) -> Fields | None:
        if self._only_data:
            return {_DATA: _dict_of(extras.get(DYNAMIC))} if DYNAMIC in extras or self._is_foreign else None
        if not self._private:
            return None
        private: Fields = {}
        for name, attribute in self._private.items():
            if attribute.default_factory is not None or attribute.default is not PydanticUndefined:
                private[name] = _default(attribute, fields)
        if self._has_data and DYNAMIC in extras:
            private[_DATA] = _dict_of(extras[DYNAMIC])
        if self._has_result:
            private[_RESULT] = extras.get(RESULT)
        return private

    def _load_custom(self, model: BaseModel, written: Mapping[str, object]) -> None:
        """Read fields as their own validators read them.

        Raises:
            ForeignError: a validator refused.
        """
        for name in written.keys() & self._all:
            called(self.cls.__pydantic_validator__.validate_assignment, model, name, written[name])

    def _post_init(self, model: BaseModel) -> None:
        """Let the class set up its private attributes; what it assigns to fields is undone.

        Raises:
            ForeignError: it raised.
        """
        fields, data = dict(model.__dict__), dict(_dict_of((model.__pydantic_private__ or {}).get(_DATA)))
        called(model.model_post_init, None)
        _set(model, "__dict__", fields)
        private = model.__pydantic_private__
        if private is not None and _DATA in private:
            private[_DATA] = data


class StandInPlan:
    """Plan of a class that stands for a model of another library: it travels as that model does."""

    def __init__(self, cls: type[StandIn], name: str) -> None:
        self.cls = cls
        self.name = name
        self.tag = class_tag(name)
        self._held = ModelPlan(cls.held_class, name)
        self.custom = self._held.custom

    def take(self, value: object) -> Parts:
        """See ``ModelPlan``."""
        return self._held.take(cast("StandIn", value).held)

    def dump_custom(self, value: object, name: str) -> object:
        """See ``ModelPlan``."""
        return self._held.dump_custom(cast("StandIn", value).held, name)

    def rebuild(self, payload: object, extras: Extras) -> object:
        """See ``ModelPlan``."""
        return self.cls.of(cast("BaseModel", self._held.rebuild(payload, extras)))


def _dict_of(value: object) -> Fields:
    if value is None:
        return {}
    if type(value) is not dict:
        raise ValueError("undeclared values are no dict")
    return cast("Fields", value)


def _default(source: FieldInfo | ModelPrivateAttr, fields: Fields) -> object:
    """Make a default: a copy, or what its factory gives. What ``get_default`` does differs by version."""
    factory = source.default_factory
    if factory is None:
        return called(deepcopy, cast("object", source.default))
    takes_fields = getattr(source, "default_factory_takes_validated_data", None)
    return called(cast("Callable[..., object]", factory), *((fields,) if takes_fields else ()))


def _has_serializer(info: FieldInfo) -> bool:
    return any(isinstance(item, (PlainSerializer, WrapSerializer)) for item in info.metadata)


def _has_post_init(cls: type[BaseModel]) -> bool:
    """Whether the user wrote a ``model_post_init``; pydantic puts one of its own into many classes."""
    function = unwrap(cls.model_post_init)
    return function is not BaseModel.model_post_init and function.__name__ != "init_private_attributes"
