"""How a class is taken apart for the wire and put together again; worked out once per class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, Flag
from fractions import Fraction
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Protocol, cast

import pydantic.networks
from msgpack import ExtType
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter

from broker_wf.events.stand_in import StandIn
from broker_wf.wire.classes import derives, is_class, is_dataclass
from broker_wf.wire.foreign import called
from broker_wf.wire.model_plan import ModelPlan, StandInPlan
from broker_wf.wire.parts import Extras, Fields, Parts, class_tag
from broker_wf.wire.refusal import RefusedError

_set = object.__setattr__
_new_tuple = cast("Callable[[type, Iterable[object]], object]", vars(tuple)["__new__"])


class Plan(Protocol):
    """Takes instances of one class apart and makes them anew.

    Attributes:
        name: the wire's name of the class.
        tag: first element of an encoded instance.
    """

    cls: type
    name: str
    tag: ExtType

    def take(self, value: object) -> Parts:
        """Give the parts of an instance.

        Raises:
            RefusedError: this instance cannot be rebuilt from its parts.
        """
        ...

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Make an instance from parts.

        Raises:
            ValueError, TypeError, LookupError: they are not parts of this class.
        """
        ...


class DataclassPlan:
    """A dataclass, also of pydantic: its fields, without ``__init__`` or ``__post_init__``."""

    def __init__(self, cls: type, name: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)
        self._fields = dataclasses.fields(cls)

    def take(self, value: object) -> Parts:
        """Give the fields that are set."""
        fields: Fields = {f.name: getattr(value, f.name) for f in self._fields if hasattr(value, f.name)}
        return fields, None

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Make an instance; missing fields get their default."""
        given = _fields_of(payload, self.name)
        made: object = called(self.cls.__new__, self.cls)
        for field in self._fields:
            if field.name in given:
                _set(made, field.name, given[field.name])
            else:
                _set(made, field.name, self._default(field))
        return made

    def _default(self, field: dataclasses.Field[object]) -> object:
        if field.default is not dataclasses.MISSING:
            return field.default
        if field.default_factory is not dataclasses.MISSING:
            return called(field.default_factory)
        raise ValueError(f"{self.name} lacks its required field {field.name!r}")


class _NamedTupleClass(Protocol):
    _fields: tuple[str, ...]
    _field_defaults: Mapping[str, object]


class NamedTuplePlan:
    """A NamedTuple: its fields by name."""

    def __init__(self, cls: type, name: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)
        shape = cast("_NamedTupleClass", cls)
        self._names, self._defaults = shape._fields, shape._field_defaults  # pyright: ignore[reportPrivateUsage]

    def take(self, value: object) -> Parts:
        """Give the fields."""
        return dict(zip(self._names, cast("tuple[object, ...]", value), strict=True)), None

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Make a tuple; missing fields get their default."""
        given = _fields_of(payload, self.name)
        missing = [n for n in self._names if n not in given and n not in self._defaults]
        if missing:
            raise ValueError(f"{self.name} lacks its required field {missing[0]!r}")
        values = (given[n] if n in given else self._defaults[n] for n in self._names)
        return _new_tuple(self.cls, values)


class EnumPlan:
    """An Enum by the name of its member, a Flag by its value, which may combine members."""

    def __init__(self, cls: type[Enum], name: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)
        self._by_value = issubclass(cls, Flag)

    def take(self, value: object) -> Parts:
        """Give the member's name or value."""
        member = cast("Enum", value)
        return cast("object", member.value) if self._by_value else member.name, None

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Find the member."""
        if self._by_value:
            return called(self.cls, payload)
        member = self.cls.__members__.get(cast("str", payload))
        if member is None:
            raise ValueError(f"{self.name} has no member {payload!r}")
        return member


class ScalarPlan:
    """A subclass of str, int, float or bytes: the plain value."""

    def __init__(self, cls: type, name: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)
        self._base = next(base for base in SCALAR_BASES if issubclass(cls, base))

    def take(self, value: object) -> Parts:
        """Give the plain value.

        Raises:
            RefusedError: the instance has attributes, which would be lost.
        """
        if getattr(value, "__dict__", None):
            raise RefusedError(value, f"it has attributes beside its {self._base.__name__}")
        return _PLAIN[self._base](value), None

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Make an instance without its ``__init__``."""
        if type(payload) is not self._base:
            raise ValueError(f"{self.name} is no {self._base.__name__}")
        return called(self._base.__new__, self.cls, payload)


SCALAR_BASES: tuple[type, ...] = (str, int, float, bytes)


def _plain_bytes(value: bytes) -> bytes:
    return bytes.__getitem__(value, slice(None))


_PLAIN: Mapping[type, Callable[[object], object]] = cast(
    "Mapping[type, Callable[[object], object]]",
    {str: str.__str__, int: int.__int__, float: float.__float__, bytes: _plain_bytes},
)


