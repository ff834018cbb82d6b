"""Networks that are silent, slow or cut: what a worker behind them holds is not lost, and it comes back by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.apps.loads import W1
from tests.faults.cluster import LEASE_MS
from tests.faults.experiment import Experiment, meanwhile, seeds
from tests.faults.proxy import Link, SlowLink
from tests.faults.records import Records

CONCURRENCY = 4
DARK_S = 10 * LEASE_MS / 1000
CUT_EVERY_S = 5.0
LONG_LEASE = {"lease_ms": 3_000, "heartbeat_ms": 1_000}
HALF_ROUND_TRIPS = (0.05, 0.3)


@contextmanager
def begun(link: Link) -> Iterator[Link]:
    link.begin()
    try:
        yield link
    finally:
        link.end()


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@pytest.mark.nightly
@pytest.mark.parametrize("seed", seeds(3, 3))
async def test_a_worker_that_hears_nothing_is_replaced_and_comes_back(records: Records, seed: int) -> None:
    """Its half-open connections carry what it has sent when there is light again: commits that come too late."""
    experiment = Experiment(records, "D12 half-open network", seed)
    assert experiment.cluster.settings.url is not None
    with begun(Link(experiment.cluster.settings.url, experiment.cluster.directory)) as link:
        (behind,) = experiment.workers(1, CONCURRENCY, url=link.url, socket_timeout_ms=2_000)
        experiment.workers(2, CONCURRENCY)
        experiment.begin(W1, 10, [f"r{n}" for n in range(30)], pause_s=0.5)
        await asyncio.sleep(experiment.chance.uniform(0.3, 1.0))
        await meanwhile(lambda: experiment.cluster.held_by(behind), "it to be at work")
        link.dark, dark_ms = True, now_ms()
        # What it executes, and what comes in the place of that.
        experiment.fault(leases_lost=2 * CONCURRENCY)
        await meanwhile(lambda: experiment.is_over, "the others to do it all")
        await asyncio.sleep(max(0.0, DARK_S - (now_ms() - dark_ms) / 1000))
        link.dark, light_ms = False, now_ms()
        experiment.begin(W1, 10, [f"again{n}" for n in range(30)], pause_s=0.5)

        def back_ms() -> list[int]:
            return [one.at_ms - light_ms for one in records.starts() if one.pid == behind.pid and one.at_ms > light_ms]

        await meanwhile(back_ms, "it to be back")
        found = await experiment.violations(
            taken_over_ms=records.recoveries_ms({behind.pid: dark_ms}), back_ms=min(back_ms())
        )
        assert found == []
        assert behind.poll() is None


@pytest.mark.nightly
@pytest.mark.parametrize("seed", seeds(3, 3))
async def test_a_slow_link_that_is_cut_again_and_again_costs_no_lease(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D13 slow link, cut every 5 s", seed)
    assert experiment.cluster.settings.url is not None
    url, directory = experiment.cluster.settings.url, experiment.cluster.directory
    with begun(SlowLink(url, directory, seed=seed, between_s=HALF_ROUND_TRIPS)) as link:
        experiment.workers(3, CONCURRENCY, url=link.url, **LONG_LEASE)
        experiment.begin(W1, 10, [f"r{n}" for n in range(40)], pause_s=0.5)
        while not experiment.is_over:
            await asyncio.sleep(CUT_EVERY_S)
            link.cut()
            experiment.fault()
        assert await experiment.violations() == []
        assert experiment.faults > 2
