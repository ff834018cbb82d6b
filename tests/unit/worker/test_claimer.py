from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from broker_wf.broker.asking import Asking, Claimed, Serving
from broker_wf.broker.deliveries import DeliveryStore
from broker_wf.broker.packing import unpack
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Digest, Lane, WorkerId
from broker_wf.worker.claimer import Claimer

A, B = Lane("a"), Lane("b")


@dataclass
class Store:
    """Answers claims when it is told to, with deliveries of these lanes."""

    asked: list[list[str]] = field(default_factory=list[list[str]])
    replies: list[asyncio.Future[list[Lane]]] = field(default_factory=list[asyncio.Future[list[Lane]]])

    async def claim(self, asking: Asking) -> Claimed:
        self.asked.append([one[0].decode() for one in cast("list[list[bytes]]", unpack(asking.serves))])
        self.replies.append(reply := asyncio.get_running_loop().create_future())
        lanes = await reply
        found: Any = tuple(_Given(lane) for lane in lanes)
        return Claimed(deliveries=found, capped=False)

    async def answer(self, *lanes: Lane) -> None:
        self.replies[-1].set_result(list(lanes))
        for _ in range(5):
            await asyncio.sleep(0)


@dataclass
class _Given:
    lane: Lane


@dataclass
class Scene:
    """A worker of one place."""

    store: Store = field(default_factory=Store)
    held: list[Delivery] = field(default_factory=list[Delivery])
    passed_on: list[Lane] = field(default_factory=list[Lane])

    def claimer(self) -> Claimer:
        made = Claimer(
            store=cast("DeliveryStore", self.store),
            worker=WorkerId("w"),
            concurrency=1,
            lease_ms=1000,
            held=lambda: len(self.held),
            frail_at=2,
            holds_frail=lambda: False,
            start=self.held.append,
            idle=lambda: None,
            settled=lambda: None,
            pass_on=self.passed_on.extend,
        )
        made.serve([Serving(lane=lane, digest=Digest("9f"), limits={}, per_run={}) for lane in (A, B)])
        return made


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
