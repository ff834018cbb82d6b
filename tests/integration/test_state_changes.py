"""Numbers, lists and sets of the state that are changed where they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, Field

from broker_wf import Context, Workflow, step
from broker_wf.context.state_store import DictState, InMemoryStateStore
from broker_wf.errors import EncodeError, LimitExceededError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Item(Event):
    n: int


class Done(Event):
    got: list[int]


class Owner(BaseModel):
    visits: int = 3
    tags: list[str] = Field(default_factory=lambda: ["first"])


class Account(BaseModel):
    balance: int = 10
    rate: float = 0.5
    owner: Owner = Field(default_factory=Owner)
    seen: set[str] = Field(default_factory=set)
    name: str = "nobody"


async def _said(attempt: Awaitable[Any]) -> str:
    with pytest.raises((TypeError, ValueError, RuntimeError, EncodeError, LimitExceededError)) as refused:
        await attempt
    return f"{type(refused.value).__name__}: {refused.value}"


async def play(store: Any) -> list[Any]:
    """Every kind of change, at keys and paths; what each gave, and what stands there in the end."""
    await store.set("big", 2**53 - 1)
    await store.set("deep", {"list": [[1, 2], {"n": 1.5}], "text": "x"})
    await store.set("hours", Decimal("1.1"))
    await store.set("long", list(range(15)))
    await store.set("names", {"b", b"b", 1})
    gave = [
        await store.increment("count"),
        await store.increment("count", 41),
        await store.increment("count", -300),
        await store.increment("count", 0.5),
        await store.increment("big"),
        await store.increment("big", 2**70),
        await store.increment("big", -(2**70)),
        await store.increment("deep.list.1.n", 1),
        await store.increment("deep.made.here.too", 7),
        await store.increment("deep.made.here.too", 7),
        await store.increment("hours", Decimal("0.2")),
        await store.append("log", "a", {"b": [1]}, None),
        await store.append("log"),
        await store.append("deep.list.0", 3),
        await store.append("long", 15, 16),
        await store.add("tags", "a", "b", "a"),
        await store.add("tags", "b", "c"),
        await store.add("names", "b", 1, 2, "c"),
        await store.add("names", 2.0, "d"),
        await store.add("deep.pairs", (1, 2)),
        await store.add("deep.pairs", (1, 2), (3, 4)),
    ]
    keys = ("count", "big", "deep", "hours", "log", "long", "tags", "names")
    return [gave, {key: await store.get(key) for key in keys}]


PLAYED: list[Any] = [
    [
        1,
        42,
        -258,
        -257.5,
        *(2**53, 2**53 + 2**70, 2**53),
        2.5,
        7,
        14,
        Decimal("1.3"),
        *(3, 3, 3, 17),
        *(2, 1, 2, 1, 1, 1),
    ],
    {
        "count": -257.5,
        "big": 2**53,
        "deep": {
            "list": [[1, 2, 3], {"n": 2.5}],
            "text": "x",
            "made": {"here": {"too": 14}},
            "pairs": {(1, 2), (3, 4)},
        },
        "hours": Decimal("1.3"),
        "log": ["a", {"b": [1]}, None],
        "long": list(range(17)),
        "tags": {"a", "b", "c"},
        "names": {"b", b"b", 1, 2, "c", "d"},
    },
]


class Plays(Workflow):
    @step
    async def play(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await play(ctx.store))


class HoldsAll(Workflow):
    """The same in a step whose effects wait for its commit."""

    @step(atomic=True)
    async def play(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await play(ctx.store))


class Typed(Workflow):
    @step
    async def change(self, ctx: Context[Account], ev: StartEvent) -> StopEvent:
        gave = [
            await ctx.store.increment("balance", 5),
            await ctx.store.increment("rate", 1),
            await ctx.store.increment("owner.visits"),
            await ctx.store.append("owner.tags", "second"),
            await ctx.store.add("seen", "x", "y"),
            await ctx.store.increment("balance"),
        ]
        return StopEvent(result=[gave, await ctx.store.get_state()])


class Refused(Workflow):
    @step
    async def ask(self, ctx: Context[Account], ev: StartEvent) -> StopEvent:
        store = ctx.store
        said = [
            await _said(store.increment("name")),
            await _said(store.increment("balance", "much")),
            await _said(store.increment("balance", by=True)),
            await _said(store.append("balance", 1)),
            await _said(store.append("seen", 1)),
            await _said(store.add("owner.tags", "x")),
            await _said(store.add("seen", ["unhashable"])),
            await _said(store.increment("")),
            await _said(store.increment("nowhere")),
            await _said(store.append("owner.tags", asyncio.Lock())),
        ]
        ctx.write_event_to_stream(Item(n=1))
        said.append(str(await store.increment("rate", -0.5)))
        await store.set("rate", 0.5)
        async with store.edit_state():
            said.append(await _said(store.increment("balance")))
        return StopEvent(result=[said, await store.get_state()])


class Deep(Workflow):
    @step
    async def grow(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("list", [])
        value: Any = []
        for _ in range(63):
            value = [value]
        said = await _said(ctx.store.append("list", value))
        return StopEvent(result=[said, await ctx.store.get("list")])


class Racing(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def count(self, ctx: Context, ev: Item) -> Done:
        got = [await ctx.store.increment("total") for _ in range(3)]
        await asyncio.gather(
            ctx.store.append("log", ev.n),
            ctx.store.add("odd", ev.n % 2),
            ctx.store.increment(f"words.w{ev.n % 7}"),
            ctx.store.increment(f"money.m{ev.n % 3}", Decimal(1)),
        )
        if ev.n % 5 == 0:
            async with ctx.store.edit_state() as state:
                before = state.total
                await asyncio.sleep(0)
                state.total = before + 1
        return Done(got=got)

    @step
    async def end(self, ctx: Context, ev: list[Done]) -> StopEvent:
        state = await ctx.store.get_state()
        got = [n for one in ev for n in one.got]
        return StopEvent(result=[len(got) == len(set(got)), state.to_dict()])


class Waits(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Item | None:
        ctx.send_event(Item(n=1))
        async with ctx.store.edit_state() as state:
            state.n = 100
            probe.mark(ev.name, "editing")
            await until(lambda: probe.count(ev.name, "go on") == 1)
        return None

    @step
    async def count(self, ctx: Context, ev: Item) -> StopEvent:
        return StopEvent(result=await ctx.store.increment("n"))


class Fails(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        async with ctx.store.edit_state() as state:
            probe.mark(ev.name, "editing")
            await until(lambda: probe.count(ev.name, "go on") == 1)
            state.n = 1
        return StopEvent()


class Tickets(Workflow):
    """Draws numbers, and begins again behind a wait and after a failure."""

    @step(retry_policy=retry_policy(stop=stop_after_attempt(2)))
    async def draw(self, ctx: Context, ev: StartEvent) -> StopEvent:
        drawn = [await ctx.store.increment("drawn") for _ in range(2)]
        drawn += await asyncio.gather(*(ctx.store.increment("drawn", by) for by in (10, 100)))
        drawn.append(await ctx.store.append("log", drawn[0]))
        probe.mark(ev.name, str(drawn))
        answer = await ctx.wait_for_event(Item)
        if ctx.retry_info().retry_number == 0:
            raise ConnectionError
        return StopEvent(result=[answer.n, drawn, await ctx.store.get("log")])


async def test_a_step_that_begins_again_behind_a_wait_is_given_what_it_was_given_before(stage: Stage) -> None:
    """Only another attempt changes again, as all that a step does by call."""
    flow, name = await stage.put_on(Tickets), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: len(probe.marks(name)) == 1)
    await within(handler.ctx.store.increment("drawn", 1000))
    handler.ctx.send_event(Item(n=5))
    assert await within(handler) == [5, [1113, 1114, 1124, 1224, 2], [1, 1113]]
    first, again, another = probe.marks(name)
    assert first == again == str([1, 2, 12, 112, 1])
    assert another == str([1113, 1114, 1124, 1224, 2])


async def test_numbers_lists_and_sets_are_changed_at_keys_and_paths(stage: Stage) -> None:
    flow = await stage.put_on(Plays)
    assert await within(flow.run()) == PLAYED


async def test_a_step_whose_effects_are_held_changes_them_too(stage: Stage) -> None:
    flow = await stage.put_on(HoldsAll)
    assert await within(flow.run()) == PLAYED


async def test_the_store_of_a_run_to_come_changes_them_likewise() -> None:
    assert await play(InMemoryStateStore(DictState())) == PLAYED


async def test_the_holder_of_a_handler_changes_them_likewise(stage: Stage) -> None:
    flow = await stage.put_on(Typed)
    handler = flow.run()
    await within(handler)
    store = handler.ctx.store
    assert [await store.increment("balance"), await store.append("owner.tags", "third")] == [17, 3]
    assert [await store.add("seen", "y", "z"), await store.increment("owner.visits")] == [1, 5]
    assert await _said(store.increment("name")) == (
        "TypeError: cannot increment state path 'name': it holds str, which is not a number"
    )
    assert (await store.get_state()).seen == {"x", "y", "z"}


async def test_a_driver_that_changes_many_runs_keeps_in_mind_the_last_of_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker_wf.broker.changes._RUNS_SEEN", 2)
    flow = await stage.put_on(Typed)
    stores: list[Any] = []
    for _ in range(3):
        handler = flow.run()
        await within(handler)
        stores.append(handler.ctx.store)
    first, second, third = stores
    for store in (first, second, first, third):
        await store.increment("owner.visits")
    kept = (await first.broker()).state.changes._seen
    assert [(run_id, len(ids)) for run_id, ids in kept.items()] == [(first.run_id, 1), (third.run_id, 1)]
    assert [await store.increment("owner.visits") for store in stores] == [7, 6, 6]


async def test_a_typed_state_keeps_its_defaults_and_classes(stage: Stage) -> None:
    flow = await stage.put_on(Typed)
    gave, account = await within(flow.run())
    assert gave == [15, 1.5, 4, 2, 2, 16]
    assert account == Account(
        balance=16, rate=1.5, owner=Owner(visits=4, tags=["first", "second"]), seen={"x", "y"}, name="nobody"
    )


async def test_what_does_not_fit_is_refused_with_words_and_changes_nothing(stage: Stage) -> None:
    flow = await stage.put_on(Refused)
    said, account = await within(flow.run())
    assert account == Account()
    assert said[:8] == [
        "TypeError: cannot increment state path 'name': it holds str, which is not a number",
        "TypeError: a state is incremented by a number, not by 'much'",
        "TypeError: a state is incremented by a number, not by True",
        "TypeError: cannot append to state path 'balance': it holds int, which is not a list",
        "TypeError: cannot append to state path 'seen': it holds set, which is not a list",
        "TypeError: cannot add to state path 'owner.tags': it holds list, which is not a set",
        "TypeError: unhashable type: 'list'",
        "ValueError: Path cannot be empty",
    ]
    kinds = [one.partition(":")[0] for one in said[8:]]
    assert kinds == ["ValueError", "EncodeError", "0.0", "RuntimeError"]
    assert all(word in one for word, one in zip(("nowhere", "Resource", "0.0", "edit_state"), said[8:], strict=True))


async def test_a_value_that_would_be_too_deep_at_its_place_is_refused(stage: Stage) -> None:
    flow = await stage.put_on(Deep)
    said, found = await within(flow.run())
    assert "64" in said
    assert found == []


async def test_changes_of_many_steps_at_one_time_are_exact(stage: Stage) -> None:
    flow = await stage.put_on(Racing)
    count = 40
    all_differ, state = await within(flow.run(count=count))
    assert all_differ
    assert state["total"] == 3 * count + count // 5
    assert sorted(state["log"]) == list(range(count))
    assert state["odd"] == {0, 1}
    assert state["words"] == {f"w{k}": len(range(k, count, 7)) for k in range(7)}
    assert state["money"] == {f"m{k}": Decimal(len(range(k, count, 3))) for k in range(3)}


async def test_a_change_waits_for_the_step_that_edits_the_state(stage: Stage) -> None:
    flow, name = await stage.put_on(Waits), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "editing") == 1)
    probe.mark(name, "go on")
    assert await within(handler) == 101


async def test_a_change_from_outside_waits_for_the_step_that_edits_the_state(stage: Stage) -> None:
    flow, name = await stage.put_on(Fails), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "editing") == 1)
    changing = asyncio.ensure_future(handler.ctx.store.increment("n"))
    await asyncio.sleep(0)
    assert not changing.done()
    probe.mark(name, "go on")
    assert await within(changing) == 2
    await within(handler)
