"""Directed schedules of a worker that is frozen beyond its lease, and of faults put into the scripts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from broker_wf.handler import WorkflowHandler
from tests.apps.held import Held
from tests.faults.cluster import LEASE_MS, until
from tests.faults.nursery import Child
from tests.faults.records import Records, Told

ZOMBIE, KEEP = "hard.zombie", "keep"


async def meanwhile(predicate: Callable[[], object], what: str) -> None:
    """Wait for a predicate without holding the event loop up."""
    await asyncio.to_thread(until, predicate, what)


@dataclass(frozen=True, slots=True)
class Scene:
    """A frozen worker and its successor, both inside one delivery; a third worker keeps the run open."""

    run: WorkflowHandler
    delivery: str
    frozen: Child
    successor: Child


async def two_inside(records: Records, mutant: str | None = None) -> Scene:
    frozen = records.fork(concurrency=1, mutant=mutant)
    flow = Held(timeout=120, broker=records.cluster.settings)
    run = flow.run(directory=str(records.cluster.directory), gates=[ZOMBIE, KEEP])
    await meanwhile(lambda: records.starts("@wait"), "the first lease")
    delivery = records.starts("@wait")[0].delivery
    records.fork(concurrency=1, mutant=mutant)
    await meanwhile(lambda: len(records.starts("@wait")) == 2, "the lease that keeps the run open")
    frozen.send_signal(signal.SIGSTOP)
    successor = records.fork(concurrency=1, mutant=mutant)
    await meanwhile(lambda: len(records.starts(delivery)) == 2, "the successor's lease")
    assert [one.crashes for one in records.starts(delivery)] == [0, 1]
    return Scene(run, delivery, frozen, successor)


async def come_back(records: Records, scene: Scene) -> Told:
    """The frozen worker goes on where it was: straight from its step to its commit. What it is told."""
    records.gate(ZOMBIE, scene.frozen.pid)
    scene.frozen.send_signal(signal.SIGCONT)
    await meanwhile(lambda: of(records, scene.delivery, scene.frozen), "the frozen worker's commit")
    return of(records, scene.delivery, scene.frozen)[0]


def of(records: Records, delivery: str, process: Child) -> list[Told]:
    return [one for one in records.told(process.pid) if one.delivery == delivery]


async def ended(records: Records, scene: Scene) -> object:
    records.gate(KEEP)
    result = await asyncio.wait_for(scene.run.stop_event_result(), 60)
    await meanwhile(lambda: not records.cluster.left(), "an empty namespace")
    return result.result


@pytest.mark.parametrize("order", ["after the successor's commit", "while the successor is inside"])
async def test_a_frozen_worker_that_comes_back_is_fenced(records: Records, order: str) -> None:
    scene = await two_inside(records)
    if order == "after the successor's commit":
        records.gate(ZOMBIE, scene.successor.pid)
        await meanwhile(lambda: of(records, scene.delivery, scene.successor), "the successor's commit")
    assert (await come_back(records, scene)).word == "FENCED"
    records.gate(ZOMBIE, scene.successor.pid)
    result = await ended(records, scene)
    assert isinstance(result, dict)
    assert result["0"] == scene.successor.pid
    assert set(records.committed().values()) == {1}


async def test_without_the_fence_the_frozen_worker_commits(records: Records) -> None:
    scene = await two_inside(records, mutant="no fence")
    assert (await come_back(records, scene)).word == "OK"


async def test_without_re_dispatch_the_work_of_a_killed_worker_stays_undone(records: Records) -> None:
    first = records.fork(mutant="no re-dispatch")
    flow = Held(timeout=120, broker=records.cluster.settings)
    run = flow.run(directory=str(records.cluster.directory), gates=[KEEP])
    await meanwhile(lambda: records.starts("@wait"), "the lease")
    first.kill()
    records.fork(mutant="no re-dispatch")
    records.gate(KEEP)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(run.stop_event_result(), 4 * LEASE_MS / 1000)
    assert len(records.starts("@wait")) == 1
