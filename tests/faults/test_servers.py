"""A server that is killed, forgets its scripts, or loses its indexes, under load."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from statistics import median
from typing import cast

import pytest

from tests.apps.loads import CHAINS, W1, W2
from tests.faults.cluster import WAIT_S
from tests.faults.experiment import Experiment, meanwhile
from tests.faults.recorder import monotonic_ms
from tests.faults.records import Records

WORKERS, CONCURRENCY = 2, 4
HELD = WORKERS * 2 * CONCURRENCY
"""Leases at most, see ``test_two_leases``."""
RUNS, KILLS = 39, 3
RUNS_AT_NIGHT, KILLS_AT_NIGHT = 400, 4
CONSUMES_WITHIN_MS = 5_000
HALF = 0.5
FLUSHED_FOR_S = 10.0
"""A machine may be so slow that functions are gone again by the time they are called: nothing goes on meanwhile."""


async def all_consume(experiment: Experiment) -> int:
    """Give the workers work until each has begun something; how many milliseconds that took."""
    since_ms, give_up = monotonic_ms(), time.monotonic() + WAIT_S
    pids = {one.pid for one in experiment.living()}
    for n in count():
        first = {one.pid: one.at_ms for one in reversed(experiment.records.starts()) if one.at_ms > since_ms}
        if pids <= first.keys():
            return max(first[pid] for pid in pids) - since_ms
        assert time.monotonic() < give_up, f"of {pids} only {set(first)} have come back"
        experiment.begin(W1, 10, [f"late{n}"], pause_s=0.05)
        await asyncio.sleep(0.2)
    raise AssertionError


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("at_night", [False, pytest.param(True, marks=pytest.mark.nightly)])
async def test_a_server_killed_and_restarted_under_load_loses_no_run(
    records: Records, seed: int, at_night: bool
) -> None:
    experiment = Experiment(records, "D3 kill -9 of the server", seed)
    cluster, chance = experiment.cluster, experiment.chance
    runs, kills = (RUNS_AT_NIGHT, KILLS_AT_NIGHT) if at_night else (RUNS, KILLS)
    experiment.workers(WORKERS, CONCURRENCY, max_crashes=50)
    for kill in range(kills):
        experiment.begin(W1, 10, [f"r{kill}.{n}" for n in range(runs // kills)], pause_s=0.05)
        # A driver that has never met the server does not wait for it.
        await meanwhile(lambda: cluster.client.zcard(cluster.keys.of("live_runs", "tests.apps.loads.Sums")), "a run")
        await asyncio.sleep(chance.uniform(0.3, 0.8) * (3 if at_night else 1))
        await asyncio.to_thread(cluster.restart_server, chance.uniform(0.1, 0.6))
        experiment.fault(leases_lost=HELD)
    took_ms = await all_consume(experiment)
    assert await experiment.violations(within_s=200, consumes_ms=took_ms) == []
    if at_night:
        assert took_ms < CONSUMES_WITHIN_MS


async def test_a_server_that_forgets_its_functions_all_the_time_is_not_noticed(records: Records) -> None:
    experiment = Experiment(records, "D10 functions flushed")
    experiment.leases_lost = None
    experiment.workers(WORKERS, CONCURRENCY, max_crashes=50)
    experiment.begin(W1, 10, [f"s{n}" for n in range(30)], pause_s=0.02)
    experiment.begin(W2, 6, [f"m{n}" for n in range(10)])
    experiment.begin(CHAINS, 6, [f"c{n}" for n in range(10)], pause_s=0.02)
    until = time.monotonic() + FLUSHED_FOR_S
    while time.monotonic() < until and not experiment.is_over:
        await asyncio.to_thread(experiment.cluster.client.function_flush)
        experiment.fault()
        await asyncio.sleep(0.05)
    assert await experiment.violations() == []


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_while_functions_are_forgotten_work_goes_on_at_least_half_as_fast(records: Records) -> None:
    experiment = Experiment(records, "D10 functions flushed, speed")
    experiment.leases_lost = None
    experiment.workers(WORKERS, CONCURRENCY, max_crashes=50)
    experiment.begin(W1, 10, ["first"])
    await experiment.all_over()
    took = dict[str, list[float]](calm=[], flushed=[])
    for n in range(6):
        kind = "flushed" if n % 2 else "calm"
        began = time.monotonic()
        experiment.begin(W1, 10, [f"{kind}{n}.{i}" for i in range(60)])
        while not experiment.is_over:
            if kind == "flushed":
                await asyncio.to_thread(experiment.cluster.client.function_flush)
                experiment.fault()
            await asyncio.sleep(0.05)
        took[kind].append(time.monotonic() - began)
    assert await experiment.violations() == []
    share = median(took["calm"]) / median(took["flushed"])
    print(f"D10: {share:.2f} of the throughput while all functions are flushed 20 times a second")
    assert share >= HALF


async def test_lost_streams_groups_and_watches_are_made_again_from_the_truth(records: Records) -> None:
    experiment, cluster = Experiment(records, "D8 whole indexes lost"), records.cluster
    experiment.leases_lost = None
    experiment.workers(WORKERS, 2, max_crashes=50)
    experiment.begin(W1, 10, [f"r{n}" for n in range(40)], pause_s=0.02)
    lane = "tests.apps.loads.Sums"
    stream, watch = cluster.keys.of("work", lane, "Number"), cluster.keys.of("watch")
    await meanwhile(lambda: cluster.client.exists(stream), "work")

    def destroy() -> None:
        cluster.client.xtrim(stream, maxlen=0)
        for member in cast("list[bytes]", cluster.client.zrange(watch, 0, -1))[::2]:
            cluster.client.zrem(watch, member)

    for action in (
        lambda: cluster.client.xgroup_destroy(stream, "work"),
        lambda: cluster.client.delete(stream),
        destroy,
        lambda: cluster.client.delete(cluster.keys.of("queued"), cluster.keys.of("ready", lane)),
    ):
        await asyncio.sleep(0.4)
        await asyncio.to_thread(action)
        experiment.fault()
    assert await experiment.violations() == []
