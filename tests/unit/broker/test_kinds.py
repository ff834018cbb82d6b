from __future__ import annotations

import pytest

from broker_wf.broker.kinds import FIELD, RunLimits, packed_kind, spread
from broker_wf.broker.packing import pack
from broker_wf.core.ids import Digest, EventName, Lane, WorkflowName

LIMITS = RunLimits(keep_ms=1, keep_failed_ms=2, window=3, queued_check_ms=4, max_live_runs=5)
ROUTES = pack({"Begin": {"to": ["one"]}})


def kind(lane: str = "flow", max_runs: int | None = None, limits: RunLimits = LIMITS) -> bytes:
    names = (WorkflowName("flow"), Lane(lane), Digest("9f"), EventName("Begin"))
    return packed_kind(limits, *names, 60_000, max_runs, ROUTES)


def test_a_record_has_what_its_kind_has() -> None:
    assert spread({"status": b"running", FIELD: kind()}) == {
        "status": b"running",
        FIELD: kind(),
        "workflow": b"flow",
        "lane": b"flow",
        "digest": b"9f",
        "start_name": b"Begin",
        "timeout_ms": b"60000",
        "keep_ms": b"1",
        "keep_failed_ms": b"2",
        "window": b"3",
        "queued_check_ms": b"4",
        "max_live_runs": b"5",
        "routes": ROUTES,
    }


def test_what_it_has_itself_comes_first() -> None:
    found = spread({FIELD: kind(max_runs=7), "window": b"0", "unkept": b"1"})
    assert (found["window"], found["unkept"], found["max_runs"]) == (b"0", b"1", b"7")


def test_runs_of_one_process_and_of_namespaces_that_keep_no_steps_are_not_kept() -> None:
    assert "unkept" not in spread({FIELD: kind()})
    off = RunLimits(keep_ms=1, keep_failed_ms=2, window=3, queued_check_ms=4, max_live_runs=5, keep_steps=False)
    for one in (kind(lane="flow@process"), kind(limits=off)):
        assert spread({FIELD: one})["unkept"] == b"1"


STRANGE = [
    None,
    b"",
    b"\xc1",
    pack({}),
    pack([1, 2]),
    b"\xdc\xff\xff",
    pack([[]] * 13),
    pack(["w"] * 13),
    pack([7] * 13),
]


@pytest.mark.parametrize("raw", STRANGE)
def test_of_what_is_none_of_ours_nothing_is_known(raw: bytes | None) -> None:
    found = spread({"status": b"running"} if raw is None else {"status": b"running", FIELD: raw})
    assert (found["status"], found["workflow"], found["lane"], found["digest"]) == (b"running", b"", b"", b"")
    assert (int(found["timeout_ms"]), found["routes"]) == (0, pack({}))
    assert not {"max_runs", "unkept"}.intersection(found)
