"""What the sweeper makes of a time in which nobody could reach the server, and of many things due at once."""

from __future__ import annotations

import pytest

from broker_wf.broker.deliveries import Ended
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId
from broker_wf.events import StopEvent
from tests.stateful.acts import begun, hand_on, only
from tests.stateful.flow import Item, Task
from tests.stateful.rig import LEASE_MS, Rig

MAX_CRASHES = 3
OUTAGE_MS = LEASE_MS + 5_000


def after_an_outage(rig: Rig) -> Delivery:
    """A lease that nobody could renew for longer than it lasts; a sweep has seen it."""
    rig.sweep(MAX_CRASHES)
    delivery = begun(rig)
    rig.nobody_was_there(OUTAGE_MS)
    assert rig.sweep(MAX_CRASHES) == 0
    return delivery


def crashes(rig: Rig, delivery: Delivery) -> int:
    return rig.truth(delivery.run_id).live[delivery.id]["c"]


def test_an_outage_longer_than_a_lease_is_no_crash_of_a_worker_that_is_alive(rig: Rig) -> None:
    delivery = after_an_outage(rig)
    assert rig.renew(delivery)
    assert crashes(rig, delivery) == 0
    assert hand_on(rig, delivery, StopEvent()) is Ended.DONE


def test_a_worker_that_died_in_an_outage_is_found_out_half_a_lease_later(rig: Rig) -> None:
    delivery = after_an_outage(rig)
    until = rig.raw.zscore(rig.key("watch"), f"r|{delivery.id}")
    assert abs(until - rig.now_ms() - LEASE_MS / 2) < 5_000
    rig.nobody_was_there(LEASE_MS)
    # Time does not change when that moment is; here it does.
    rig.change_record(delivery, S=int(rig.raw.zscore(rig.key("watch"), f"r|{delivery.id}")))
    assert rig.sweep(MAX_CRASHES) == 1
    assert only(rig.claim("w2")).crashes == 1


def test_a_lease_that_was_due_before_the_outage_is_over(rig: Rig) -> None:
    rig.sweep(MAX_CRASHES)
    begun(rig)
    rig.nobody_was_there(OUTAGE_MS)
    rig.make_due("watch")
    assert rig.sweep(MAX_CRASHES) == 1
    assert only(rig.claim("w2")).crashes == 1


def test_a_lease_renewed_since_one_outage_is_spared_by_the_next(rig: Rig) -> None:
    delivery = after_an_outage(rig)
    assert rig.renew(delivery)
    rig.nobody_was_there(OUTAGE_MS)
    assert rig.sweep(MAX_CRASHES) == 0
    assert rig.renew(delivery)


def test_a_short_pause_of_the_sweepers_spares_nobody(rig: Rig) -> None:
    rig.sweep(MAX_CRASHES)
    delivery = begun(rig)
    rig.raw.set(rig.key("swept"), rig.now_ms() - LEASE_MS // 2)
    rig.raw.zadd(rig.key("watch"), {f"r|{delivery.id}": rig.now_ms() - 1})
    assert rig.sweep(MAX_CRASHES) == 1


def test_a_place_is_spared_with_its_lease(rig: Rig) -> None:
    rig.sweep(MAX_CRASHES)
    hand_on(rig, begun(rig), Task(), Task(), Task())
    held = rig.claim("w1")
    assert len(held) == 2
    running = rig.key("running", rig.lane, "limited")
    for member in rig.places("limited"):
        rig.raw.zadd(running, {member: rig.now_ms() - 1})
    rig.nobody_was_there(OUTAGE_MS)
    assert rig.sweep(MAX_CRASHES) == 0
    assert rig.claim("w2") == ()


def test_one_sweep_ends_a_few_runs_and_says_that_there_is_more(rig: Rig) -> None:
    rig.sweep(MAX_CRASHES)
    for n in range(12):
        begun(rig, f"r{n}")
        rig.raw.zadd(rig.key("watch"), {f"r{n}|!deadline": 1})
    assert [(one.ended, one.more) for one in rig.sweeps(MAX_CRASHES)] == [(5, True), (5, True), (2, False)]
    assert {rig.truth(f"r{n}").status for n in range(12)} == {"timed_out"}


def test_the_place_of_a_worker_that_died_after_its_run_was_cancelled_falls_free_at_the_next_claim(rig: Rig) -> None:
    hand_on(rig, begun(rig), Task(), Task())
    assert len(rig.claim("w1")) == 2
    rig.submit("other")
    hand_on(rig, only(rig.claim("w2")), Task())
    assert rig.claim("w2") == ()
    assert rig.raw.exists(rig.key("parked", rig.lane, "limited"))
    rig.run(rig.broker.runs.cancel(RunId("r")))
    for member in rig.places("limited"):
        rig.raw.zadd(rig.key("running", rig.lane, "limited"), {member: rig.now_ms() - 1})
    assert only(rig.claim("w2")).run_id == "other"


def test_a_place_whose_holder_still_runs_is_held_on(rig: Rig) -> None:
    hand_on(rig, begun(rig), Task())
    holder = only(rig.claim("w1"))
    rig.run(rig.broker.runs.cancel(RunId("r")))
    (member,) = rig.places("limited")
    running = rig.key("running", rig.lane, "limited")
    rig.raw.zadd(running, {member: rig.now_ms() + 10})
    rig.hold_place(holder)
    assert rig.raw.zscore(running, member) > rig.now_ms() + LEASE_MS - 5_000
    rig.run(rig.broker.deliveries.free_places(rig.lane, [holder]))
    rig.hold_place(holder)
    assert rig.places("limited") == []


def test_a_dead_letter_keeps_the_large_parts_of_its_event(rig: Rig) -> None:
    hand_on(rig, begun(rig), Item())
    hash_, part = b"h" * 16, b"x" * 100
    rig.raw.hset(rig.key("blob", "r"), mapping={hash_: part, b"o" * 16: b"other"})
    for _ in range(MAX_CRASHES):
        delivery = only(rig.claim("w1"))
        refer_to(rig, delivery, hash_)
        rig.make_due("watch", f"r|{delivery.id}")
        rig.sweep(MAX_CRASHES)
    assert rig.truth("r").status == "failed"
    assert rig.raw.hget(rig.key("blob", "r"), hash_) == part
    assert rig.raw.hget(rig.key("blob", "r"), b"o" * 16) is None
    assert rig.raw.pttl(rig.key("blob", "r")) > 0


def refer_to(rig: Rig, delivery: Delivery, hash_: bytes) -> None:
    """The delivery's payload, as an event would be whose field travels apart."""
    payload = b"\x12" + (1).to_bytes(4, "big") + hash_ + (100).to_bytes(4, "big") + b"\x80"
    rig.change_record(delivery, p=payload)


@pytest.mark.parametrize("payload", [b"\x12", b"\x12\xff\xff\xff\xff", b"\x13" + b"\xff" * 30, b"", b"\xc1"])
@pytest.mark.parametrize("joins", [None, "slots"])
def test_a_dead_letter_may_hold_anything(rig: Rig, payload: bytes, joins: str | None) -> None:
    delivery = begun(rig)
    rig.change_record(delivery, p=payload, c=MAX_CRASHES - 1, j=joins)
    rig.make_due("watch", f"r|{delivery.id}")
    rig.sweep(MAX_CRASHES)
    assert rig.truth("r").status == "failed"
    assert rig.raw.xlen(rig.key("dead")) == 1
