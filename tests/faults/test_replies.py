"""Replies that get lost, runs that get lost, deliveries that come again: nothing is doubled, nothing is missing."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker_wf.handler import WorkflowHandler
from tests.apps.held import Everything, Held, Told
from tests.apps.loads import Load
from tests.faults.cluster import Cluster
from tests.faults.experiment import Experiment, meanwhile
from tests.faults.proxy import LosingLink
from tests.faults.readers import published
from tests.faults.records import Records

COUNT, CONCURRENCY = 20, 4
ENTRIES = 400
BEGUN_AGAIN_AT_MOST = 5
"""99 of 100 steps."""
EVERYTHING = Load(Everything, lambda n: [list(range(n)), sum(range(n))], lambda n: 1 + 2 * n)
"""All that steps do by call; one delivery gathers for each piece."""


@pytest.fixture(params=[1, 2])
def losing(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[LosingLink]:
    assert cluster.settings.url is not None
    link = LosingLink(cluster.settings.url, cluster.directory, seed=request.param)
    link.begin()
    yield link
    link.end()


async def result_of(run: WorkflowHandler) -> object:
    return (await asyncio.wait_for(run.stop_event_result(), 400)).result


def each_was_told_once(experiment: Experiment) -> None:
    """Those of each run, however often what publishes them began."""
    for run, handler in experiment.handlers.items():
        feed = published(experiment.cluster, run, handler)
        assert sorted(event.number for event in feed if isinstance(event, Told)) == list(range(COUNT))


async def everything_is_exact(runs: list[WorkflowHandler]) -> None:
    for run in runs:
        assert await result_of(run) == [list(range(COUNT)), sum(range(COUNT))]
        told = [event.number async for event in run.stream_events() if isinstance(event, Told)]
        assert sorted(told) == list(range(COUNT))


def test_what_is_only_sent_again_is_doubled(cluster: Cluster, losing: LosingLink) -> None:
    """The negative control: a client that sends again what got no reply, and says nothing by which it is known."""
    again = Retry(NoBackoff(), 50)
    with redis.Redis.from_url(losing.url, retry=again, retry_on_error=[redis.ConnectionError]) as client:
        losing.share = 0.05
        for n in range(ENTRIES):
            client.xadd("entries", {"n": n})
    assert cast(int, cluster.client.xlen("entries")) > ENTRIES


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [10, pytest.param(40, marks=pytest.mark.nightly)])
async def test_a_lost_reply_doubles_nothing(records: Records, losing: LosingLink, count: int) -> None:
    """Claims, commits, effects, locks, submits and renewals alike, of workers and of the driver."""
    experiment, cluster = Experiment(records, "D11 replies lost", losing.seed), records.cluster
    experiment.read_one_of = 1
    cluster.settings = replace(cluster.settings, url=losing.url)
    experiment.workers(2, 8)
    experiment.begin(EVERYTHING, COUNT, ["first"])
    await experiment.all_over()
    losing.share = 0.05
    experiment.begin(EVERYTHING, COUNT, [f"r{n}" for n in range(count)])
    await experiment.all_over()
    losing.share = 0.0
    assert losing.lost > 20, "the link has lost too little to show anything"
    for _ in range(losing.lost):
        experiment.fault(leases_lost=1)
    assert await experiment.violations() == []
    assert records.repeated_leases() == []
    assert set(records.committed().values()) <= {1}
    each_was_told_once(experiment)


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_is_collected_and_edited_is_exact_though_workers_die_and_freeze(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D34 changes and collections while workers die and freeze", seed)
    chance = experiment.chance
    experiment.workers(3, CONCURRENCY, max_crashes=10)
    experiment.begin(EVERYTHING, COUNT, [f"r{n}" for n in range(8)], pause_s=0.05)
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        victim, other = chance.sample(experiment.living(), 2)
        victim.send_signal(signal.SIGSTOP)
        other.kill()
        for _ in (victim, other):
            experiment.fault(leases_lost=2 * CONCURRENCY)
        experiment.workers(1, CONCURRENCY, max_crashes=10)
        await asyncio.sleep(chance.uniform(1.0, 2.5))
        victim.send_signal(signal.SIGCONT)
    assert await experiment.violations() == []
    assert set(records.committed().values()) <= {1}
    starts = sorted(Counter((one.run, one.delivery) for one in records.starts()).values())
    again = starts[round(0.99 * (len(starts) - 1))] - 1
    print(f"D34 seed {seed}: of {len(starts)} steps 99 in 100 were begun again {again} times at most")
    assert again <= BEGUN_AGAIN_AT_MOST
    each_was_told_once(experiment)


async def test_a_run_that_the_server_lost_is_made_again_by_its_driver(records: Records) -> None:
    client, keys = records.cluster.client, records.cluster.keys
    run = Everything(timeout=120, broker=records.cluster.settings).run(count=COUNT)
    key = keys.of("run", run.run_id)
    await meanwhile(lambda: client.exists(key), "the run to be accepted")
    # All of the run at once, as a server that lost the end of its log would have it.
    client.delete(*[one for one in client.keys(keys.tag + "*") if one != keys.of("protocol").encode()])
    await meanwhile(lambda: client.exists(key), "the run to be made again")
    records.fork()
    await everything_is_exact([run])


async def test_a_worker_told_to_go_hands_long_steps_back_as_they_were(records: Records) -> None:
    going = records.fork(drain_timeout_ms=300)
    flow = Held(timeout=120, broker=records.cluster.settings)
    run = flow.run(directory=str(records.cluster.directory), gates=["short", "long", "long"])
    await meanwhile(lambda: len(records.starts("@wait")) == 3, "the three leases")
    records.gate("short")
    going.terminate()
    assert await asyncio.to_thread(going.wait, 30) == 0
    other = records.fork()
    await meanwhile(lambda: len(records.starts("@wait")) == 5, "the two leases again")
    assert {(one.attempt, one.crashes) for one in records.starts("@wait")} == {(1, 0)}
    records.gate("long")
    assert await result_of(run) == {"0": going.pid, "1": other.pid, "2": other.pid}
    assert Counter(one.delivery for one in records.starts("@join")).total() == 1
