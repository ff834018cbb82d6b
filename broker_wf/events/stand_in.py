"""Events of another library: they are routed as events of this one and hold what their own code works with."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from pydantic import BaseModel, GetCoreSchemaHandler, PrivateAttr
from pydantic_core import CoreSchema, core_schema
from typing_extensions import Self

from broker_wf.events import Event

_set = object.__setattr__


class _Nothing(BaseModel):
    """What the class below stands for, which is only derived from."""


class StandIn(Event):
    """Stands for an event of another library wherever this one asks for an ``Event``.

    There is one subclass for each class of theirs; on the wire it looks as theirs would.

    Attributes:
        held_class: their class.
    """

    held_class: ClassVar[type[BaseModel]] = _Nothing
    _held: Any = PrivateAttr(default=None)

    def __init__(self, /, **params: Any) -> None:
        """Make their event of these arguments, and stand for it.

        Raises:
            pydantic.ValidationError: their class refuses them.
        """
        _stand_for(self, type(self).held_class(**params))

    @classmethod
    def of(cls, held: BaseModel) -> Self:
        """Stand for an event of theirs."""
        return _stand_for(cls.__new__(cls), held)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read, write and describe it as theirs is."""
        if cls.held_class is _Nothing:
            return handler(source)
        return core_schema.no_info_after_validator_function(
            cls.of,
            handler.generate_schema(cls.held_class),
            serialization=core_schema.plain_serializer_function_ser_schema(_dumped),
        )

    @property
    def held(self) -> BaseModel:
        """Their event."""
        return cast("dict[str, Any]", self.__pydantic_private__)["_held"]

    def __getattr__(self, name: str) -> Any:
        """Find in their event what is not here."""
        return super().__getattr__(name) if name.startswith("_") else getattr(self.held, name)

    def _get_result(self) -> Any:
        """The result, if their event ends a run."""
        return getattr(self.held, "result", None)

    def __repr__(self) -> str:
        return repr(self.held)

    def __str__(self) -> str:
        return str(self.held)


def _stand_for(made: Any, held: BaseModel) -> Any:
    _set(made, "__dict__", {})
    _set(made, "__pydantic_fields_set__", set[str]())
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", {"_data": {}, "_result": None, "_held": held})
    return made


def _dumped(stand_in: StandIn) -> dict[str, Any]:
    return stand_in.held.model_dump()
