"""The lock of `edit_state`: its grant is lost, its asker is cancelled, or the lock itself is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from broker_wf.broker.changes import Changed
from broker_wf.broker.context_state import Versioned
from broker_wf.broker.leased import Acknowledged
from broker_wf.context.state_store import DictState
from broker_wf.engine import step_state
from broker_wf.engine.locks import LockLines
from broker_wf.engine.site import Grants
from broker_wf.engine.step_state import StepState
from broker_wf.errors import LeaseLostError
from broker_wf.wire.codec import Codec
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import codec_for
from broker_wf.wire.state import change_result
from tests.unit.core.deliveries import delivery


class Server:
    """A state and a lock that others hold for as many questions as `held` says."""

    def __init__(self, held: int = 0, *replies: Changed) -> None:
        self.replies, self.plans = list(replies), list[dict[str, Any]]()
        self.held, self.asked, self.unlocked = held, 0, list[str]()
        self.refused = 0
        self.was_told = asyncio.Event()
        self.hands_on, self.reached = "yours", asyncio.Event()
        self.reached.set()
        self.was_asked, self.asked_again = asyncio.Event(), asyncio.Event()

    async def lock(self, _: object, token: str, worker: str) -> bool:
        self.asked += 1
        self.was_asked.set()
        if self.asked <= self.refused:
            raise LeaseLostError("d1")
        if self.asked > 1:
            self.asked_again.set()
        return self.asked > self.held

    async def change(self, _: object, plan: dict[str, object], acked: Acknowledged) -> Changed:
        self.plans.append(plan)
        self.was_told.set()
        await self.reached.wait()
        if self.replies:
            return self.replies.pop(0)
        return Changed("ok" if "after" not in plan else self.hands_on)

    async def unlock(self, run_id: str, token: str, after: Mapping[str, str] | None = None) -> str:
        self.unlocked.append(token)
        return "" if after is None else self.hands_on

    async def get(self, run_id: str, key: str) -> Versioned:
        return Versioned(0, None)

    async def all(self, run_id: str) -> dict[str, Versioned]:
        return {}


class Words:
    """Effects whose replies are given beforehand."""

    def __init__(self, *words: str) -> None:
        self.held, self.words, self.applied = False, list(words), list[object]()
        self.loop, self.acked = asyncio.get_running_loop(), Acknowledged()
        self.ids = SimpleNamespace(next_edit=lambda place: place, next=lambda kind, target, value: kind)

    async def sent(self) -> None:
        pass

    async def apply(self, effect: object) -> str:
        self.applied.append(effect)
        return self.words.pop(0)


def state(server: Server, effects: Words, locks: LockLines | None = None, codec: Codec | None = None) -> StepState:
    lines = LockLines() if locks is None else locks
    site: Any = SimpleNamespace(broker=SimpleNamespace(state=server), worker="w", grants=Grants(), locks=lines)
    given: Any = effects
    codec = codec or Codec(EventRegistry(is_open=True))
    return StepState(state_type=DictState, site=site, delivery=delivery(), codec=codec, effects=given)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_state, "_ASKED_AGAIN_AFTER_S", 0.001)


@pytest.mark.usefixtures("impatient")
async def test_who_hears_nothing_of_the_lock_asks_again() -> None:
    server = Server(held=2)
    async with state(server, Words()).edit_state() as found:
        found.x = 1
    assert server.asked == 3


async def test_who_is_granted_the_lock_by_a_message_does_not_ask_again() -> None:
    server = Server(held=9)
    store = state(server, Words())

    async def edit() -> None:
        async with store.edit_state() as found:
            found.x = 1

    editing = asyncio.ensure_future(edit())
    await server.was_asked.wait()
    for token in list(store.site.grants._waiting):
        store.site.grants.granted(token)
    await editing
    assert server.asked == 1
    assert len(server.plans) == 1


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
        async with state(Server(0, Changed("lost")), Words()).edit_state() as found:
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
    assert len(server.unlocked) == 1


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


async def test_a_change_has_one_name_whichever_key_signs_its_values() -> None:
    """It may begin in one worker and again in another, while keys are replaced."""
    named: list[bytes] = []
    for key in ("", "the-key-of-long-ago", "the-key-of-today"):
        codec = codec_for(EventRegistry(is_open=True), Limits(), key, "n").at("r")
        store = state(Server(0, Changed("ok", change_result(codec, 2))), Words(), codec=codec)
        store.effects.ids = SimpleNamespace(next=lambda kind, path, content: named.append(content))  # type: ignore[assignment]
        assert await store.append("list", "a", "b") == 2
    assert named == [named[0]] * 3


async def test_a_set_that_meets_an_edit_is_made_under_the_lock_in_its_turn() -> None:
    server, effects = Server(), Words("locked")
    await state(server, effects).set("a.b", 1)
    assert len(effects.applied) == server.asked == len(server.plans) == 1
    assert [key for key, _ in server.plans[0]["sets"]] == ["a"]


async def test_the_empty_path_is_the_whole_state() -> None:
    assert isinstance(await state(Server(), Words()).get(""), DictState)


def test_a_grant_that_nobody_waits_for_is_of_no_matter() -> None:
    Grants().granted("gone")


class Editors:
    """Several executions of one worker that edit the state of one run; the first one is inside its block."""

    def __init__(self, server: Server, count: int) -> None:
        self.server, self.locks = server, LockLines()
        self.go_on, self.seen = asyncio.Event(), list[tuple[int, dict[str, Any]]]()
        self.tasks = [asyncio.ensure_future(self._edit(n)) for n in range(count)]

    async def _edit(self, n: int) -> None:
        async with state(self.server, Words(), self.locks).edit_state() as found:
            self.seen.append((n, dict(found.to_dict())))
            await self.go_on.wait()
            found.last = n

    async def begin(self) -> None:
        await self.server.was_asked.wait()
        await asyncio.sleep(0)


async def test_the_lock_goes_to_the_next_one_of_the_worker_together_with_the_state() -> None:
    editors = Editors(server := Server(), 3)
    await editors.begin()
    editors.go_on.set()
    await asyncio.gather(*editors.tasks)
    assert editors.seen == [(0, {}), (1, {"last": 0}), (2, {"last": 1})]
    assert server.asked == 1
    assert [plan.get("after") is not None for plan in server.plans] == [True, True, False]
    assert editors.locks == LockLines()


@pytest.mark.parametrize("word", ["queued", "ok", "seen"])
async def test_who_was_not_handed_the_lock_asks_for_it(word: str) -> None:
    editors = Editors(server := Server(), 2)
    await editors.begin()
    server.hands_on = word
    editors.go_on.set()
    await asyncio.gather(*editors.tasks)
    assert server.asked == 2
    assert editors.locks == LockLines()


async def test_who_is_cancelled_in_line_is_passed_over() -> None:
    editors = Editors(server := Server(), 3)
    await editors.begin()
    editors.tasks[1].cancel()
    editors.go_on.set()
    await asyncio.gather(*editors.tasks, return_exceptions=True)
    assert [n for n, _ in editors.seen] == [0, 2]
    assert server.unlocked == []
    assert editors.locks == LockLines()


async def test_who_is_cancelled_while_the_lock_is_handed_to_it_hands_it_on() -> None:
    editors = Editors(server := Server(), 3)
    await editors.begin()
    server.reached.clear()
    editors.go_on.set()
    await server.was_told.wait()
    editors.tasks[1].cancel()
    await asyncio.sleep(0)
    server.reached.set()
    await asyncio.gather(*editors.tasks, return_exceptions=True)
    assert editors.seen == [(0, {}), (2, {"last": 0})]
    assert len(server.unlocked) == 1
    assert server.asked == 1
    assert editors.locks == LockLines()


async def test_an_edit_that_fails_or_changes_nothing_hands_the_lock_on_too() -> None:
    editors = Editors(server := Server(), 2)
    await editors.begin()
    editors.tasks[0].cancel()
    editors.go_on.set()
    await asyncio.gather(*editors.tasks, return_exceptions=True)
    assert editors.seen == [(0, {}), (1, {})]
    assert (server.asked, len(server.unlocked)) == (1, 1)
    assert editors.locks == LockLines()


@pytest.mark.usefixtures("impatient")
async def test_who_waits_long_for_another_of_its_worker_asks_the_server_itself() -> None:
    editors = Editors(server := Server(), 2)
    await server.asked_again.wait()
    editors.go_on.set()
    await asyncio.gather(*editors.tasks)
    assert [n for n, _ in editors.seen] == [0, 1]
    assert editors.locks == LockLines()


async def test_where_the_server_refuses_one_the_next_one_asks() -> None:
    server = Server()
    server.refused = 1
    editors = Editors(server, 2)
    editors.go_on.set()
    found = await asyncio.gather(*editors.tasks, return_exceptions=True)
    assert [type(one) for one in found] == [LeaseLostError, type(None)]
    assert editors.locks == LockLines()


async def test_one_who_comes_while_the_lock_is_given_back_asks_for_it() -> None:
    editors = Editors(server := Server(), 1)
    await editors.begin()
    server.reached.clear()
    editors.go_on.set()
    await server.was_told.wait()
    editors.tasks.append(asyncio.ensure_future(editors._edit(1)))
    await asyncio.sleep(0)
    server.reached.set()
    await asyncio.gather(*editors.tasks)
    assert server.asked == 2
    assert editors.locks == LockLines()
