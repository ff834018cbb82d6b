"""What tests of single schedules do with the scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from broker_wf.broker.deliveries import Ended
from broker_wf.core.delivery import Delivery
from broker_wf.events import Event
from tests.stateful.rig import LATER_MS, Rig

MAX_CRASHES = 3
T = TypeVar("T")


def begun(rig: Rig, run_id: str = "r") -> Delivery:
    rig.submit(run_id)
    return only(rig.claim("w1"))


def one_of(choices: Sequence[T], n: int) -> list[T]:
    """One of them, or none where there is none."""
    return [choices[n % len(choices)]] if choices else []


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


def in_place(rig: Rig, worker: str, free: int, **asking: Any) -> tuple[Delivery, ...]:
    """Claim in the place of a claim that went along with a blocked read, and has taken one."""
    asking |= {"fence": rig.fence(), "along_ms": LATER_MS}
    first = [one.id for one in rig.claim(worker, 1, **asking)]
    found = rig.claim(worker, free, again=True, **asking)
    assert [one.id for one in found][: len(first)] == first
    late = rig.claim(worker, 1, **asking)
    assert [one.id for one in late] == [one.id for one in found], "its connection was given up"
    return found
