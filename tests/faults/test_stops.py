"""How soon a step stops whose run has ended, or whose lease is lost (D30): a renewal and a second later at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from broker_wf.broker.packing import pack, unpack
from broker_wf.handler import WorkflowHandler
from tests.apps.held import Lasting
from tests.faults.cluster import LEASE_MS, Cluster
from tests.faults.experiment import meanwhile
from tests.faults.proxy import Link
from tests.faults.records import Records

RENEWED_EACH_MS = LEASE_MS / 3
STOPS_WITHIN_MS = RENEWED_EACH_MS + 1_000
NO_ANSWER_MS = 500


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


async def lasting(records: Records, url: str | None = None) -> WorkflowHandler[Any]:
    """A run whose step has begun, at a worker that may have its own way to the server."""
    cluster = records.cluster
    await asyncio.to_thread(records.fork, concurrency=1, url=url, socket_timeout_ms=NO_ANSWER_MS)
    run = Lasting(timeout=120, broker=cluster.settings).run(ledger=str(cluster.ledger))
    await meanwhile(lambda: any(line.startswith("lasts") for line in cluster.lines()), "the step to begin")
    return run


async def stopped_after_ms(cluster: Cluster, since_ms: int) -> int:
    """How long after that the step was stopped."""
    found: list[int] = []

    def is_stopped() -> bool:
        found[:] = [int(line.split()[1]) for line in cluster.lines() if line.startswith("stopped")]
        return bool(found)

    await meanwhile(is_stopped, "the step to stop")
    return found[0] - since_ms


def its_end_was_not_told(cluster: Cluster, run: WorkflowHandler[Any]) -> None:
    """As when the message to the worker is lost."""
    cast(Any, cluster.client).hset(cluster.keys.of("run", run.run_id), "status", "cancelled")


def its_lease_is_anothers(cluster: Cluster, run: WorkflowHandler[Any]) -> None:
    """As when it had run out and was given to somebody else."""
    client, live = cast(Any, cluster.client), cluster.keys.of("live", run.run_id)
    ((delivery, raw),) = client.hgetall(live).items()
    client.hset(live, delivery, pack({**cast("dict[bytes, Any]", unpack(raw)), b"n": "somebody else's"}))


@pytest.mark.parametrize("what", [its_end_was_not_told, its_lease_is_anothers])
async def test_a_step_stops_at_the_next_renewal(
    records: Records, what: Callable[[Cluster, WorkflowHandler[Any]], None]
) -> None:
    run = await lasting(records)
    began_ms = now_ms()
    what(records.cluster, run)
    took_ms = await stopped_after_ms(records.cluster, began_ms)
    print(f"stopped after {took_ms} ms")
    assert took_ms <= STOPS_WITHIN_MS


async def test_a_step_of_a_cancelled_run_stops(records: Records) -> None:
    run = await lasting(records)
    began_ms = now_ms()
    await run.cancel_run()
    took_ms = await stopped_after_ms(records.cluster, began_ms)
    print(f"stopped after {took_ms} ms")
    assert took_ms <= STOPS_WITHIN_MS


async def test_a_step_whose_worker_was_cut_off_stops_when_that_is_over(records: Records) -> None:
    """Until then nobody can tell the worker; then its first renewal that is answered does."""
    cluster = records.cluster
    assert cluster.settings.url is not None
    link = Link(cluster.settings.url, cluster.directory)
    link.begin()
    try:
        run = await lasting(records, link.url)
        link.dark = True
        await asyncio.to_thread(records.fork, concurrency=1)
        await meanwhile(lambda: len(records.starts("@last")) == 2, "another worker to take over")
        link.dark, light_ms = False, now_ms()
        took_ms = await stopped_after_ms(cluster, light_ms)
        print(f"stopped after {took_ms} ms")
        assert took_ms <= STOPS_WITHIN_MS + NO_ANSWER_MS
        await run.cancel_run()
    finally:
        link.end()
