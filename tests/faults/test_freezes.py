"""Workers frozen for longer than their leases: at random, and by a schedule that no chance would find."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import ExitStack

import pytest

from broker_wf.home import close_homes
from tests.apps.loads import W1
from tests.faults.cluster import LEASE_MS, own_cluster
from tests.faults.experiment import Experiment, meanwhile, seeds
from tests.faults.nursery import Child
from tests.faults.records import Records, own_records
from tests.faults.zombies import ORDERS, zombie

CONCURRENCY = 4


def holding(experiment: Experiment) -> list[Child]:
    """Workers that are inside a step."""
    return [one for one in experiment.living() if experiment.cluster.held_by(one)]


@pytest.mark.parametrize("seed", seeds(1, 5))
async def test_workers_frozen_for_longer_than_a_lease_double_nothing(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D6 random SIGSTOP, 1.8 leases", seed)
    runs, for_s, workers = (30, 3.0, 4) if seed == 1 else (200, 12.0, 6)
    experiment.workers(workers, CONCURRENCY, max_crashes=50)
    experiment.begin(W1, 10, [f"r{n}" for n in range(runs)], pause_s=0.4)
    experiment.begin(W1, 2, [f"long{n}" for n in range(3)], pause_s=3 * LEASE_MS / 1000)
    until = time.monotonic() + for_s
    while time.monotonic() < until and not experiment.is_over:
        await meanwhile(lambda: len(holding(experiment)) >= 2 or experiment.is_over, "two workers at work")
        at_work = holding(experiment)
        victims = experiment.chance.sample(at_work, min(2, len(at_work)))
        for one in victims:
            one.send_signal(signal.SIGSTOP)
            experiment.fault(leases_lost=CONCURRENCY)
        await asyncio.sleep(1.8 * LEASE_MS / 1000)
        for one in victims:
            one.send_signal(signal.SIGCONT)
        await asyncio.sleep(experiment.chance.uniform(0.1, 0.5))
    assert await experiment.violations() == []


@pytest.mark.parametrize("round_", seeds(10, 50))
async def test_a_zombie_is_fenced(round_: int) -> None:
    """In both orders at one time, each with a server of its own: they wait for leases nearly all of the time."""
    with ExitStack() as stack:
        clusters = [stack.enter_context(own_cluster()) for _ in ORDERS]
        ledgers = [stack.enter_context(own_records(one)) for one in clusters]
        try:
            both = [
                zombie(Experiment(ledger, f"D5 zombie {order}", round_), order)
                for ledger, order in zip(ledgers, ORDERS, strict=True)
            ]
            assert await asyncio.gather(*both) == [("FENCED", [])] * len(ORDERS)
        finally:
            await close_homes()
