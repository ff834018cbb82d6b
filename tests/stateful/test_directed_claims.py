"""Claims that go along with a blocked read, and those that are made in their place."""

from __future__ import annotations

from typing import Any

import pytest

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId
from tests.stateful.acts import MAX_CRASHES, begun, hand_on, only, run_out
from tests.stateful.flow import Item, Task
from tests.stateful.rig import LEASE_MS, Rig

READ_MS = 90_000


def along(rig: Rig) -> dict[str, Any]:
    """A claim that waits behind a blocked read."""
    return {"fence": rig.fence(), "along_ms": READ_MS}


def leases(claimed: tuple[Delivery, ...]) -> list[tuple[str, str, str]]:
    return [(one.run_id, one.id, one.fence) for one in claimed]


def in_place_of(rig: Rig, waiting: dict[str, Any], free: int = 1000) -> tuple[Delivery, ...]:
    return rig.claim("w1", free, again=True, **waiting)


def test_one_that_comes_after_another_was_in_its_place_takes_nothing_more(rig: Rig) -> None:
    waiting = along(rig)
    assert in_place_of(rig, waiting) == ()
    rig.submit("r")
    assert rig.claim("w1", 4, **waiting) == ()
    assert len(rig.claim("w2")) == 1


def test_nor_does_one_whose_worker_was_told_to_stop_meanwhile(rig: Rig) -> None:
    waiting = along(rig)
    rig.submit("r")
    assert in_place_of(rig, waiting, free=0) == ()
    assert rig.claim("w1", 4, **waiting) == ()
    assert len(rig.claim("w2")) == 1


def test_one_in_its_place_gives_what_it_has_taken_and_what_has_come_since(rig: Rig) -> None:
    waiting = along(rig)
    rig.submit("r")
    taken = only(rig.claim("w1", 4, **waiting))
    rig.submit("later")
    both = in_place_of(rig, waiting)
    assert leases(both[:1]) == leases((taken,))
    assert [one.run_id for one in both[1:]] == ["later"]
    assert leases(in_place_of(rig, waiting)) == leases(both), "its own reply was lost"
    assert rig.claim("w2") == ()


def test_one_in_its_place_gives_no_more_than_there_are_places(rig: Rig) -> None:
    waiting = along(rig)
    rig.submit("r")
    taken = only(rig.claim("w1", 4, **waiting))
    rig.submit("later")
    assert leases(in_place_of(rig, waiting, free=1)) == leases((taken,))
    assert only(rig.claim("w2")).run_id == "later"


def test_it_gives_nothing_that_has_ended_meanwhile(rig: Rig) -> None:
    waiting = along(rig)
    rig.submit("r")
    hand_on(rig, only(rig.claim("w1", 4, **waiting)), Task())
    assert only(in_place_of(rig, waiting)).step == "limited"


@pytest.mark.parametrize("goes_along", [True, False])
def test_the_place_of_what_has_ended_before_its_worker_has_heard_of_it_falls_free(rig: Rig, goes_along: bool) -> None:
    """A test met it once in hundreds of runs: whoever asked for the place next waited for a whole lease."""
    hand_on(rig, begun(rig), Task())
    asked = along(rig) if goes_along else {"fence": rig.fence()}
    assert only(rig.claim("w1", 4, **asked)).step == "limited"
    rig.run(rig.broker.runs.cancel(RunId("r")))
    assert rig.places("limited") != []
    assert in_place_of(rig, asked) == ()
    assert rig.places("limited") == []


def test_a_claim_brings_on_the_next_part_of_a_large_fan_out(rig: Rig) -> None:
    hand_on(rig, begun(rig), *[Item(n=n) for n in range(700)], listed=True)
    parts = [len(rig.truth("r").live)]
    for _ in range(3):
        assert len(rig.claim("w1", 1)) == 1
        parts.append(len(rig.truth("r").live))
    assert parts == [200, 400, 600, 700]
    assert rig.raw.llen(rig.key("bell", rig.lane)) > 0, "whoever idles hears of it"
    assert len(rig.claim("w2")) == 697


def test_claims_of_a_worker_by_itself_are_kept_apart_from_those_that_go_along(rig: Rig) -> None:
    waiting, lost = along(rig), rig.fence()
    rig.submit("r")
    rig.submit("later")
    first = rig.claim("w1", 1, fence=lost)
    second = rig.claim("w1", 4, **waiting)
    assert leases(rig.claim("w1", 1, fence=lost, again=True)) == leases(first)
    assert leases(in_place_of(rig, waiting, free=1)) == leases(second)
    assert {only(first).run_id, only(second).run_id} == {"r", "later"}


def test_what_one_has_taken_is_known_for_as_long_as_its_read_may_take(rig: Rig) -> None:
    in_place_of(rig, along(rig))
    assert READ_MS > LEASE_MS
    assert READ_MS - 1000 < rig.raw.pttl(rig.key("claimed", "w1+read")) <= READ_MS


@pytest.mark.parametrize("frail", [True, False])
def test_of_frail_deliveries_there_is_one_with_what_was_taken_before(rig: Rig, frail: bool) -> None:
    hand_on(rig, begun(rig), Item(n=1), Item(n=2))
    for _ in range(MAX_CRASHES - 1 if frail else 0):
        for one in [*rig.claim("w2", 1), *rig.claim("w3", 1)]:
            run_out(rig, one)
    waiting = along(rig)
    assert len(rig.claim("w1", 1, **waiting)) == 1
    assert len(in_place_of(rig, waiting)) == (1 if frail else 2)