class TextPlan:
    """A class whose text says all: ``cls(str(value)) == value``. URLs, fractions, addresses."""

    def __init__(self, cls: type, name: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)

    def take(self, value: object) -> Parts:
        """Give the text."""
        return str(value), None

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Read the text."""
        if type(payload) is not str:
            raise ValueError(f"{self.name} is no text")
        return called(self.cls, payload)


class SecretPlan:
    """pydantic's secrets: what they hide travels, in clear."""

    def __init__(self, cls: type, name: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)

    def take(self, value: object) -> Parts:
        """Give what is hidden, wrapped so that a dict is not taken for fields."""
        return [cast("Secret[object]", value).get_secret_value()], None

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Hide it again."""
        return called(self.cls, _only_item(payload, self.name))


class AdapterPlan:
    """Any other class that tells pydantic how it is read and written."""

    def __init__(self, cls: type, name: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)

    @cached_property
    def _adapter(self) -> TypeAdapter[object]:
        return TypeAdapter(self.cls)

    def take(self, value: object) -> Parts:
        """Give what pydantic writes for JSON, wrapped so that a dict is not taken for fields.

        Raises:
            ForeignError: its serializer raised.
        """
        return [called(self._dump, value)], None

    def _dump(self, value: object) -> object:
        return cast("object", self._adapter.dump_python(value, mode="json"))

    def _load(self, written: object) -> object:
        return self._adapter.validate_python(written)

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Read it as pydantic does, fully validated."""
        return called(self._load, _only_item(payload, self.name))


class Refusal:
    """A class that must not travel: what it holds would be lost without a word."""

    def __init__(self, cls: type, name: str, why: str) -> None:
        self.cls, self.name, self.tag = cls, name, class_tag(name)
        self._why = why

    def take(self, value: object) -> Parts:
        """Refuse.

        Raises:
            RefusedError: always.
        """
        raise RefusedError(value, self._why)

    def rebuild(self, payload: object, extras: Extras) -> object:
        """Refuse what cannot have been written.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self.name} cannot travel: {self._why}")


PLANS: frozenset[type] = frozenset(
    {ModelPlan, StandInPlan, DataclassPlan, NamedTuplePlan, EnumPlan, ScalarPlan, TextPlan, SecretPlan, AdapterPlan}
)


def plan_for(cls: type, name: str) -> Plan | None:
    """Choose how the class travels; None if there is no way."""
    if cls in TEXT_CLASSES:
        return TextPlan(cls, name)
    for bases, plan in _BY_BASE:
        if derives(cls, bases):
            return plan(cls, name)
    if is_dataclass(cls) and not derives(cls, BaseException):
        return DataclassPlan(cls, name)
    if is_named_tuple(cls):
        return NamedTuplePlan(cls, name)
    if hasattr(cls, "__get_pydantic_core_schema__"):
        return AdapterPlan(cls, name)
    if derives(cls, SCALAR_BASES) and cls not in SCALAR_BASES and cls is not bool:
        return ScalarPlan(cls, name)
    return None


_BY_BASE = cast(
    "Iterable[tuple[tuple[type, ...], Callable[[type, str], Plan]]]",
    (
        ((SecretStr, SecretBytes, Secret), SecretPlan),
        ((StandIn,), StandInPlan),
        ((BaseModel,), ModelPlan),
        ((Enum,), EnumPlan),
    ),
)


def is_named_tuple(cls: type) -> bool:
    """Whether the class was made by ``NamedTuple`` or ``namedtuple``."""
    return derives(cls, tuple) and hasattr(cls, "_fields") and hasattr(cls, "_field_defaults")


def _url_classes() -> set[type]:
    """Find the URL classes of pydantic; they share two private bases."""
    urls = {pydantic.networks.AnyUrl, pydantic.networks.PostgresDsn}
    bases = tuple(base for url in urls for base in url.__mro__ if base is not object)
    known = cast("Mapping[str, object]", vars(pydantic.networks)).values()
    return {cls for cls in known if is_class(cls) and issubclass(cls, bases)}


TEXT_CLASSES: frozenset[type] = frozenset(
    {
        Fraction,
        IPv4Address,
        IPv4Interface,
        IPv4Network,
        IPv6Address,
        IPv6Interface,
        IPv6Network,
        *_url_classes(),
    }
)
"""Classes of other libraries that every registry knows."""


def _fields_of(payload: object, name: str) -> Fields:
    if type(payload) is not dict:
        raise ValueError(f"{name} has no fields where they should be")
    return cast("Fields", payload)


def _only_item(payload: object, name: str) -> object:
    items = cast("list[object]", payload)
    if type(payload) is not list or len(items) != 1:
        raise ValueError(f"{name} has not the parts it should have")
    return items[0]
