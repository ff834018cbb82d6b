"""A server that is emptied: who waits for a run makes it again, and who comes later is told that it is lost (D9)."""

from __future__ import annotations

import asyncio

import pytest

from broker_wf.errors import RunNotFoundError
from tests.apps.held import Everything
from tests.apps.loads import W1, W2, W3
from tests.faults.drivers import driver
from tests.faults.experiment import Experiment, meanwhile, seeds
from tests.faults.records import Records

_REPLIES_S = 0.1
"""Workers still hear then of what they had committed before; it is made again once its driver has missed it."""


@pytest.mark.nightly
@pytest.mark.parametrize("seed", seeds(5, 5))
async def test_an_emptied_server_is_filled_again_by_those_who_wait(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D9 FLUSHALL", seed)
    experiment.leases_lost = None
    workers = await asyncio.to_thread(experiment.workers, 3, 4)
    keys, client = experiment.cluster.keys, experiment.cluster.client
    # Nobody waits for this one any more.
    alone = driver(experiment.cluster.settings, "alone", 50, 1.0)
    await meanwhile(lambda: client.exists(keys.of("run", "alone")), "the run to be accepted")
    alone.kill()
    alone.join()
    experiment.begin(W1, 10, [f"s{n}" for n in range(40)], pause_s=0.2)
    experiment.begin(W2, 6, [f"m{n}" for n in range(10)])
    await asyncio.sleep(experiment.chance.uniform(0.2, 1.0))
    await meanwhile(lambda: len(records.starts()) > 20, "the middle of it")
    await asyncio.to_thread(client.flushall)
    await asyncio.sleep(_REPLIES_S)
    records.rolled_back()
    experiment.fault()
    flow = Everything(timeout=120, broker=experiment.cluster.settings)
    with pytest.raises(RunNotFoundError):
        await asyncio.wait_for(flow.attach("alone").stop_event_result(), 60)
    experiment.begin(W3, 6, ["asks"])
    assert await experiment.violations() == []
    assert all(one.poll() is None for one in workers)
