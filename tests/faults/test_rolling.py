"""Workers of two versions side by side, and one version in place of the other, there and back."""

from __future__ import annotations

import asyncio

import pytest

from broker_wf.handler import WorkflowHandler
from tests.apps.rolling import first, second
from tests.faults.cluster import Cluster, until

VERSIONS = {"first": (first, [1, 0, 1, 2]), "second": (second, [2, 0, 1, 2])}
RUNS, RUNS_AT_NIGHT = 25, 125


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [RUNS, pytest.param(RUNS_AT_NIGHT, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(("old", "new"), [("first", "second"), ("second", "first")])
async def test_runs_keep_to_the_version_they_began_with_while_the_other_takes_over(
    cluster: Cluster, old: str, new: str, count: int
) -> None:
    def runs(name: str) -> list[WorkflowHandler]:
        flow = VERSIONS[name][0](broker=cluster.settings, timeout=None)
        return [flow.run() for _ in range(count)]

    going = cluster.work(4, target=f"tests.apps.rolling:{old}")
    handlers = {old: runs(old), new: []}
    await asyncio.to_thread(cluster.work, 4, target=f"tests.apps.rolling:{new}")
    handlers[new] += runs(new)
    handlers[old] += runs(old)
    for name in (old, new):
        for handler in handlers[name]:
            assert await asyncio.wait_for(handler, 60) == VERSIONS[name][1]
    late = runs(old)
    going.terminate()
    assert await asyncio.to_thread(going.wait, 30) == 0
    await asyncio.to_thread(cluster.work, 4, target=f"tests.apps.rolling:{old}")
    for handler in late:
        assert await asyncio.wait_for(handler, 60) == VERSIONS[old][1]
    assert cluster.client.xlen(cluster.keys.of("dead")) == 0
    await asyncio.to_thread(until, lambda: not cluster.left(), "an empty namespace")
