"""Ends that race each other, and drivers that die: all who ask are told the same."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from broker_wf.errors import WorkflowCancelledByUser, WorkflowTimeoutError
from broker_wf.handler import WorkflowHandler
from tests.apps.held import Everything, Told
from tests.apps.loads import Sums
from tests.faults.drivers import driver
from tests.faults.experiment import Experiment, meanwhile, seeds
from tests.faults.records import Records

COUNT = 8


RUNS, AT_ONCE = 200, 10
SELDOM = 0.05


async def outcome(handler: WorkflowHandler) -> str:
    """What the driver is told, in the words of the run's record."""
    try:
        await asyncio.wait_for(handler.stop_event_result(), 60)
    except WorkflowCancelledByUser:
        return "cancelled"
    except WorkflowTimeoutError:
        return "timed_out"
    return "completed"


class Finish:
    """How long to wait so that either of two that race wins about as often, however slow the machine is."""

    def __init__(self, chance: random.Random, first_s: float) -> None:
        self._chance, self._middle_s, self._step_s = chance, first_s, first_s / 10

    def next_s(self) -> float:
        """The next one."""
        return max(0.0, self._middle_s + self._chance.uniform(-1, 1) * self._step_s)

    def was(self, *, too_long: bool) -> None:
        """What came of one."""
        self._middle_s = max(0.0, self._middle_s + (-1 if too_long else 1) * self._step_s / 2)


async def one_end_for_all(experiment: Experiment, flow: Sums, handler: WorkflowHandler) -> str:
    """What its driver is told; the record says the same, and so does whoever comes later."""
    told = await outcome(handler)
    record = experiment.cluster.client.hget(experiment.cluster.keys.of("run", handler.run_id), "status")
    assert record == told.encode()
    assert await outcome(flow.attach(handler.run_id)) == told
    experiment.fault()
    return told


async def either_end_is_seen(experiment: Experiment, ends: Counter[str], other: str) -> None:
    await meanwhile(lambda: not experiment.cluster.left(), "an empty namespace")
    starts = experiment.records.starts()
    experiment.say(violations=0, executions=len(starts), ends=dict(ends), runs=ends.total())
    assert set(ends) == {"completed", other}
    assert min(ends.values()) >= SELDOM * ends.total()


@pytest.mark.parametrize("seed", seeds(1, 10))
async def test_a_run_cancelled_as_it_ends_has_one_end_for_all(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D30 cancel against the StopEvent", seed)
    await asyncio.to_thread(experiment.workers, 2, 8)
    flow = Sums(timeout=120, broker=experiment.cluster.settings)
    finish, ends = Finish(experiment.chance, 0.02), Counter[str]()
    for n in range(RUNS):
        handler = flow.run(run_id=f"r{n}", count=1, pause_s=0.0)
        await asyncio.sleep(finish.next_s())
        await handler.cancel_run()
        told = await one_end_for_all(experiment, flow, handler)
        finish.was(too_long=told == "completed")
        ends[told] += 1
    await either_end_is_seen(experiment, ends, "cancelled")


@pytest.mark.parametrize("seed", seeds(1, 10))
async def test_a_run_that_times_out_as_it_ends_has_one_end_for_all(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D30 time-out against the StopEvent", seed)
    await asyncio.to_thread(experiment.workers, 2, 8)
    flow = Sums(timeout=0.3, broker=experiment.cluster.settings)
    finish, ends = Finish(experiment.chance, 0.25), Counter[str]()
    for n in range(0, RUNS, AT_ONCE):
        begun = [
            flow.run(run_id=f"r{n + i}", count=1, pause_s=finish.next_s() + 0.002 * i - 0.001 * AT_ONCE)
            for i in range(AT_ONCE)
        ]
        for handler in begun:
            told = await one_end_for_all(experiment, flow, handler)
            finish.was(too_long=told == "timed_out")
            ends[told] += 1
    await either_end_is_seen(experiment, ends, "timed_out")


async def streamed(handler: WorkflowHandler, after: int | None = None) -> list[int]:
    return [one.number async for one in handler.stream_events(after=after) if isinstance(one, Told)]


@pytest.mark.parametrize("seed", seeds(1, 10))
async def test_drivers_that_die_are_replaced_by_any_number_of_others(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D31 drivers killed, and two instead", seed)
    await asyncio.to_thread(experiment.workers, 2, 8)
    keys, client = experiment.cluster.keys, experiment.cluster.client
    names = [f"r{n}" for n in range(20)]
    drivers = [driver(experiment.cluster.settings, one, COUNT, 0.3) for one in names]
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
