"""A server that is killed, forgets its scripts, or loses its indexes, under load."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import cast

import pytest

from broker_wf import RunOutcome, run_many
from tests.apps.faulty import Fan
from tests.faults.cluster import Cluster, until

RUNS = 40


async def outcomes(cluster: Cluster, runs: int) -> AsyncIterator[RunOutcome]:
    inputs = ({"count": 10, "pause_s": 0.02, "ledger": str(cluster.ledger)} for _ in range(runs))
    async for outcome in run_many(Fan(broker=cluster.settings), inputs, in_flight=runs):
        yield outcome


async def all_right(cluster: Cluster, runs: int = RUNS) -> int:
    """Run the load; every run must be right. Returns how many there were."""
    count = 0
    async for outcome in outcomes(cluster, runs):
        assert outcome.error is None, outcome.error
        assert outcome.result == list(range(10))
        count += 1
    return count


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("runs", "kills"), [(RUNS, 3), pytest.param(400, 4, marks=pytest.mark.nightly)])
async def test_a_server_killed_and_restarted_under_load_loses_no_run(
    cluster: Cluster, seed: int, runs: int, kills: int
) -> None:
    chance = random.Random(seed)
    for _ in range(2):
        cluster.work(concurrency=4)
    load = asyncio.ensure_future(all_right(cluster, runs))
    lane = "tests.apps.faulty.Fan"
    # A driver that has never met the server does not wait for it.
    await asyncio.to_thread(until, lambda: cluster.client.zcard(cluster.keys.of("live_runs", lane)), "a run")
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.3, 0.8) * (1 if runs == RUNS else 3))
        await asyncio.to_thread(cluster.restart_server, chance.uniform(0.1, 0.6))
    assert await asyncio.wait_for(load, 200) == runs
    await asyncio.to_thread(until, lambda: not cluster.left(), "an empty namespace")


async def test_a_server_that_forgets_its_functions_all_the_time_is_not_noticed(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.work(concurrency=4)
    load = asyncio.ensure_future(all_right(cluster))
    while not load.done():
        await asyncio.to_thread(cluster.client.function_flush)
        await asyncio.sleep(0.05)
    assert load.result() == RUNS


async def test_lost_streams_groups_and_watches_are_made_again_from_the_truth(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.work(concurrency=2)
    load = asyncio.ensure_future(all_right(cluster))
    lane = "tests.apps.faulty.Fan"
    stream = cluster.keys.of("work", lane, "Item")
    watch = cluster.keys.of("watch")

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
    assert await asyncio.wait_for(load, 90) == RUNS
    await asyncio.to_thread(until, lambda: not cluster.left(), "an empty namespace")
