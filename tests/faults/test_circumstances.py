"""A server whose disk is full (D20), and clocks that jump (D29)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.apps.loads import W1, W2
from tests.faults.experiment import Experiment, meanwhile, seeds
from tests.faults.records import Records
from tests.faults.wrapped import Disk, ServerClock, clock_library, other_clock

WORKERS, CONCURRENCY = 3, 4
ALL_LEASES = 2 * WORKERS * CONCURRENCY
FULL_S = 10.0
HOUR_S = 3600
LIBRARY = clock_library()
needs_clock = pytest.mark.skipif(LIBRARY is None, reason="no libfaketime; BROKER_WF_TEST_FAKETIME names one")


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


async def the_middle(experiment: Experiment) -> None:
    await asyncio.sleep(experiment.chance.uniform(0.2, 1.0))
    await meanwhile(lambda: len(experiment.records.starts()) > WORKERS * CONCURRENCY, "the middle of it")


@pytest.mark.nightly
@pytest.mark.parametrize("seed", seeds(3, 3))
async def test_a_full_disk_is_waited_for(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D20 disk full for 10 s", seed)
    disk = await asyncio.to_thread(Disk, experiment.cluster)
    await asyncio.to_thread(experiment.workers, WORKERS, CONCURRENCY)
    experiment.begin(W1, 10, [f"s{n}" for n in range(60)], pause_s=0.2)
    experiment.begin(W2, 6, [f"m{n}" for n in range(10)])
    await the_middle(experiment)
    disk.fill(experiment.chance.randrange(20_000))
    await meanwhile(lambda: disk.is_full, "the disk to be full")
    experiment.fault(leases_lost=ALL_LEASES)
    await asyncio.sleep(FULL_S)
    before = len(records.starts())
    disk.free()
    freed_ms = now_ms()
    await meanwhile(lambda: len(records.starts()) > before, "work to go on")
    assert await experiment.violations(resumed_ms=now_ms() - freed_ms) == []


@pytest.mark.nightly
@needs_clock
@pytest.mark.parametrize("seed", seeds(3, 3))
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
async def test_a_server_whose_clock_jumps_loses_nothing(records: Records, seed: int, jump_s: int) -> None:
    experiment = Experiment(records, f"D29 the server's clock jumps {jump_s:+,d} s", seed)
    experiment.clock_is_true = False
    assert LIBRARY is not None
    clock = await asyncio.to_thread(ServerClock, experiment.cluster, LIBRARY)
    await asyncio.to_thread(experiment.workers, WORKERS, CONCURRENCY)
    experiment.begin(W1, 10, [f"r{n}" for n in range(40)], pause_s=0.3)
    await the_middle(experiment)
    victim = experiment.chance.choice(experiment.living())
    await meanwhile(lambda: experiment.cluster.held_by(victim), "it to be at work")
    # Its leases end, by the clock as it was, when the jump is over.
    experiment.kill(victim, leases=0)
    clock.jump(jump_s)
    experiment.fault(leases_lost=ALL_LEASES)
    assert await experiment.violations() == []


@pytest.mark.nightly
@needs_clock
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
async def test_the_clock_of_a_worker_is_nobodys_business(
    records: Records, jump_s: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert LIBRARY is not None
    experiment = Experiment(records, f"D29 a worker's clock is {jump_s:+,d} s off")
    await asyncio.to_thread(experiment.workers, 1, CONCURRENCY)
    with monkeypatch.context() as environment:
        for name, value in other_clock(LIBRARY, jump_s, tmp_path).items():
            environment.setenv(name, value)
        other = await asyncio.to_thread(records.work, concurrency=CONCURRENCY)
    experiment.fault()
    experiment.begin(W1, 10, [f"s{n}" for n in range(40)], pause_s=0.1)
    experiment.begin(W2, 6, [f"m{n}" for n in range(10)])
    assert await experiment.violations() == []
    assert any(one.pid == other.pid for one in records.starts())
