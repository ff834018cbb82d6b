"""A model that takes any value besides its fields."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from functools import cached_property
from inspect import unwrap
from threading import Lock
from typing import Any, ClassVar, TypeGuard

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import CoreSchema

_set = object.__setattr__
_FACE = ("to_dict", "keys", "__getitem__", "__setitem__")


class DictLikeModel(BaseModel):
    """A model whose undeclared values live in a dict beside its fields.

    The mapping face (items, ``get``, ``in``, ``len``, iteration, ``to_dict``) shows the undeclared values
    only, never declared fields. Attributes reach both.

    Most have no undeclared values, and two empty dicts would be a third of such a model: where a class has no other
    private attributes, ``__pydantic_private__`` is None until somebody asks for the dict.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    _data: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])
    _field_names: ClassVar[frozenset[str]] = frozenset()
    _only_data: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Note which arguments are for fields, by name or alias."""
        super().__pydantic_init_subclass__(**kwargs)
        infos = cls.__pydantic_fields__
        aliases = (a for f in infos.values() for a in (f.alias, f.validation_alias) if isinstance(a, str))
        cls._field_names = frozenset((*infos, *aliases))
        cls._only_data = cls.__private_attributes__.keys() == {"_data"}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Leave the private attributes to ``__init__`` where no user's code could look at them before.

        pydantic's own way of setting them up costs as much as validating three fields.
        """
        schema = handler(source)
        only_ours = cls.__private_attributes__.keys() <= {"_data", "_result"}
        pydantics = unwrap(cls.model_post_init).__module__.partition(".")[0] == "pydantic"
        if only_ours and pydantics and schema["type"] == "model":
            schema.pop("post_init", None)
        return schema

    def __init__(self, /, **params: Any) -> None:
        """Sort the arguments into fields, private attributes and undeclared values.

        Raises:
            pydantic.ValidationError: a declared field is missing or wrong.
        """
        if self._field_names.issuperset(params):
            self.__pydantic_validator__.validate_python(params, self_instance=self)
            if not self._only_data:
                _held(self)
            return
        names = self._field_names
        fields = {k: v for k, v in params.items() if k in names}
        self.__pydantic_validator__.validate_python(fields, self_instance=self)
        held = _held(self)
        dynamic: dict[str, Any] = {}
        for name, value in params.items():
            if name in self.__private_attributes__:
                held[name] = value
            elif name not in names:
                dynamic[name] = value
        held["_data"].update(dynamic)

    def __getattr__(self, name: str) -> Any:
        """Find what is neither a field nor a method: a private attribute or an undeclared value.

        Raises:
            AttributeError: there is no such value.
        """
        if name == "_data":
            return _held(self)["_data"]
        cls = type(self)
        if name in cls.__private_attributes__ or name in cls.__pydantic_fields__ or name[:2] == "__":
            return super().__getattr__(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportAttributeAccessIssue]
        try:
            return _undeclared(self)[name]
        except KeyError:
            raise AttributeError(f"'{cls.__name__}' object has no attribute '{name}'") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field, a private attribute or a property; any other name becomes an undeclared value."""
        cls = type(self)
        declared = name in cls.__private_attributes__ or name in cls.__pydantic_fields__
        if declared or isinstance(getattr(cls, name, None), (property, cached_property)):
            super().__setattr__(name, value)
        else:
            self._data[name] = value

    def __getitem__(self, key: str) -> Any:
        """Return an undeclared value.

        Raises:
            KeyError: there is none of that name.
        """
        return _undeclared(self)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set an undeclared value, also one named like a method."""
        self._data[key] = value

    def get(self, key: str, default: Any = None) -> Any:
        """Return an undeclared value, or the default."""
        return _undeclared(self).get(key, default)

    def __contains__(self, key: str) -> bool:
        """Whether there is an undeclared value of that name."""
        return key in _undeclared(self)

    def keys(self) -> KeysView[str]:
        """Names of the undeclared values."""
        return self._data.keys()

    def values(self) -> ValuesView[Any]:
        """The undeclared values."""
        return self._data.values()

    def items(self) -> ItemsView[str, Any]:
        """Names and values of what is undeclared."""
        return self._data.items()

    def __len__(self) -> int:
        """How many undeclared values there are."""
        return len(_undeclared(self))

    def __iter__(self) -> Iterator[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Iterate over the names of the undeclared values."""
        return iter(_undeclared(self))

    def to_dict(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """Return the dict of undeclared values itself, not a copy."""
        return self._data

    def __eq__(self, other: object) -> bool:
        """Whether it is of the same class, with the same fields and the same undeclared values."""
        if isinstance(other, DictLikeModel) and other.__pydantic_private__ != self.__pydantic_private__:
            _held(self)
            _held(other)
        return super().__eq__(other)

    def __bool__(self) -> bool:
        """Be true even without undeclared values."""
        return True

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Dump the fields, and the undeclared values under ``_data`` if there are any."""
        dumped: dict[str, Any] = handler(self)
        if undeclared := _undeclared(self):
            dumped["_data"] = undeclared
        return dumped


def _undeclared(model: DictLikeModel) -> dict[str, Any]:
    """What is there, to be looked at only."""
    held = model.__pydantic_private__
    return held["_data"] if held and "_data" in held else _NOTHING


_NOTHING: dict[str, Any] = {}
_FIRST = Lock()


def _held(model: DictLikeModel) -> dict[str, Any]:
    """Its private attributes, with a dict for undeclared values among them."""
    held = model.__pydantic_private__
    if held is None:
        with _FIRST:  # Threads may give one model its first values at one time.
            held = model.__pydantic_private__
            if held is None:
                _set(model, "__pydantic_private__", held := {"_data": {}})
    held.setdefault("_data", {})
    return held


def is_dict_like(value: object) -> TypeGuard[DictLikeModel]:
    """Whether this is a model beside whose fields undeclared values live."""
    return isinstance(value, BaseModel) and is_dict_like_class(type(value))


def is_dict_like_class(cls: type[BaseModel]) -> bool:
    """Whether undeclared values live beside the fields, as here: true of the original's events and states too."""
    return issubclass(cls, DictLikeModel) or (
        "_data" in cls.__private_attributes__ and all(hasattr(cls, name) for name in _FACE)
    )
