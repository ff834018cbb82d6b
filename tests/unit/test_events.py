# pyright: reportCallIssue=false
from __future__ import annotations

import copy
import pickle
import threading
import timeit
from datetime import datetime, timezone
from typing import Any, cast

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from broker_wf.events import (
    CollectionReleaseEvent,
    DictLikeModel,
    Event,
    InputRequiredEvent,
    SerializableEventType,
    SerializableOptionalEvent,
    SerializableOptionalException,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    UnreconstructedException,
    WorkflowFailedEvent,
    rebuild_exception,
)


class Scored(Event):
    score: int = Field(ge=0)
    name: str = "none"
    tags: list[str] = Field(default_factory=list)


class Locked(Event):
    text: str
    _lock: Any = PrivateAttr(default_factory=threading.Lock)


class MyStop(StopEvent):
    answer: int


def test_a_keyword_that_is_a_field_goes_to_the_field_and_any_other_is_dynamic() -> None:
    event = Scored(score=3, colour="red")
    assert (event.score, event.colour) == (3, "red")
    assert event.to_dict() == {"colour": "red"}


def test_fields_are_validated() -> None:
    with pytest.raises(ValidationError):
        Scored(score=-1)
    with pytest.raises(ValidationError):
        Scored(colour="red")


def test_the_mapping_face_shows_dynamic_values_only() -> None:
    event = Scored(score=3, a=1, b=2)
    assert (list(event), len(event), "a" in event, "score" in event) == (["a", "b"], 2, True, False)
    assert (list(event.keys()), list(event.values()), list(event.items())) == (["a", "b"], [1, 2], [("a", 1), ("b", 2)])
    assert (event["a"], event.get("score"), event.get("c", 9)) == (1, None, 9)


def test_an_unknown_attribute_or_item_that_is_set_becomes_dynamic() -> None:
    event = Scored(score=3)
    event.colour = "red"
    event["items"] = [1]
    event.score = 4
    assert event.to_dict() == {"colour": "red", "items": [1]}
    assert event.score == 4


def test_a_missing_attribute_is_named_with_its_class() -> None:
    with pytest.raises(AttributeError, match=r"^'Scored' object has no attribute 'colour'$"):
        _ = Scored(score=1).colour
    assert not hasattr(Event(), "colour")


def test_a_missing_item_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        _ = Event()["a"]


def test_an_event_is_true_even_without_values() -> None:
    assert Event()


def test_dynamic_values_count_in_comparisons() -> None:
    assert Scored(score=1, a=1) == Scored(score=1, a=1)
    assert Scored(score=1, a=1) != Scored(score=1, a=2)


def test_a_dump_has_data_only_if_there_is_dynamic_content() -> None:
    assert Scored(score=1).model_dump() == {"score": 1, "name": "none", "tags": []}
    assert Event(a=1).model_dump() == {"_data": {"a": 1}}


def test_a_dump_can_be_validated_again() -> None:
    event = Scored(score=1, a=1)
    assert Scored.model_validate(event.model_dump()) == event
    assert Scored.model_validate_json(event.model_dump_json()) == event


def test_a_private_attribute_is_kept_and_not_dumped() -> None:
    lock = threading.Lock()
    event = Locked(text="x", _lock=lock)
    assert event._lock is lock
    assert event.model_dump() == {"text": "x"}
    assert Locked(text="x")._lock is not None


def test_no_two_events_share_their_dynamic_values() -> None:
    first, second = Event(), Event()
    first.a = 1
    assert second.to_dict() == {}


def test_an_event_can_be_copied_and_pickled() -> None:
    event = Scored(score=1, a=[1])
    for twin in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event)), event.model_copy()):
        assert twin == event


def test_model_construct_gives_a_whole_event() -> None:
    event = Scored.model_construct(score=1)
    event.a = 1
    assert event["a"] == 1


def test_a_field_is_reached_by_its_alias_too() -> None:
    class Aliased(Event):
        kind: str = Field(alias="type")

    assert Aliased(type="x", a=1).kind == "x"


def test_an_event_may_have_a_field_called_self() -> None:
    assert Event(self=1)["self"] == 1


def test_a_property_with_a_setter_works() -> None:
    class Doubled(Event):
        n: int = 0

        @property
        def twice(self) -> int:
            return self.n * 2

        @twice.setter
        def twice(self, value: int) -> None:
            self.n = value // 2

    event = Doubled()
    event.twice = 8
    assert (event.n, event.to_dict()) == (4, {})


