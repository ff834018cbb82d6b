"""Steps that hang: what stops them, and who goes on in place of what cannot be stopped."""

from __future__ import annotations

import asyncio

from broker_wf.handler import WorkflowHandler
from tests.apps.stubborn import Alone, Pooled
from tests.faults.cluster import Cluster, until

WORDS = ("alone", "pooled")


async def within(handler: WorkflowHandler, seconds: float = 60.0) -> object:
    return await asyncio.wait_for(handler.stop_event_result(), seconds)


def pids(cluster: Cluster) -> set[int]:
    """Of the workers in the roster."""
    return {_pid(one) for one in cluster.alive()}


async def test_a_process_whose_step_ignores_its_cancellation_is_replaced_and_the_step_is_tried_again(
    cluster: Cluster,
) -> None:
    alone = cluster.work(1, target="tests.apps.stubborn:Alone")
    pool = cluster.work(1, target="tests.apps.stubborn:Pooled", processes=2)
    before, ledger = cluster.alive(), str(cluster.ledger)
    first, second = (flow(broker=cluster.settings).run(ledger=ledger) for flow in (Alone, Pooled))
    await asyncio.gather(within(first), within(second))
    assert await first == alone.pid, "the command begins anew in its own process"
    starts = {word: [int(line.split()[1]) for line in cluster.lines() if line.startswith(word)] for word in WORDS}
    assert starts["alone"] == [alone.pid] * 2
    assert len(starts["pooled"]) == 2
    hung = starts["pooled"][0]

    def are_replaced() -> bool:
        anew = cluster.alive() - before
        return hung not in pids(cluster) and len(cluster.alive()) == 3 and alone.pid in {_pid(one) for one in anew}

    await asyncio.to_thread(until, are_replaced, "other workers in place of those that hung")
    assert (alone.poll(), pool.poll()) == (None, None)


def _pid(worker: bytes) -> int:
    return int(worker.decode().split("-")[-2])
