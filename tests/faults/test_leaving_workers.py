"""Workers that are told to go, all at one time or one after the other under load (D27)."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.apps.held import Held
from tests.apps.loads import W1
from tests.faults.experiment import Experiment, meanwhile
from tests.faults.invariants import at_rest
from tests.faults.nursery import Child
from tests.faults.records import Records

WORKERS, EACH = 4, 4
DRAIN_MS = 3_000
GONE_WITHIN_S = DRAIN_MS / 1000 + 2
LEASED_WITHIN_MS = 2_000
RESTARTS, RESTARTS_AT_NIGHT = 2, 20


async def gone_ms(child: Child) -> int:
    """When it had gone."""
    await asyncio.to_thread(child.wait, 60)
    return time.monotonic_ns() // 1_000_000


async def test_what_is_short_is_finished_and_what_is_long_is_handed_back(records: Records) -> None:
    experiment, cluster = Experiment(records, "D27 all workers told to go"), records.cluster
    going = experiment.workers(WORKERS, 2 * EACH, drain_timeout_ms=DRAIN_MS)
    gates = [f"gate{n}" for n in range(WORKERS * EACH)]
    long = Held(timeout=120, broker=cluster.settings).run(directory=str(cluster.directory), gates=gates)
    await meanwhile(lambda: len(records.starts("@wait")) == len(gates), "all that is long")
    experiment.begin(W1, EACH, [f"short{n}" for n in range(WORKERS)], pause_s=1.0)
    await meanwhile(lambda: len(records.starts("@work")) == WORKERS * EACH, "all that is short")
    told = time.monotonic()
    for child in going:
        child.terminate()
        experiment.fault()
    ends = [asyncio.ensure_future(gone_ms(child)) for child in going]
    coming = [records.fork(concurrency=2 * EACH, wait=False) for _ in range(WORKERS)]
    gone = dict(zip([child.pid for child in going], await asyncio.gather(*ends), strict=True))
    assert max(gone.values()) / 1000 - told <= GONE_WITHIN_S
    await meanwhile(lambda: len(records.starts("@wait")) == 2 * len(gates), "what is long to begin again")
    assert len(records.starts("@work")) == WORKERS * EACH, "what is short was finished where it was"
    first = {one.delivery: one for one in records.starts("@wait")[: len(gates)]}
    for again in records.starts("@wait")[len(gates) :]:
        before = first[again.delivery]
        assert (again.attempt, again.crashes) == (before.attempt, before.crashes), "it has not aged"
        assert again.pid in {child.pid for child in coming}
        assert again.at_ms - gone[before.pid] <= LEASED_WITHIN_MS
    for gate in gates:
        records.gate(gate)
    assert len((await asyncio.wait_for(long.stop_event_result(), 60)).result) == len(gates)
    assert set(map(str, (await experiment.outcomes()).values())) == {str(W1.result(EACH))}
    assert await asyncio.to_thread(at_rest, cluster) < 30
    assert records.doubled() == []


@pytest.mark.parametrize("restarts", [RESTARTS, pytest.param(RESTARTS_AT_NIGHT, marks=pytest.mark.nightly)])
async def test_workers_replaced_one_after_the_other_under_load_lose_nothing(records: Records, restarts: int) -> None:
    experiment = Experiment(records, "D27 rolling restart under load")
    experiment.workers(3, EACH, drain_timeout_ms=DRAIN_MS)
    for n in range(restarts):
        experiment.begin(W1, 10, [f"r{n}.{i}" for i in range(15)], pause_s=0.1)
        await meanwhile(lambda: any(experiment.cluster.held_by(one) for one in experiment.living()), "work")
        oldest = experiment.living()[0]
        oldest.terminate()
        experiment.fault()
        await asyncio.to_thread(records.fork, concurrency=EACH, wait=False, drain_timeout_ms=DRAIN_MS)
        await asyncio.wait_for(gone_ms(oldest), 60)
    assert await experiment.violations() == []
