# pyright: reportCallIssue=false
from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from pydantic import BaseModel, Field

from broker_wf.context.json_serializer import JsonSerializer
from broker_wf.context.paths import get_by_path, get_in, set_by_path, set_in, split_path
from broker_wf.context.state_store import (
    DictState,
    InMemoryStateStore,
    StateStore,
    UnserializableKeyWarning,
    copy_state_for_edit,
    create_cleared_state,
    merge_state,
)


class Inner(BaseModel):
    size: int = 1


class Parent(BaseModel):
    n: int = 0
    inner: Inner = Field(default_factory=Inner)


class Child(Parent):
    m: int = 0


class Strict(BaseModel):
    needed: int


class Plain:
    def __init__(self) -> None:
        self.label = "x"


@pytest.fixture
def store() -> InMemoryStateStore[DictState]:
    return InMemoryStateStore(DictState())


def test_a_path_goes_through_dicts_lists_models_and_attributes() -> None:
    state = DictState(a={"b": [Parent(), Plain()]}, items=[1], t=(1, 2))
    assert get_by_path(state, "a.b.0.inner.size") == 1
    assert get_by_path(state, "a.b.1.label") == "x"
    assert get_by_path(state, "items.0") == 1
    assert get_by_path(state, "t.1") == 2
    assert get_by_path(state, "") is state
    assert get_by_path(Child(), "inner.size") == 1


@pytest.mark.parametrize("path", ["x", "keys", "a.x", "a.0", "l.5", "l.x", "n.x", "a..b"])
def test_a_path_that_leads_nowhere_is_named_or_gives_the_default(path: str) -> None:
    state = DictState(a={"b": 1}, l=[1], n=None)
    with pytest.raises(ValueError, match=f"^Path '{path}' not found in state$"):
        get_by_path(state, path)
    assert get_by_path(state, path, None) is None


def test_a_path_has_at_most_a_thousand_segments() -> None:
    long = ".".join("a" * 1001)
    for call in (lambda: get_by_path({}, long, 1), lambda: set_by_path({}, long, 1), lambda: split_path(long)):
        with pytest.raises(ValueError, match=r"exceeds 1000"):
            call()
    assert get_by_path(set_by_path({}, long[:-2], 1), long[:-2]) == 1


def test_an_empty_path_cannot_be_set() -> None:
    with pytest.raises(ValueError, match=r"cannot be empty"):
        set_by_path({}, "", 1)


def test_setting_makes_the_dicts_on_the_way() -> None:
    assert set_by_path({}, "a.b.c", 1) == {"a": {"b": {"c": 1}}}
    assert set_in({"a": 5}, ["b"], 1) == {"a": 5, "b": 1}


def test_setting_reaches_lists_models_and_attributes() -> None:
    plain = Plain()
    state = DictState(l=[{"a": 1}], p=Parent(), o=plain)
    state = set_by_path(state, "l.0.a", 2)
    state = set_by_path(state, "p.inner.size", 7)
    state = set_by_path(state, "o.label", "y")
    assert (get_in(state, ["l", "0", "a"]), get_in(state, ["p", "inner", "size"]), plain.label) == (2, 7, "y")


def test_setting_changes_nothing_that_others_hold() -> None:
    before = DictState(a={"b": [1]}, p=Parent(), other=[0])
    after = set_by_path(set_by_path(before, "a.b.0", 2), "p.n", 5)
    assert (before.a, before.p.n) == ({"b": [1]}, 0)
    assert (after.a, after.p.n) == ({"b": [2]}, 5)
    assert after.other is before.other


def test_names_of_methods_are_keys_and_declared_names_are_fields() -> None:
    class Mixed(DictState):
        n: int = 0

        @property
        def twice(self) -> int:
            return self.n * 2

    state = set_by_path(set_by_path(Mixed(), "keys", 1), "n", 2)
    assert (state.to_dict(), state.n, get_by_path(state, "keys"), get_by_path(state, "twice")) == ({"keys": 1}, 2, 1, 4)


def test_the_dict_state_is_reached_by_attribute_item_and_get() -> None:
    state = DictState()
    state["a"] = 1
    state.b = 2
    assert (state.a, state["b"], state.get("c", 3)) == (1, 2, 3)
    del state._data["a"]
    assert "a" not in state


async def test_what_was_set_is_got(store: InMemoryStateStore[DictState]) -> None:
    await store.set("user.name", "Ada")
    assert await store.get("user.name") == "Ada"
    assert await store.get("user.age", default=None) is None
    with pytest.raises(ValueError, match=r"Path 'user.age' not found"):
        await store.get("user.age")
    assert isinstance(store, StateStore)
    assert store.state_type is DictState


async def test_a_state_is_given_out_as_a_shallow_copy() -> None:
    store = InMemoryStateStore(Parent())
    state = await store.get_state()
    state.n = 5
    assert await store.get("n") == 0


