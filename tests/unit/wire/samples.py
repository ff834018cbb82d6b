"""Classes that travel in the tests. Their names are part of the golden files."""

from __future__ import annotations

import dataclasses
import threading
from datetime import datetime
from enum import Enum, Flag, IntEnum
from functools import cached_property
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    field_serializer,
    field_validator,
)
from pydantic import dataclasses as pydantic_dataclasses
from pydantic_core import core_schema
from typing_extensions import TypedDict

from broker_wf.core.ids import EventName
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.wire.codec import Codec
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclasses.dataclass
class Box:
    label: str
    points: list[Point] = dataclasses.field(default_factory=list[Point])
    count: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenBox:
    label: str


@pydantic_dataclasses.dataclass
class CheckedBox:
    size: int


class Animal(BaseModel):
    name: str


class Dog(Animal):
    tricks: list[str] = Field(default_factory=list)


class Wrapper(BaseModel, Generic[T]):
    held: T


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int = 0


class Row(TypedDict):
    box: FrozenBox


class Celsius:
    """A class that tells pydantic how it is read and written."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and other.degrees == self.degrees

    def __hash__(self) -> int:
        return hash(self.degrees)

    def __repr__(self) -> str:
        return f"Celsius({self.degrees})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.degrees),
        )


class Token(str):
    __slots__ = ()


class Marked(str):
    """A text with an attribute."""


class Handle:
    """Nothing knows how to write it, but for the fields below."""

    def __init__(self, number: int) -> None:
        self.number = number


def handle_from(value: object) -> Handle:
    return value if isinstance(value, Handle) else Handle(int(str(value)))


class NoCodecError(Exception):
    """An exception of the workflow's module."""


class Everything(Event):
    """An event with a field for each kind of declared class."""

    text: str
    number: int = 3
    when: datetime | None = None
    color: Color = Color.RED
    level: Level = Level.LOW
    rights: Rights = Rights.READ
    point: Point = Point(1, 2)
    box: Box | None = None
    frozen: FrozenBox | None = None
    checked: CheckedBox | None = None
    animals: list[Animal] = Field(default_factory=list)
    wrapped: Wrapper[int] | None = None
    loose: Loose | None = None
    rows: dict[str, Row] = Field(default_factory=dict)
    temperature: Celsius | None = None
    token: Token | None = None
    marked: Marked | None = None
    kind: type[Event] | None = None
    anything: Any = None


class Simple(Event):
    text: str
    numbers: list[int] = Field(default_factory=list)


class Start(StartEvent):
    query: str


class Stop(StopEvent):
    answer: str


class Published(Event):
    """In no signature: it is only ever written to the stream."""

    percent: int


class Guarded(Event):
    """Holds private attributes that do not travel, and one that is made from a field."""

    path: str
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _shout: str = PrivateAttr(default="")
    _later: int = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        self._shout = self.path.upper()
        self.path = "changed"
        self["extra"] = 1


class Counted(Event):
    """Its validator must not run a second time."""

    value: int

    @field_validator("value")
    @classmethod
    def _one_more(cls, value: int) -> int:
        return value + 1

    @cached_property
    def doubled(self) -> int:
        return 2 * self.value


class Opened(Event):
    """Fields with serializers of their own, for values that have no encoding."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    first: Annotated[Handle, PlainSerializer(lambda h: h.number), PlainValidator(handle_from)]
    second: Handle
    plain: int = 0

    @field_serializer("second")
    def _write(self, value: Handle) -> int:
        return value.number

    @field_validator("second", mode="before")
    @classmethod
    def _read(cls, value: object) -> Handle:
        return handle_from(value)


class Hidden(Event):
    shown: int
    secret: int = Field(default=7, exclude=True)


NAMES: dict[type[Event], EventName] = {
    cls: EventName(cls.__name__) for cls in (Everything, Simple, Start, Stop, Guarded, Counted, Opened, Hidden)
}


def codec_of(*classes: type[Event], limits: Limits | None = None, is_open: bool = False) -> Codec:
    """A codec for events of a signature."""
    return Codec(EventRegistry({cls: EventName(cls.__name__) for cls in classes}, is_open=is_open), limits)


CODEC = Codec(EventRegistry(NAMES))


def dynamic(**values: Any) -> Event:
    """An event with undeclared values only."""
    return Event(**values)


def again(event: Event, codec: Codec = CODEC) -> Any:
    """The event as another process sees it."""
    return codec.decode_event(codec.encode_event(event).payload)


def value_again(value: object, codec: Codec = CODEC) -> Any:
    return codec.decode_value(codec.encode_value(value, what="state"))
