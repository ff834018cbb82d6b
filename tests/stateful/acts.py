"""What tests of single schedules do with the scripts."""

from __future__ import annotations

from broker_wf.broker.deliveries import Ended
from broker_wf.core.delivery import Delivery
from broker_wf.events import Event
from tests.stateful.rig import Rig

MAX_CRASHES = 3


def begun(rig: Rig, run_id: str = "r") -> Delivery:
    rig.submit(run_id)
    return only(rig.claim("w1"))


def only(claimed: tuple[Delivery, ...]) -> Delivery:
    (one,) = claimed
    return one


def hand_on(rig: Rig, delivery: Delivery, *events: Event, listed: bool = False) -> Ended:
    return rig.commit(rig.plan(delivery, events, listed=listed))


def run_out(rig: Rig, delivery: Delivery) -> None:
    rig.make_due("watch", f"{delivery.run_id}|{delivery.id}")
    rig.sweep(MAX_CRASHES)


def taken_over(rig: Rig, former: Delivery) -> Delivery:
    run_out(rig, former)
    return only(rig.claim("w2"))


def entries(rig: Rig, event: str) -> int:
    return sum(rig.raw.xlen(rig.key(family, rig.lane, event)) for family in ("work", "again"))


def status(rig: Rig) -> str:
    return rig.truth("r").status
