"""What of an event reaches the other process."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from pydantic import ConfigDict, Field

from broker_wf.errors import DecodeError, EncodeError
from broker_wf.events import Event, StopEvent
from tests.unit.wire.samples import (
    CODEC,
    Animal,
    Box,
    Counted,
    Dog,
    Everything,
    FrozenBox,
    Guarded,
    Handle,
    Hidden,
    Loose,
    Marked,
    NoCodecError,
    Opened,
    Point,
    Published,
    Simple,
    Start,
    Stop,
    again,
    codec_of,
    dynamic,
)


def test_declared_and_undeclared_values_arrive_apart() -> None:
    event = again(Simple(text="a", numbers=[1], more={"x": (1, 2)}))  # pyright: ignore[reportCallIssue]
    assert (event.text, event.numbers, dict(event.items())) == ("a", [1], {"more": {"x": (1, 2)}})


def test_which_fields_were_given_arrives_too() -> None:
    event = again(Simple(text="a"))
    assert event.model_dump(exclude_unset=True) == {"text": "a"}
    assert event.numbers == []


def test_a_validator_does_not_run_again() -> None:
    assert again(Counted(value=1)).value == 2


def test_a_cached_property_stays_at_home() -> None:
    event = Counted(value=1)
    assert event.doubled == 4
    assert "doubled" not in vars(again(event))


def test_private_attributes_are_made_anew_and_fields_stay_as_they_were_sent() -> None:
    event = Guarded(path="as given")
    event.path = "later"
    received = again(event)
    assert received.path == "later"
    assert received._shout == "LATER"
    assert isinstance(received._lock, type(threading.Lock()))
    assert dict(received.items()) == {"extra": 1}
    with pytest.raises(AttributeError):
        _ = received._later


def test_a_post_init_that_raises_is_a_decode_error() -> None:
    class Shy(Event):
        def model_post_init(self, context: Any, /) -> None:
            if self.get("ready"):
                raise KeyError("not here")

    event = Shy()
    event["ready"] = True
    codec = codec_of(Shy)
    with pytest.raises(DecodeError, match="KeyError: 'not here'"):
        codec.decode_event(codec.encode_event(event).payload)


def test_a_model_that_is_no_event_gets_its_private_attributes_by_their_factories() -> None:
    event = again(Everything(text="", animals=[Animal(name="a")]))
    assert event.animals[0].__pydantic_private__ is None


def test_a_frozen_class_cannot_use_its_own_serializers() -> None:
    class Frozen(Opened):
        model_config = ConfigDict(frozen=True)

    with pytest.raises(EncodeError, match="no encoding for this class"):
        codec_of(Frozen).encode_event(Frozen(first=Handle(1), second=Handle(2)))


def test_the_result_of_a_stop_event_arrives() -> None:
    assert again(StopEvent(result={"a": (1,)})).result == {"a": (1,)}
    assert again(StopEvent()).result is None
    assert again(Stop(answer="42", note=1)).note == 1  # pyright: ignore[reportCallIssue]


def test_an_excluded_field_stays_at_home_and_takes_its_default() -> None:
    assert again(Hidden(shown=1, secret=2)).secret == 7


def test_values_of_a_model_that_allows_more_arrive() -> None:
    loose = again(Everything(text="", loose=Loose(known=1, other=2))).loose  # pyright: ignore[reportCallIssue]
    assert loose.model_dump() == {"known": 1, "other": 2}
    assert again(Everything(text="", loose=Loose())).loose == Loose()


def test_a_changed_field_of_another_type_arrives_as_it_is() -> None:
    event = Simple(text="a")
    event.numbers = (1.5, "x")  # type: ignore[assignment]
    assert again(event).numbers == (1.5, "x")


def test_an_event_class_that_no_signature_names_travels_if_the_workflows_module_knows_it() -> None:
    assert again(Published(percent=3)) == Published(percent=3)


def test_a_field_without_encoding_travels_as_its_own_serializer_writes_it() -> None:
    event = again(Opened(first=Handle(1), second=Handle(2), plain=3))
    assert (event.first.number, event.second.number, event.plain) == (1, 2, 3)
    assert event.model_fields_set == {"first", "second", "plain"}


def test_a_serializer_that_refuses_names_the_field() -> None:
    event = Opened(first=Handle(1), second=Handle(2))
    event.first = object()  # type: ignore[assignment]
    with pytest.raises(EncodeError, match=r"Opened.first of type object .*its own serializer refused it"):
        CODEC.encode_event(event)


def test_a_field_without_serializer_is_refused_beside_one_that_has_it() -> None:
    event = Opened(first=Handle(1), second=Handle(2))
    event.plain = Handle(3)  # type: ignore[assignment]
    with pytest.raises(EncodeError, match=r"Opened.plain of type tests.unit.wire.samples.Handle"):
        CODEC.encode_event(event)


@pytest.mark.parametrize(
    ("event", "path", "type_name"),
    [
        (dynamic(a={"b": [1, {2: threading.Lock()}]}), "a['b'][1][2]", "_thread.lock"),
        (
            Everything(text="", anything=[0, Box("b", [Point(1, cast(int, object()))])]),
            "anything[1].points[0].y",
            "object",
        ),  # type: ignore[arg-type]
        (StopEvent(result=[len]), "result[0]", "builtin_function_or_method"),
        (dynamic(x={"k" * 99: object()}), f"x['{'k' * 39}…]", "object"),
        (dynamic(x={(1, object()): 1}), "x[tuple][1]", "object"),
        (dynamic(x={1, FrozenBox}), "x[", "type"),
    ],
    ids=["dicts", "fields", "result", "long key", "key", "class"],
)
def test_a_refused_value_is_named_with_event_path_and_type(event: Event, path: str, type_name: str) -> None:
    codec = codec_of(Everything) if isinstance(event, Everything) else codec_of()
    with pytest.raises(EncodeError) as caught:
        codec.encode_event(event)
    assert caught.value.event == type(event).__name__
    assert caught.value.path.startswith(path)
    assert caught.value.type_name == type_name


def test_a_class_met_only_behind_any_is_refused_with_advice() -> None:
    with pytest.raises(EncodeError, match=r"Event.a of type .*Dog cannot be .*declare it .*@broker_wf.register"):
        codec_of().encode_event(dynamic(a=Dog(name="rex")))


def test_a_class_met_only_behind_any_registers_itself_in_an_open_registry() -> None:
    codec = codec_of(is_open=True)
    event = dynamic(a=Dog(name="rex"), b=FrozenBox("f"), c=(Point(1),), d=Dog)
    assert codec.decode_event(codec.encode_event(event).payload) == event


def test_an_open_registry_still_refuses_what_has_no_encoding() -> None:
    with pytest.raises(EncodeError, match="there is no encoding for this class"):
        codec_of(is_open=True).encode_event(dynamic(a=threading.Lock()))


def test_a_required_field_without_value_is_refused_at_the_sender() -> None:
    event = Simple.model_construct(numbers=[1])
    with pytest.raises(EncodeError, match=r"Simple.text .* required field has no value"):
        CODEC.encode_event(event)


def test_an_optional_field_without_value_takes_its_default() -> None:
    event = Simple(text="a")
    del event.numbers
    assert again(event).numbers == []


def test_a_text_with_attributes_is_refused() -> None:
    marked = Marked("x")
    assert type(again(Everything(text="").model_copy(update={"marked": marked})).marked) is Marked
    marked.origin = "there"  # type: ignore[attr-defined]
    with pytest.raises(EncodeError, match="attributes beside its str"):
        CODEC.encode_event(Everything(text="").model_copy(update={"marked": marked}))


def test_an_event_may_hold_an_exception() -> None:
    error = again(dynamic(error=NoCodecError("why"))).error
    assert type(error) is NoCodecError
    assert error.args == ("why",)


def test_two_threads_may_encode_at_once() -> None:
    event = dynamic(values=[2**70 + i for i in range(200)])
    wanted = CODEC.encode_event(event).payload
    seen: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(CODEC.encode_event(event).payload for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {wanted}
    assert len(seen) == 200


def test_a_dict_that_changes_while_it_is_encoded_is_an_encode_error() -> None:
    held: dict[object, object] = {"first": None}

    class MeddlingError(Exception):
        def __str__(self) -> str:
            held["more"] = 1
            return "done"

    held["first"] = MeddlingError()
    with pytest.raises(EncodeError, match="changed size during iteration"):
        CODEC.encode_event(dynamic(held=held))


class Old(Event):
    a: int
    gone: str = ""


class New(Event):
    a: int
    b: list[int] = Field(default_factory=list)
    c: int = 5


class Stricter(Event):
    a: int
    needed: str


def renamed(data: bytes, old: str, new: str) -> bytes:
    """The same event, as a producer with another version of the class writes it."""
    assert len(old) == len(new)
    return data.replace(old.encode(), new.encode())


def test_a_field_the_class_does_not_have_is_ignored_and_a_new_one_takes_its_default() -> None:
    data = codec_of(Old).encode_event(Old(a=1, gone="x")).payload
    assert codec_of(New).decode_event(renamed(data, "Old", "New")) == New(a=1)


def test_a_missing_required_field_is_an_error_that_names_class_and_field() -> None:
    data = codec_of(Simple).encode_event(Simple(text="x")).payload.replace(b"text", b"next")
    with pytest.raises(DecodeError, match="Simple lacks its required field 'text'"):
        codec_of(Simple).decode_event(data)


def test_an_unknown_class_is_an_error_that_names_it() -> None:
    data = renamed(codec_of(Old).encode_event(Old(a=1)).payload, "Old", "Odd")
    with pytest.raises(DecodeError, match="the class 'Odd' is not registered here"):
        codec_of(Old).decode_event(data)


def test_bytes_of_something_else_are_no_event() -> None:
    with pytest.raises(DecodeError, match="the bytes hold dict, which is no event"):
        CODEC.decode_event(CODEC.encode_value({}, what="x"))


def test_an_event_from_outside_is_validated() -> None:
    event = CODEC.validate_event("Start", {"query": "q", "more": 1, "_data": {"x": 2}})
    assert event == Start(query="q", more=1, x=2)  # pyright: ignore[reportCallIssue]
    assert type(CODEC.validate_event("Counted", {"value": "1"})) is Counted


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("Start", {}, "event 'Start' cannot be decoded: query: Field required"),
        ("Simple", {"text": "a", "numbers": [1, "x"]}, r"numbers.1: Input should be a valid integer"),
        ("Nobody", {}, "no event class of this name"),
        ("tests.unit.wire.samples.Dog", {"name": "rex"}, "no event class of this name"),
        ("StopEvent", {"_result": 1}, "'_result' is private"),
    ],
)
def test_an_event_from_outside_that_does_not_fit_is_refused(name: str, values: dict[str, object], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        CODEC.validate_event(name, values)


def test_an_event_from_outside_whose_class_refuses_the_arguments_is_refused() -> None:
    class Picky(Event):
        def __init__(self, **_: Any) -> None:
            raise TypeError("no")

    with pytest.raises(DecodeError, match="no"):
        codec_of(Picky).validate_event("Picky", {})