async def test_a_state_of_the_class_replaces_and_one_of_a_parent_merges() -> None:
    store = InMemoryStateStore(Child(m=3))
    await store.set_state(Parent(n=1))  # pyright: ignore[reportArgumentType]
    assert await store.get_state() == Child(n=1, m=3)
    await store.set_state(Child(n=2))
    assert await store.get_state() == Child(n=2)
    with pytest.raises(ValueError, match=r"^State must be of type Child or a parent type, got Strict$"):
        await store.set_state(Strict(needed=1))  # pyright: ignore[reportArgumentType]


def test_merging_keeps_the_classes_of_what_is_inside() -> None:
    class BigInner(Inner):
        big: bool = True

    merged = merge_state(Child(), Parent(inner=BigInner()))
    assert isinstance(merged.inner, BigInner)


async def test_clearing_goes_back_to_the_defaults() -> None:
    store = InMemoryStateStore(Child(n=1, m=2))
    await store.clear()
    assert await store.get_state() == Child()
    with pytest.raises(ValueError, match=r"^State must have defaults for all fields$"):
        create_cleared_state(Strict)
    with pytest.raises(ValueError, match=r"defaults for all fields"):
        await InMemoryStateStore(Strict(needed=1)).clear()


async def test_an_edit_is_seen_when_it_is_complete(store: InMemoryStateStore[DictState]) -> None:
    await store.set("l", [1])
    async with store.edit_state() as state:
        state["l"].append(2)
        assert await store.get("l") == [1]
    assert await store.get("l") == [1, 2]


async def test_an_edit_that_raises_is_dropped(store: InMemoryStateStore[DictState]) -> None:
    await store.set("l", [1])

    async def fail() -> None:
        async with store.edit_state() as state:
            state["l"].append(2)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await store.get("l") == [1]
    await store.set("l", [])


async def test_a_writer_inside_an_edit_is_refused(store: InMemoryStateStore[DictState]) -> None:
    async def nested() -> None:
        async with store.edit_state():
            pass

    async with store.edit_state():
        for writer in (store.set("a", 1), store.set_state(DictState()), store.clear(), nested()):
            with pytest.raises(RuntimeError, match=r"edit_state"):
                await writer


async def test_edits_side_by_side_lose_nothing(store: InMemoryStateStore[DictState]) -> None:
    await store.set("n", 0)

    async def add() -> None:
        async with store.edit_state() as state:
            n = state["n"]
            await asyncio.sleep(0)
            state["n"] = n + 1

    await asyncio.gather(*(add() for _ in range(20)))
    assert await store.get("n") == 20


def test_what_cannot_be_copied_is_shared() -> None:
    class Holder(BaseModel):
        model_config = {"arbitrary_types_allowed": True}
        lock: Any
        handle: list[int] = Field(exclude=True)
        data: list[int]

    holder = Holder(lock={"deep": threading.Lock()}, handle=[1], data=[1])
    copied = copy_state_for_edit(holder)
    assert copied.lock["deep"] is holder.lock["deep"]
    assert copied.handle is holder.handle
    assert copied.data is not holder.data
    state = DictState(lock=threading.Lock(), data=[1])
    assert copy_state_for_edit(state).lock is state.lock
    assert copy_state_for_edit(state).data is not state.data


class Json:
    def serialize(self, value: Any) -> str:
        try:
            return json.dumps(value.model_dump() if isinstance(value, BaseModel) else value)
        except TypeError as error:
            raise ValueError(str(error)) from error


async def test_a_saved_state_says_what_it_is() -> None:
    assert InMemoryStateStore(Inner()).to_dict(Json()) == {
        "store_type": "in_memory",
        "state_type": "Inner",
        "state_module": __name__,
        "state_data": '{"size": 1}',
    }
    saved = InMemoryStateStore(DictState(a=[1])).to_dict(Json())
    assert saved["state_data"] == {"_data": {"a": "[1]"}}


async def test_memory_that_cannot_be_saved_is_left_out_and_anything_else_is_an_error() -> None:
    with pytest.warns(UnserializableKeyWarning, match=r"memory"):
        saved = InMemoryStateStore(DictState(memory=object(), a=1)).to_dict(Json())
    assert saved["state_data"] == {"_data": {"a": "1"}}
    with pytest.raises(ValueError, match=r"Failed to serialize state value for key lock"):
        InMemoryStateStore(DictState(lock=object())).to_dict(Json())


def test_a_store_comes_back_from_what_it_wrote() -> None:
    store = InMemoryStateStore(DictState(a=1, b=[2]))
    again: InMemoryStateStore[DictState] = InMemoryStateStore.from_dict(
        store.to_dict(JsonSerializer()), JsonSerializer()
    )
    assert again.state.to_dict() == {"a": 1, "b": [2]}


def test_a_store_of_nothing_is_empty() -> None:
    store: InMemoryStateStore[DictState] = InMemoryStateStore.from_dict({}, JsonSerializer())
    assert store.state.to_dict() == {}
