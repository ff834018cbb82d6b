from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from broker_wf.broker.deliveries import Ended
from broker_wf.broker.plans import EffectIds, Planned
from broker_wf.core.outcome import StateSet
from broker_wf.engine.effects import Effects
from broker_wf.errors import BackpressureError, BrokerError, LeaseLostError
from broker_wf.wire.codec import Codec
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import Signer
from tests.unit.core.deliveries import delivery


class Store:
    """Applies effects as the server would, and may refuse."""

    def __init__(self) -> None:
        self.applied: list[list[object]] = []
        self.answer: Ended | BrokerError = Ended.DONE
        self.open = asyncio.Event()
        self.open.set()

    async def apply(
        self, _delivery: object, effects: Sequence[Planned], _acked: object, *, busy: bool, sent: Callable[[], None]
    ) -> tuple[Ended, list[str]]:
        sent()
        await self.open.wait()
        if isinstance(self.answer, BrokerError):
            raise self.answer
        self.applied.append([one.plan["key"] for one in effects])
        return self.answer, ["ok"] * len(effects) if self.answer is Ended.DONE else []


@pytest.fixture
async def store() -> Store:
    return Store()


@pytest.fixture
async def effects(store: Store) -> Effects:
    broker = SimpleNamespace(deliveries=store, admission=SimpleNamespace(connections=1))
    site: Any = SimpleNamespace(broker=broker, is_busy=lambda: False, work_made=lambda: None)
    return Effects(site=site, delivery=delivery(), codec=Codec(EventRegistry(is_open=True)))


def written(key: str) -> StateSet:
    return StateSet(key=key, value=b"1", version=None)


async def test_effects_that_are_held_wait_for_the_commit(effects: Effects, store: Store) -> None:
    effects.hold()
    assert await effects.apply(written("a")) == "held"
    free, held = await effects.settle()
    assert (free, [one.plan["key"] for one in held]) == ([], ["a"])
    assert store.applied == []


async def test_what_was_made_before_a_hold_is_free_however_often_one_holds(effects: Effects) -> None:
    effects.put(written("a"))
    effects.hold()
    effects.put(written("b"))
    effects.hold()
    free, held = await effects.settle()
    assert ([one.plan["key"] for one in free], [one.plan["key"] for one in held]) == (["a"], ["b"])


async def test_what_is_made_while_others_are_on_their_way_goes_with_the_next(effects: Effects, store: Store) -> None:
    store.open.clear()
    first = asyncio.ensure_future(effects.apply(written("a")))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(effects.apply(written("b")))
    third = asyncio.ensure_future(effects.apply(written("c")))
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.sleep(0)
    store.open.set()
    assert await asyncio.gather(first, second) == ["ok", "ok"]
    assert store.applied == [["a"], ["b", "c"]]


async def test_who_waits_for_an_effect_is_told_that_the_lease_was_lost(effects: Effects, store: Store) -> None:
    store.answer = Ended.FENCED
    effects.put(written("a"))
    with pytest.raises(LeaseLostError):
        await effects.apply(written("b"))
    assert await effects.settle() == ([], [])


async def test_who_waits_for_an_effect_is_told_why_the_server_refused_it_and_so_is_the_commit(
    effects: Effects, store: Store
) -> None:
    store.answer = BackpressureError("no room")
    effects.put(written("a"))
    with pytest.raises(BackpressureError, match="no room"):
        await effects.apply(written("b"))
    with pytest.raises(BackpressureError, match="no room"):
        await effects.settle()


async def test_a_refusal_finds_nobody_who_has_gone(
    effects: Effects, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.open.clear()
    store.answer = BackpressureError("no room")
    gone = asyncio.ensure_future(effects.apply(written("a")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    store.open.set()
    with pytest.raises(BackpressureError):
        await effects.settle()
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_the_end_of_an_attempt_waits_for_what_is_on_its_way(effects: Effects, store: Store) -> None:
    store.open.clear()
    on_its_way = asyncio.ensure_future(effects.apply(written("a")))
    await asyncio.sleep(0)
    settling = asyncio.ensure_future(effects.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    store.open.set()
    assert await settling == ([], [])
    assert await on_its_way == "ok"


async def test_a_change_of_the_state_waits_for_what_was_made_before_it(effects: Effects, store: Store) -> None:
    effects.put(written("a"))
    effects.put(written("b"))
    await effects.sent()
    assert store.applied == [["a", "b"]]
    effects.hold()
    effects.put(written("c"))
    await effects.sent()
    assert store.applied == [["a", "b"]]


async def test_who_waits_for_what_was_made_before_is_told_why_it_was_refused(effects: Effects, store: Store) -> None:
    store.answer = BackpressureError("no room")
    effects.put(written("a"))
    with pytest.raises(BackpressureError, match="no room"):
        await effects.sent()


def test_an_effect_is_the_same_whichever_key_has_signed_it() -> None:
    ids = [
        EffectIds(delivery()).next("set", "k", Signer(key, "n").signed(b"\x10value", "r"))
        for key in ("unsigned", "the-key-of-long-ago", "the-key-of-today")
    ]
    assert len(set(ids)) == 1