def test_users_validators_may_look_at_the_event() -> None:
    class Checked(Event):
        a: int

        @field_validator("a")
        @classmethod
        def even(cls, value: int) -> int:
            return value * 2

        @model_validator(mode="after")
        def note(self) -> Checked:
            self.seen = len(self)
            return self

    assert (Checked(a=1).a, Checked(a=1).seen, Checked(a=1, b=2).b) == (2, 0, 2)


def test_a_users_post_init_runs_and_may_look_at_the_event() -> None:
    class Derived(Event):
        a: int
        doubled: int = 0

        def model_post_init(self, context: Any, /) -> None:
            self.doubled = self.a * 2
            self.extra = "set"

    assert (Derived(a=2).doubled, Derived(a=2).extra, Derived(a=2, b=1).to_dict()) == (
        4,
        "set",
        {"extra": "set", "b": 1},
    )


def test_an_event_may_hold_events_and_a_frozen_one_stays_as_it_is() -> None:
    class Outer(Event):
        model_config = ConfigDict(frozen=True)
        inner: Scored
        more: list[Scored]

    outer = Outer(inner=Scored(score=1, a=1), more=cast("Any", [{"score": 2}]))
    assert (outer.inner.a, outer.more[0].score, outer.more[0].to_dict()) == (1, 2, {})
    with pytest.raises(ValidationError):
        outer.inner = Scored(score=2)


def test_an_event_that_refers_to_itself_is_whole() -> None:
    class Tree(Event):
        children: list[Tree] = Field(default_factory=list)

    tree = Tree(children=[Tree(a=1)], b=2)
    assert (tree.children[0].a, tree.b, Tree().to_dict()) == (1, 2, {})


def test_an_event_may_be_generic_and_have_a_mixin() -> None:
    class Named(BaseModel):
        name: str = "n"

    class Both(Named, Event):
        size: int

    assert (Both(size=1, a=2).name, Both(size=1, a=2).a) == ("n", 2)


def test_a_stop_event_has_its_result_by_keyword_position_or_not_at_all() -> None:
    assert (StopEvent(result=1).result, StopEvent(2).result, StopEvent().result) == (1, 2, None)


def test_a_stop_event_shows_result_fields_and_dynamic_values() -> None:
    assert repr(StopEvent(result="x", a=1)) == "StopEvent(a=1, result='x')"
    assert repr(MyStop(answer=42)) == "MyStop(answer=42)"
    assert str(StopEvent(result=5)) == "5"


def test_a_dumped_stop_event_has_the_result_if_it_is_not_none() -> None:
    assert StopEvent(result=[1]).model_dump() == {"result": [1]}
    assert MyStop(answer=1).model_dump() == {"answer": 1}
    assert StopEvent.model_validate({"result": [1]}).result == [1]
    assert StopEvent.model_validate(StopEvent(result=1, a=2).model_dump()) == StopEvent(result=1, a=2)


def test_a_subclass_may_compute_its_result() -> None:
    class Computed(StopEvent):
        a: int

        def _get_result(self) -> Any:
            return self.a * 2

    assert Computed(a=4).result == 8


def test_a_subclass_may_declare_private_attributes_of_its_own() -> None:
    class Private(StopEvent):
        _note: str = PrivateAttr(default="n")

    assert (Private(result=1)._note, Private(result=1).result) == ("n", 1)


def test_an_event_in_a_field_travels_as_its_qualified_name_and_comes_back() -> None:
    failed = StepFailedEvent(
        step_name="a",
        input_event=Scored(score=1, a=2),
        exception=ValueError("no"),
        attempts=1,
        elapsed_seconds=0.5,
        failed_at=datetime.now(timezone.utc),
    )
    record = failed.model_dump()
    assert record["input_event"]["qualified_name"] == f"{__name__}.Scored"
    assert record["exception"] == {"exception_type": "builtins.ValueError", "exception_message": "no"}
    again = StepFailedEvent.model_validate(record)
    assert again.input_event == failed.input_event
    assert (type(again.exception), str(again.exception)) == (ValueError, "no")


