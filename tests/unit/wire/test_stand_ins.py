"""Events of the original on the wire, where stand-ins carry them."""

from __future__ import annotations

from typing import Any

from pydantic import field_serializer, field_validator
from workflows.events import Event, StartEvent, StopEvent

from broker_wf import events as ours
from broker_wf.events.stand_in import StandIn
from broker_wf.integrations.llama_index.events import our_class, to_ours, to_theirs
from broker_wf.wire.codec import Codec
from broker_wf.wire.registry import EventRegistry


class Found(Event):
    text: str
    count: int = 0


class Special(Found):
    more: list[int] = []


class Sealed:
    def __init__(self, text: str) -> None:
        self.text = text


class Letter(Event):
    content: Any

    @field_serializer("content")
    def written(self, value: Sealed) -> str:
        return value.text

    @field_validator("content", mode="before")
    @classmethod
    def read(cls, value: object) -> object:
        return Sealed(value) if isinstance(value, str) else value


class Verdict(StopEvent):
    good: bool


def codec(*classes: type[Event]) -> Codec:
    names = {our_class(cls): cls.__name__ for cls in classes}
    return Codec(EventRegistry(names, roots=classes))


def travelled(event: Event) -> Event:
    wire = codec(type(event))
    return to_theirs(wire.decode_event(wire.encode_event(to_ours(event)).payload))


def test_fields_and_undeclared_values_travel() -> None:
    there = travelled(Found(text="tea", colour="green"))
    assert there == Found(text="tea", colour="green")
    assert there.to_dict() == {"colour": "green"}


def test_a_stop_event_carries_its_result() -> None:
    there = travelled(Verdict(good=True, result=[1, 2]))
    assert type(there) is Verdict
    assert (there.good, there.result) == (True, [1, 2])


def test_an_event_of_theirs_travels_inside_another_as_itself() -> None:
    wire = codec(StopEvent, Found)
    inner = Found(text="tea", colour="green")
    there = to_theirs(wire.decode_event(wire.encode_event(to_ours(StopEvent(result=[inner]))).payload))
    assert there.result == [inner]
    assert type(there.result[0]) is Found


def test_a_serializer_of_their_own_speaks_for_a_field() -> None:
    there = travelled(Letter(content=Sealed("secret")))
    assert there.content.text == "secret"


def test_a_stand_in_looks_on_the_wire_as_an_event_of_ours_would() -> None:
    class Found(ours.Event):
        text: str
        count: int = 0

    mine = Codec(EventRegistry({Found: "Found"}))
    theirs = codec(globals()["Found"])
    written = theirs.encode_event(to_ours(globals()["Found"](text="tea", colour="green")))
    assert written.payload == mine.encode_event(Found(text="tea", colour="green")).payload


def test_stand_ins_are_related_as_the_classes_are() -> None:
    assert issubclass(our_class(Special), our_class(Found))
    assert issubclass(our_class(Verdict), ours.StopEvent)
    assert our_class(StartEvent) is ours.StartEvent


def test_a_stand_in_reads_and_writes_as_what_it_stands_for() -> None:
    cls = our_class(Found)
    assert issubclass(cls, StandIn)
    made = cls.model_validate({"text": "tea", "count": "3"})
    assert (made.text, made.count) == ("tea", 3)
    assert made.model_dump() == {"text": "tea", "count": 3}
    assert cls(text="tea", count=3) == made
    assert cls.model_json_schema() == Found.model_json_schema()
    assert repr(made) == repr(Found(text="tea", count=3))


def test_an_event_that_the_original_knows_nothing_of_stays_as_it_is() -> None:
    class Newer(ours.InternalDispatchEvent):
        pass

    event = Newer()
    assert to_theirs(event) is event
