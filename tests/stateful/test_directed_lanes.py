"""What a claim finds in the lanes that a worker serves, of which most have nothing."""

from __future__ import annotations

import pytest

from broker_wf.broker.packing import pack
from broker_wf.core.ids import Lane
from tests.stateful.acts import hand_on, only
from tests.stateful.flow import LIMIT, Task
from tests.stateful.rig import Rig


@pytest.mark.parametrize("ready", [(0,), (3,), (0, 1), (0, 3, 6), (2, 5), (999, 1000, 2000)])
def test_a_claim_finds_what_is_ready_wherever_it_is(rig: Rig, ready: tuple[int, ...]) -> None:
    lanes = [Lane(f"{rig.lane}{n}") for n in range(ready[-1] + 1)]
    rig.serves = pack([[lane, rig.program.spec.digest, {}, {}] for lane in lanes])
    for n in reversed(ready):
        rig.lane = lanes[n]
        rig.submit(f"r{n}")
    first = rig.claim("w1", 1)
    assert [one.lane for one in (*first, *rig.claim("w1"))] == [lanes[n] for n in ready]
    assert rig.claim("w1") == ()


def test_places_go_to_deliveries_and_not_to_entries_that_are_none(rig: Rig) -> None:
    runs = [f"r{n}" for n in range(LIMIT + 1)]
    for run in runs:
        rig.submit(run)
    for one in rig.claim("w1"):
        for _ in range(2):
            rig.raw.xadd(rig.key("work", rig.lane, "Task"), {"d": "gone|0@limited"})
        rig.raw.xadd(rig.key("work", rig.lane, "Task"), {"other": "thing"})
        hand_on(rig, one, Task())
    taken = rig.claim("w1")
    assert [one.run_id for one in taken] == runs[:LIMIT]
    assert len(rig.places("limited")) == LIMIT
    assert rig.claim("w2") == ()
    hand_on(rig, taken[0])
    assert only(rig.claim("w2")).run_id == runs[LIMIT]
