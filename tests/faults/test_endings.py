"""Ends that race each other, and drivers that die: all who ask are told the same."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import Counter

import pytest

from broker_wf.errors import WorkflowCancelledByUser
from broker_wf.handler import WorkflowHandler
from broker_wf.settings import Settings
from tests.apps.held import Everything, Told
from tests.apps.loads import Sums
from tests.faults.experiment import Experiment, meanwhile, seeds
from tests.faults.records import Records

COUNT = 8


async def outcome(handler: WorkflowHandler) -> str:
    """What the driver is told, in the words of the run's record."""
    try:
        await asyncio.wait_for(handler.stop_event_result(), 60)
    except WorkflowCancelledByUser:
        return "cancelled"
    return "completed"


@pytest.mark.parametrize("seed", seeds(1, 10))
async def test_a_run_cancelled_as_it_ends_has_one_end_for_all(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D30 cancel against the StopEvent", seed)
    await asyncio.to_thread(experiment.workers, 2, 8)
    flow = Sums(timeout=120, broker=experiment.cluster.settings)
    ends: Counter[str] = Counter()
    for n in range(200):
        handler = flow.run(run_id=f"r{n}", count=1, pause_s=0.0)
        await asyncio.sleep(experiment.chance.uniform(0.0, 0.04))
        await handler.cancel_run()
        told = await outcome(handler)
        record = experiment.cluster.client.hget(experiment.cluster.keys.of("run", f"r{n}"), "status")
        assert record == told.encode()
        if n % 10 == 0:
            assert await outcome(flow.attach(f"r{n}")) == told
        ends[told] += 1
        experiment.fault()
    await meanwhile(lambda: not experiment.cluster.left(), "an empty namespace")
    experiment.say(violations=0, executions=len(records.starts()), ends=dict(ends), runs=ends.total())
    assert set(ends) == {"completed", "cancelled"}


def drive(settings: Settings, run: str) -> None:
    """A driver in a process of its own, that will be killed."""

    async def follow() -> None:
        handler = Everything(timeout=120, broker=settings).run(run_id=run, count=COUNT, pause_s=0.3)
        await handler.stop_event_result()

    asyncio.run(follow())


async def streamed(handler: WorkflowHandler, after: int | None = None) -> list[int]:
    return [one.number async for one in handler.stream_events(after=after) if isinstance(one, Told)]


@pytest.mark.parametrize("seed", seeds(1, 10))
async def test_drivers_that_die_are_replaced_by_any_number_of_others(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D31 drivers killed, and two instead", seed)
    await asyncio.to_thread(experiment.workers, 2, 8)
    keys, client = experiment.cluster.keys, experiment.cluster.client
    names = [f"r{n}" for n in range(2 if seed == 1 else 20)]
    drivers = [
        multiprocessing.get_context("spawn").Process(target=drive, args=(experiment.cluster.settings, one))
        for one in names
    ]
    for one in drivers:
        one.start()
    await meanwhile(lambda: all(client.exists(keys.of("run", one)) for one in names), "the runs")
    for one in drivers:
        await asyncio.sleep(experiment.chance.uniform(0.0, 0.05))
        one.kill()
        experiment.fault()
    flow = Everything(timeout=120, broker=experiment.cluster.settings)
    for name in names:
        first, second = flow.attach(name), flow.attach(name)
        again = flow.run(run_id=name, count=COUNT, pause_s=0.3)
        results = [(await asyncio.wait_for(one.stop_event_result(), 60)).result for one in (first, second, again)]
        assert results == [[list(range(COUNT)), sum(range(COUNT))]] * 3
        told = await asyncio.gather(streamed(first), streamed(second), streamed(again))
        assert told[0] == told[1] == told[2]
        assert sorted(told[0]) == list(range(COUNT))
        assert await streamed(flow.attach(name), after=3) == told[0][-(COUNT - 3) :]
    assert client.zcard(keys.of("ended_runs", flow.workflow_name)) == len(names)
    assert records.doubled() == []
    await meanwhile(lambda: not experiment.cluster.left(), "an empty namespace")
    experiment.say(violations=0, executions=len(records.starts()), runs=len(names))
    for one in drivers:
        one.join()
