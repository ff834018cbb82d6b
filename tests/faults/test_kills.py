"""Workers killed at random, and at each border of a script."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.apps.loads import CHAINS, W1, W2, W3, Load
from tests.faults.experiment import Experiment, seeds
from tests.faults.points import ANY_RUN, arm, armed
from tests.faults.records import Records

CONCURRENCY = 4
POINTS = ["after claim", "leased", "step", "before commit", "after commit"]
MORE = {
    "W1": ["before sweep", "after sweep", "after audit", "before audit"],
    "W2": [
        "before effect",
        "after effect",
        "before fail",
        "after fail",
        "after heartbeat",
        "before change",
        "after change",
        "after lock",
    ],
    "W3": ["before suspend", "after suspend", "before register", "after register"],
}
LOADS = {"W1": W1, "W2": W2, "W3": W3, "chains": CHAINS}


@pytest.mark.parametrize("seed", seeds(1, 5))
@pytest.mark.parametrize("size", ["quick", pytest.param("full", marks=pytest.mark.nightly)])
async def test_workers_killed_at_random_lose_nothing(records: Records, seed: int, size: str) -> None:
    experiment = Experiment(records, f"D1 kill -9 of workers ({size})", seed)
    runs, kills_s, workers = (60, 3.0, 4) if size == "quick" else (300, 12.0, 6)
    experiment.workers(workers, CONCURRENCY, max_crashes=50)
    experiment.begin(W1, 10, [f"r{n}" for n in range(runs)], pause_s=0.1)
    experiment.begin(CHAINS, 10, [f"c{n}" for n in range(runs)], pause_s=0.1)
    until = time.monotonic() + kills_s
    while time.monotonic() < until and not experiment.is_over:
        await asyncio.sleep(0.25 * experiment.chance.uniform(0.5, 1.5))
        experiment.kill(experiment.chance.choice(experiment.living()), CONCURRENCY)
        # Nobody waits until it serves: some are killed before they do.
        await asyncio.to_thread(records.fork, concurrency=CONCURRENCY, wait=False, max_crashes=50)
    assert await experiment.violations() == []


@pytest.mark.parametrize("name", sorted(LOADS))
@pytest.mark.parametrize("round_", seeds(1, 20))
async def test_workers_that_die_at_each_border_of_a_script_lose_nothing(
    records: Records, name: str, round_: int
) -> None:
    """One run per point; whoever is the first to take that run to that point dies there."""
    experiment = Experiment(records, f"D2 death at every border of a script, {name}", round_)
    load: Load = LOADS[name]
    points = POINTS + MORE.get(name, [])
    for number, point in enumerate(points):
        script = point.split(" ")[-1]
        skipped = experiment.chance.randrange(1 if script == "effect" else 4)
        arm(records.points, point, "" if script in ANY_RUN else f"r{number}", skipped)
    count = len(points)
    experiment.begin(load, 6, [f"r{n}" for n in range(count)], pause_s=0.01)
    give_up = time.monotonic() + 60
    while not (experiment.is_over and not armed(records.points)):
        assert time.monotonic() < give_up, armed(records.points)
        for _ in range(3 - len(experiment.living())):
            await asyncio.to_thread(records.fork, concurrency=1, max_crashes=50)
        await asyncio.sleep(0.02)
    for _ in records.deaths():
        # What a worker executes, and what it gave its place away for: its end was on its way, and not yet answered.
        experiment.fault(leases_lost=2)
    assert experiment.faults == count
    assert await experiment.violations() == []
