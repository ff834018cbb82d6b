"""Values as large and as deep as they may be, and a little more (D24); what others see of the server meanwhile."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest
import redis

from broker_wf.errors import LimitExceededError
from tests.apps.large import Large, deep
from tests.faults.cluster import Cluster
from tests.faults.drivers import forking
from tests.faults.experiment import Experiment
from tests.faults.records import Records

LIMIT = 32 * 1024 * 1024
DEEPEST = 64
CARRIERS = ["event", "sent", "published", "result", "state"]
OVER = re.compile(r"([\d,]+) is over the limit of ([\d,]+)")
EVERY_S = 0.005
MOST_MS = 50
"""Half of somebody else's commands; the plan means all but one in a hundred, on a machine that does nothing else."""


def ping(url: str, stop: Connection) -> None:
    """Ask the server again and again until told to stop; hands over how many milliseconds each time took."""
    took: list[float] = []
    with redis.Redis.from_url(url) as client:
        client.ping()
        stop.send("begun")
        while not stop.poll(EVERY_S):
            began = time.perf_counter()
            client.ping()
            took.append((time.perf_counter() - began) * 1000)
    stop.send(sorted(took))


@contextmanager
def somebody_else(cluster: Cluster) -> Iterator[list[float]]:
    """What a client that has nothing to do with it all waits for its replies, in order; filled at the end."""
    took: list[float] = []
    here, there = multiprocessing.Pipe()
    process = forking().Process(target=ping, args=(cluster.settings.url, there))
    process.start()
    try:
        here.recv()
        yield took
        here.send("stop")
        took += here.recv()
    finally:
        process.kill()
        process.join()
        here.close()
        there.close()


async def refusal(flow: Large, **asked: object) -> str:
    """The words with which a run was refused."""
    with pytest.raises(Exception, match="over the limit") as caught:
        await asyncio.wait_for(flow.run(**asked), 60)
    assert LimitExceededError.__name__ in f"{type(caught.value).__name__} {caught.value!r}"
    return str(caught.value)


@pytest.mark.parametrize(
    "carrier", [CARRIERS[0], *(pytest.param(one, marks=pytest.mark.nightly) for one in CARRIERS[1:])]
)
async def test_what_is_as_large_as_it_may_be_travels_and_one_byte_more_is_refused_where_it_begins(
    records: Records, carrier: str
) -> None:
    experiment = Experiment(records, f"D24 32 MiB as {carrier}")
    await asyncio.to_thread(experiment.cluster.work, target="tests.apps.large:workflows")
    flow = Large(timeout=120, broker=experiment.cluster.settings)
    with somebody_else(experiment.cluster) as took:
        found = OVER.search(await refusal(flow, carrier=carrier, size=LIMIT))
        assert found is not None
        encoded, limit = (int(one.replace(",", "")) for one in found.groups())
        assert limit == LIMIT
        fits = LIMIT - (encoded - LIMIT)
        assert "33,554,433" in await refusal(flow, carrier=carrier, size=fits + 1)
        assert await asyncio.wait_for(length(flow, carrier, fits), 60) == fits
    middle, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    experiment.say(violations=0, runs=3, ping_ms=[round(one, 1) for one in (middle, p99, took[-1])])
    assert middle < MOST_MS


async def length(flow: Large, carrier: str, size: int) -> int:
    result = await flow.run(carrier=carrier, size=size)
    return len(result) if carrier == "result" else result


async def test_what_is_as_deep_as_it_may_be_travels_and_one_level_more_is_refused(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.work, target="tests.apps.large:workflows")
    flow = Large(timeout=120, broker=cluster.settings)
    for carrier in CARRIERS:
        # An event is a level itself.
        deepest = DEEPEST if carrier == "state" else DEEPEST - 1
        result = await asyncio.wait_for(flow.run(carrier=carrier, depth=deepest), 60)
        assert result == (deep(deepest) if carrier == "result" else 1)
        assert "65 is over the limit of 64" in await refusal(flow, carrier=carrier, depth=deepest + 1)
