from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from broker_wf.broker.asking import Asking, Claimed, Serving
from broker_wf.broker.claims import ClaimStore
from broker_wf.broker.clients import Argument
from broker_wf.broker.packing import unpack
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Digest, Lane, WorkerId
from broker_wf.errors import BrokerError
from broker_wf.worker.claimer import Claimer

A, B = Lane("a"), Lane("b")


@dataclass
class Store:
    """Answers claims when it is told to, with deliveries of these lanes. They are sent at once unless it is held up.

    Attributes:
        asked: the lanes of each claim that was sent, in order.
        free: what each claim that was sent asked for.
        sent: each claim that was sent by itself.
        along: each that was to go along with a read.
    """

    asked: list[list[str]] = field(default_factory=list[list[str]])
    free: list[int] = field(default_factory=list[int])
    sent: list[Asking] = field(default_factory=list[Asking])
    along: list[Asking] = field(default_factory=list[Asking])
    may_send: asyncio.Event = field(default_factory=asyncio.Event)
    replies: list[asyncio.Future[list[Lane]]] = field(default_factory=list[asyncio.Future[list[Lane]]])
    capped: bool = False

    def __post_init__(self) -> None:
        self.may_send.set()

    async def claim(self, asking: Callable[[], Asking]) -> Claimed:
        await self.may_send.wait()
        asked = asking()
        self.sent.append(asked)
        self.free.append(asked.free)
        self.asked.append([one[0].decode() for one in cast("list[list[bytes]]", unpack(asked.serves))])
        self.replies.append(reply := asyncio.get_running_loop().create_future())
        lanes = await reply
        found: Any = tuple(_Given(lane) for lane in lanes)
        return Claimed(deliveries=found, capped=self.capped, is_all=len(lanes) == asked.free)

    def command(self, asking: Asking) -> tuple[Argument, ...]:
        self.along.append(asking)
        return ("claim",)

    def came(self, asking: Asking, reply: list[Lane]) -> Claimed:
        found: Any = tuple(_Given(lane) for lane in reply)
        return Claimed(deliveries=found, capped=self.capped, is_all=len(reply) == asking.free)

    async def answer(self, *lanes: Lane) -> None:
        self.replies[-1].set_result(list(lanes))
        for _ in range(5):
            await asyncio.sleep(0)


@dataclass
class _Given:
    lane: Lane


@dataclass
class Scene:
    """A worker of one place, or of more."""

    store: Store = field(default_factory=Store)
    held: list[Delivery] = field(default_factory=list[Delivery])
    passed_on: list[Lane] = field(default_factory=list[Lane])
    may_be_idle: bool = True

    def claimer(self, concurrency: int = 1) -> Claimer:
        made = Claimer(
            store=cast("ClaimStore", self.store),
            worker=WorkerId("w"),
            concurrency=concurrency,
            lease_ms=1000,
            read_ms=7000,
            held=lambda: len(self.held),
            is_idle=lambda: not self.held and self.may_be_idle,
            frail_at=2,
            holds_frail=lambda: False,
            start=self.held.append,
            idle=lambda: None,
            settled=lambda: None,
            pass_on=self.passed_on.extend,
        )
        made.serve([Serving(lane=lane, digest=Digest("9f"), limits={}, per_run={}) for lane in (A, B)])
        return made


async def test_what_has_ended_while_a_claim_was_under_way_is_claimed_for_in_the_turn_in_which_that_is_answered() -> (
    None
):
    """So the next claim goes out with the commits that waited for the same round trip."""
    scene = Scene()
    claimer = scene.claimer(2)
    claimer.ask()
    await asyncio.sleep(0)
    claimer.ask()
    asked: list[int] = []
    calls = scene.store.claim

    def claim(asking: Callable[[], Asking]) -> Any:
        asked.append(len(scene.held))
        return calls(asking)

    scene.store.claim = claim
    scene.store.replies[-1].set_result([A])
    await asyncio.sleep(0)
    # The task that waits for the reply goes on in this turn, and has asked again in it.
    assert (len(scene.held), asked) == (1, [1])


async def test_a_bell_that_is_heard_while_another_lane_fills_the_worker_is_rung_for_others() -> None:
    scene = Scene()
    claimer = scene.claimer()
    claimer.ask()
    await asyncio.sleep(0)
    claimer.hear(B)
    await scene.store.answer(A)
    assert (len(scene.held), scene.passed_on) == (1, [B])
    claimer.hear(A)
    assert scene.passed_on == [B, A]


async def test_a_lane_that_rang_is_asked_first_and_its_bell_is_answered_by_what_it_gives() -> None:
    scene = Scene()
    claimer = scene.claimer()
    claimer.hear(B)
    await asyncio.sleep(0)
    assert scene.store.asked == [["b", "a"]]
    await scene.store.answer(B)
    assert scene.passed_on == []
    scene.held.clear()
    claimer.hear(None)
    await asyncio.sleep(0)
    assert scene.store.asked[1:] == [["a", "b"]]
    await scene.store.answer()
    assert len(scene.store.asked) == 2


async def test_a_claim_asks_for_what_is_free_when_it_goes_out() -> None:
    scene = Scene(held=cast("list[Delivery]", [_Given(A), _Given(A)]))
    claimer = scene.claimer(concurrency=3)
    scene.store.may_send.clear()
    claimer.ask()
    await asyncio.sleep(0)
    assert claimer.promised == 0
    del scene.held[0]
    claimer.ask()
    scene.store.may_send.set()
    await asyncio.sleep(0.01)
    assert (scene.store.free, claimer.promised) == ([2], 2)
    await scene.store.answer()
    assert len(scene.store.free) == 1, "asked for again before it was sent, and so not afterwards"


