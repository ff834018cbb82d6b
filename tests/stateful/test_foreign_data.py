"""Data that no program of ours has written: they harm nobody, and nothing of them is left."""

from __future__ import annotations

import pytest

from broker_wf.broker.packing import pack
from tests.stateful.acts import MAX_CRASHES, begun, entries, hand_on, only, run_out
from tests.stateful.rig import Rig


def spoil(rig: Rig, did: str, **fields: object) -> None:
    """Put other values into the record of a live delivery of ``r``; None takes a field out."""
    record = rig.truth("r").live[did] | fields
    kept = {name: value for name, value in record.items() if value is not None}
    rig.raw.hset(rig.key("live", "r"), did, pack(kept))


def test_a_queued_delivery_that_has_lost_its_entry_is_put_into_a_stream_again(rig: Rig) -> None:
    rig.submit("r")
    spoil(rig, "0@begin", i=None)
    rig.raw.delete(rig.key("queued"))
    rig.audit()
    rig.make_due("queued")
    assert rig.sweep(MAX_CRASHES) == 1
    assert [one.run_id for one in rig.claim("w1")] == ["r"]
    assert rig.audit() == (0, 0)


@pytest.mark.parametrize(
    "fields", [{"st": ""}, {"st": "x"}, {"p": None}, {"p": 5}, {"b": "x"}, {"c": "many"}, {"m": []}, {"i": "x"}]
)
def test_a_run_one_of_whose_records_is_none_of_ours_is_failed_by_the_audit(rig: Rig, fields: dict[str, object]) -> None:
    rig.submit("r")
    spoil(rig, "0@begin", **fields)
    assert rig.claim("w1") == ()
    assert rig.audit() == (0, 1)
    assert rig.truth("r").status == "failed"
    assert rig.audit() == (0, 0)


def test_a_run_of_a_status_that_is_none_of_ours_is_failed_by_the_audit(rig: Rig) -> None:
    rig.submit("r")
    rig.raw.hset(rig.key("run", "r"), "status", b"\xff garbage")
    assert rig.audit() == (0, 1)
    assert rig.raw.hget(rig.key("run", "r"), "status") == b"failed"
    assert rig.audit() == (0, 0)


@pytest.mark.parametrize("is_leased", [True, False])
def test_a_foreign_entry_that_has_by_chance_the_id_of_a_delivery_in_another_stream_is_dropped(
    rig: Rig, is_leased: bool
) -> None:
    """A walk met it once in 8,000: both streams had got an entry within one millisecond."""
    run_out(rig, begun(rig))
    name = rig.program.spec.name_of(rig.program.spec.start_class)
    at = rig.truth("r").live["0@begin"]["i"]
    held = rig.claim("w2") if is_leased else ()
    if not is_leased:
        rig.raw.zrem(rig.key("ready", rig.lane), f"a:{name}|begin")
    rig.raw.xadd(rig.key("work", rig.lane, name), {"d": "r|0@begin"}, id=at)
    rig.raw.zadd(rig.key("ready", rig.lane), {f"w:{name}|begin": 0})
    assert rig.claim("w1") == ()
    if not is_leased:
        rig.raw.zadd(rig.key("ready", rig.lane), {f"a:{name}|begin": 0})
        held = rig.claim("w2")
    hand_on(rig, only(held))
    assert entries(rig, name) == 0
