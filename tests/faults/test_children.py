"""Workers that are killed while their steps await other runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from tests.apps.nested import Leaf, Middle, Top
from tests.faults.cluster import Cluster, until


async def meanwhile(predicate: Callable[[], object], what: str) -> None:
    """Wait for a predicate without holding the event loop up."""
    await asyncio.to_thread(until, predicate, what)


async def test_a_worker_killed_while_its_steps_await_children_costs_no_child_and_doubles_none(cluster: Cluster) -> None:
    first = cluster.work(concurrency=1, target="tests.apps.nested:workflow")
    handler = Top(broker=cluster.settings).run(count=1, pause_s=1.0, ledger=str(cluster.ledger))
    await meanwhile(lambda: cluster.starts()["leaf"] == 1, "the innermost run to begin")
    first.kill()
    await asyncio.to_thread(partial(cluster.work, 1, target="tests.apps.nested:workflow"))
    await asyncio.wait_for(handler.stop_event_result(), 60)
    assert await handler == 20
    assert cluster.starts() == {"top": 2, "middle": 2, "leaf": 2}
    for flow in (Leaf, Middle, Top):
        assert cluster.client.zcard(cluster.keys.of("ended_runs", flow().workflow_name)) == 1
    await meanwhile(lambda: not cluster.left(), "an empty namespace")