async def test_one_that_goes_out_when_nothing_is_free_any_more_asks_for_nothing() -> None:
    scene = Scene()
    claimer = scene.claimer()
    scene.store.may_send.clear()
    claimer.ask()
    await asyncio.sleep(0)
    scene.held.append(cast("Delivery", _Given(A)))
    scene.store.may_send.set()
    await asyncio.sleep(0.01)
    await scene.store.answer()
    assert (scene.store.free, claimer.missed) == ([0], True)


async def test_what_falls_free_after_a_claim_that_left_nothing_asks_for_nothing() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=3)
    claimer.ask()
    await asyncio.sleep(0)
    await scene.store.answer(A)
    claimer.freed()
    await asyncio.sleep(0)
    assert len(scene.store.free) == 1


@pytest.mark.parametrize("left", ["it was full", "others are to have a share", "it was asked meanwhile", "it failed"])
async def test_but_it_does_where_there_may_be_more(left: str) -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=2)
    scene.store.capped = left == "others are to have a share"
    claimer.ask()
    await asyncio.sleep(0)
    if left == "it was asked meanwhile":
        claimer.ask()
    if left == "it failed":
        scene.store.replies[-1].set_exception(BrokerError("no server"))
        await asyncio.sleep(0.01)
    else:
        await scene.store.answer(*([A, B] if left == "it was full" else [A]))
    scene.held.clear()
    before = len(scene.store.free)
    claimer.freed()
    await asyncio.sleep(0)
    assert len(scene.store.free) == before + (left != "it was asked meanwhile")
    await claimer.close()


async def test_a_bell_is_answered_whatever_the_last_claim_has_left() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=3)
    claimer.ask()
    await asyncio.sleep(0)
    await scene.store.answer()
    claimer.hear(A)
    await asyncio.sleep(0)
    assert len(scene.store.free) == 2
    claimer.freed()
    await scene.store.answer(A)
    await asyncio.sleep(0)
    assert len(scene.store.free) == 3, "that claim was under way, and nobody knew yet what it leaves"
    await scene.store.answer()


async def test_the_claim_of_an_idle_worker_goes_along_with_its_read_and_needs_no_other() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    assert claimer.along() == ("claim",)
    (waiting,) = scene.store.along
    assert (waiting.free, claimer.promised, waiting.along_ms, waiting.again) == (4, 4, 7000, False)
    assert claimer.came([B], B)
    claimer.freed()
    await asyncio.sleep(0)
    assert (len(scene.held), claimer.promised, scene.store.sent, scene.passed_on) == (1, 0, [], [])


async def test_where_it_has_brought_all_that_it_asked_for_another_one_follows() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    claimer.along()
    assert claimer.came([A, A, A, A], A)
    await asyncio.sleep(0.01)
    assert scene.store.free == [12]


@pytest.mark.parametrize(
    "why", ["it executes something", "it owes a slot", "a claim is under way", "one waits", "closed"]
)
async def test_none_goes_along_where(why: str) -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    if why == "it executes something":
        scene.held.append(cast("Delivery", _Given(A)))
    elif why == "it owes a slot":
        scene.may_be_idle = False
    elif why == "a claim is under way":
        claimer.ask()
    elif why == "one waits":
        claimer.along()
    else:
        await claimer.close()
    assert claimer.along() is None


async def test_one_that_is_asked_for_takes_the_place_of_one_that_waits() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    claimer.along()
    claimer.ask()
    await asyncio.sleep(0)
    (waiting,), (sent,) = scene.store.along, scene.store.sent
    assert (sent.fence, sent.free, sent.along_ms, sent.again) == (waiting.fence, 16, 7000, True)
    assert not claimer.came([A], A), "the other one gives what this has taken"
    assert (scene.held, claimer.promised) == ([], 16)
    await scene.store.answer(A)
    claimer.ask()
    await asyncio.sleep(0)
    assert [one.again for one in scene.store.sent] == [True, False]
    assert scene.store.sent[1].fence != waiting.fence


async def test_one_that_is_sent_after_the_other_has_come_is_one_by_itself() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    claimer.along()
    scene.store.may_send.clear()
    claimer.ask()
    await asyncio.sleep(0)
    assert claimer.came([A], A)
    scene.store.may_send.set()
    await asyncio.sleep(0.01)
    assert [(one.free, one.along_ms, one.again) for one in scene.store.sent] == [(15, 0, False)]


async def test_what_it_has_taken_is_asked_for_again_where_its_reply_is_not_known() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    claimer.along()
    assert not claimer.came(ConnectionError("lost"), None)
    assert claimer.along() is None
    claimer.hear(None)
    await asyncio.sleep(0)
    assert [one.fence for one in scene.store.sent] == [scene.store.along[0].fence]


async def test_a_worker_that_closes_takes_its_claim_back_and_begins_what_that_had_taken() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    claimer.along()
    closing = asyncio.create_task(claimer.close())
    await asyncio.sleep(0.01)
    assert [(one.free, one.again) for one in scene.store.sent] == [(0, True)]
    await scene.store.answer(A)
    await closing
    assert (len(scene.held), len(scene.store.sent)) == (1, 1)


async def test_other_lanes_are_asked_at_once_though_a_claim_waits() -> None:
    scene = Scene()
    claimer = scene.claimer(concurrency=16)
    claimer.along()
    claimer.serve([Serving(lane=B, digest=Digest("9f"), limits={}, per_run={})])
    await asyncio.sleep(0)
    assert scene.store.asked == [["b"]]
    await scene.store.answer()
    await claimer.rest()
    assert claimer.along() == ("claim",)