def test_a_class_in_a_field_travels_as_its_qualified_name() -> None:
    class Wants(BaseModel):
        kind: SerializableEventType

    assert Wants.model_validate(Wants(kind=Scored).model_dump()).kind is Scored
    with pytest.raises(ValidationError):
        Wants.model_validate({"kind": "os.path.join"})


def test_optional_events_and_exceptions_may_be_none() -> None:
    class Maybe(BaseModel):
        event: SerializableOptionalEvent = None
        error: SerializableOptionalException = None

    assert Maybe.model_validate(Maybe().model_dump()).event is None
    whole = Maybe.model_validate(Maybe(event=Scored(score=1), error=KeyError("k")).model_dump())
    assert (whole.event, type(whole.error)) == (Scored(score=1), KeyError)


def test_what_is_no_event_is_refused_in_an_event_field() -> None:
    for wrong in (5, {"qualified_name": "builtins.dict", "value": {}}, {"qualified_name": "no.such.Thing"}):
        with pytest.raises(ValidationError):
            CollectionReleaseEvent.model_validate({"events": [wrong]})


def test_an_exception_field_wants_type_and_message() -> None:
    with pytest.raises(ValidationError):
        WorkflowFailedEvent.model_validate({"step_name": "a", "exception": {"exception_type": "x"}})


@pytest.mark.parametrize("name", ["builtins.eval", "builtins.SystemExit", "os.system", "no.such.Error", "Plain", ""])
def test_only_exceptions_that_are_loaded_are_rebuilt(name: str) -> None:
    error = rebuild_exception(name, "text")
    assert isinstance(error, UnreconstructedException)
    assert (str(error), error.original_type) == ("text", name)
    assert name in repr(error)


class PickyError(Exception):
    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code} {why}")


def test_an_exception_that_does_not_take_a_message_keeps_its_text() -> None:
    error = rebuild_exception(f"{__name__}.PickyError", "5 because")
    assert isinstance(error, UnreconstructedException)
    assert str(error) == "5 because"


def test_a_collection_is_empty_unless_given() -> None:
    assert CollectionReleaseEvent().events == []
    assert CollectionReleaseEvent(events=[StartEvent(a=1)]).events == [StartEvent(a=1)]


def test_no_event_but_its_own_kind_is_a_human_in_the_loop_event() -> None:
    assert issubclass(InputRequiredEvent, Event)
    assert issubclass(Event, DictLikeModel)


@pytest.mark.timing
def test_an_event_costs_at_most_three_times_the_plain_model() -> None:
    class Plain(BaseModel):
        a: int
        b: str
        c: float = 1.0

    class Three(Event):
        a: int
        b: str
        c: float = 1.0

    def cost(cls: type[BaseModel]) -> float:
        return min(timeit.repeat(lambda: cls(a=1, b="x", c=2.0), number=2_000, repeat=15))

    assert min(cost(Three) / cost(Plain) for _ in range(3)) <= 3


def test_an_event_without_undeclared_values_holds_no_dict_for_them_until_somebody_asks_for_it() -> None:
    event = Scored(score=3)
    assert (len(event), "a" in event, event.get("a", 1), list(event), getattr(event, "a", 2)) == (0, False, 1, [], 2)
    assert event.model_dump() == {"score": 3, "name": "none", "tags": []}
    assert event.__pydantic_private__ is None
    keys = event.keys()
    event.a = 1
    assert (list(keys), event.to_dict()) == (["a"], {"a": 1})


@pytest.mark.parametrize("look", [lambda event: event.to_dict(), lambda event: event.keys(), lambda event: event._data])
def test_events_are_equal_whether_or_not_somebody_has_looked_at_their_undeclared_values(look: Any) -> None:
    one, other = Scored(score=3), Scored(score=3)
    look(one)
    assert one == other == one
    assert one == copy.deepcopy(one) == pickle.loads(pickle.dumps(other))
    assert Scored(score=3, a=1) != Scored(score=3) != Scored(score=4)
    assert Scored(score=3) != Event()


def test_threads_that_give_an_event_its_first_undeclared_values_at_one_time_lose_none() -> None:
    for _ in range(50):
        event, together = Event(), threading.Barrier(4)

        def put(n: int, event: Event = event, together: threading.Barrier = together) -> None:
            together.wait()
            event[f"k{n}"] = n

        threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert event.to_dict() == {f"k{n}": n for n in range(4)}
