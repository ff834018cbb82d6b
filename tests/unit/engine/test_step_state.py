"""The lock of `edit_state`: its grant is lost, its asker is cancelled, or the lock itself is lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from broker_wf.broker.changes import Changed
from broker_wf.broker.context_state import Versioned
from broker_wf.context.state_store import DictState
from broker_wf.engine import step_state
from broker_wf.engine.site import Grants
from broker_wf.engine.step_state import StepState
from broker_wf.errors import LeaseLostError
from broker_wf.wire.codec import Codec
from broker_wf.wire.registry import EventRegistry
from tests.unit.core.deliveries import delivery


class Server:
    """A state and a lock that others hold for as many questions as `held` says."""

    def __init__(self, held: int = 0, *replies: Changed) -> None:
        self.replies, self.plans = list(replies), list[dict[str, object]]()
        self.held, self.asked, self.unlocked = held, 0, list[str]()
        self.was_asked, self.asked_again = asyncio.Event(), asyncio.Event()

    async def lock(self, _: object, token: str, worker: str) -> bool:
        self.asked += 1
        self.was_asked.set()
        if self.asked > 1:
            self.asked_again.set()
        return self.asked > self.held

    async def change(self, _: object, plan: dict[str, object]) -> Changed:
        self.plans.append(plan)
        return self.replies.pop(0)

    async def unlock(self, run_id: str, token: str) -> None:
        self.unlocked.append(token)

    async def get(self, run_id: str, key: str) -> Versioned:
        return Versioned(0, None)

    async def all(self, run_id: str) -> dict[str, Versioned]:
        return {}


class Words:
    """Effects whose replies are given beforehand."""

    def __init__(self, *words: str) -> None:
        self.held, self.words, self.applied = False, list(words), list[object]()
        self.ids = SimpleNamespace(next_edit=lambda place: place, next=lambda kind, target, value: kind)

    async def sent(self) -> None:
        pass

    async def apply(self, effect: object) -> str:
        self.applied.append(effect)
        return self.words.pop(0)


def state(server: Server, effects: Words) -> StepState:
    site: Any = SimpleNamespace(broker=SimpleNamespace(state=server), worker="w", grants=Grants())
    given: Any = effects
    codec = Codec(EventRegistry(is_open=True))
    return StepState(state_type=DictState, site=site, delivery=delivery(), codec=codec, effects=given)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_state, "_ASKED_AGAIN_AFTER_S", 0.001)


@pytest.mark.usefixtures("impatient")
async def test_who_hears_nothing_of_the_lock_asks_again() -> None:
    server = Server(held=2)
    async with state(server, Words("ok")).edit_state() as found:
        found.x = 1
    assert server.asked == 3


async def test_who_is_granted_the_lock_by_a_message_does_not_ask_again() -> None:
    server, effects = Server(held=9), Words("ok")
    store = state(server, effects)

    async def edit() -> None:
        async with store.edit_state() as found:
            found.x = 1

    editing = asyncio.ensure_future(edit())
    await server.was_asked.wait()
    for token in list(store.site.grants._waiting):
        store.site.grants.granted(token)
    await editing
    assert server.asked == 1
    assert len(effects.applied) == 1


@pytest.mark.usefixtures("impatient")
async def test_who_is_cancelled_while_it_waits_for_the_lock_leaves_the_line() -> None:
    server = Server(held=999)
    asking = asyncio.ensure_future(state(server, Words()).clear())
    await server.asked_again.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(server.unlocked) == 1


async def test_an_edit_whose_lock_was_lost_says_that_nothing_was_written() -> None:
    with pytest.raises(LeaseLostError, match="was not written"):
        async with state(Server(), Words("lost")).edit_state() as found:
            found.x = 1


async def test_a_write_to_a_path_that_somebody_else_has_changed_is_made_again() -> None:
    effects = Words("conflict", "ok")
    await state(Server(), effects).set("a.b", 1)
    assert len(effects.applied) == 2


async def test_a_change_that_others_come_before_again_and_again_is_made_under_the_lock() -> None:
    server = Server(0, *[Changed("conflict")] * 5, Changed("ok", b"\x07"))
    assert await state(server, Words()).increment("a.b") == 7
    assert [plan.get("token") is not None for plan in server.plans] == [False] * 5 + [True]
    assert {plan["id"] for plan in server.plans} == {"increment"}
    assert server.unlocked == []


async def test_a_change_whose_lock_was_lost_says_that_nothing_was_changed() -> None:
    server = Server(0, Changed("locked"), Changed("lost"))
    with pytest.raises(LeaseLostError, match="was not made"):
        await state(server, Words()).append("a", 1)
    assert len(server.unlocked) == 1


async def test_a_change_that_turns_out_to_have_been_made_gives_the_lock_back() -> None:
    server = Server(0, Changed("locked"), Changed("seen", b"\x01"))
    assert await state(server, Words()).add("a", 1) == 1
    assert len(server.unlocked) == 1


async def test_what_is_too_long_to_be_put_in_place_is_worked_out_here() -> None:
    server = Server(0, Changed("ok", b"\x01"))
    assert await state(server, Words()).append("a", "x" * 70_000) == 1
    assert server.plans[0]["version"] == 0


async def test_the_empty_path_is_the_whole_state() -> None:
    assert isinstance(await state(Server(), Words()).get(""), DictState)


def test_a_grant_that_nobody_waits_for_is_of_no_matter() -> None:
    Grants().granted("gone")
