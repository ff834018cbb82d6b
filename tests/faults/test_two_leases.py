"""How much dies with a worker: twice its places, and no more.

A worker gives a place away while the end of an execution is on its way. That end may turn out to be none: somebody else
has changed what the step decided by, and it is executed again under the same lease, beside what came in its place.
"""

from __future__ import annotations

import asyncio

from broker_wf.handler import WorkflowHandler
from tests.apps.held import Pairs
from tests.faults.experiment import Experiment, meanwhile
from tests.faults.invariants import after_crashes, at_rest
from tests.faults.nursery import Child
from tests.faults.records import Records, Told

LONG_ENOUGH_TO_CLAIM_S = 2.0


async def reaches(records: Records, gate: str) -> None:
    came = records.cluster.directory / f"{gate}.came"
    await meanwhile(came.exists, f"an execution at {gate}")


async def overtaken(records: Records, run: str, slow: Child, quick: Child) -> None:
    """Both decide that their event is alone; the commit of the slow one is refused, and it decides anew."""
    for one in (slow, quick):
        await reaches(records, f"{run}.alone.{one.pid}")
    records.gate(f"{run}.alone", quick.pid)
    await meanwhile(lambda: any(one.run == run for one in gathered(records, quick)), "the quick one's commit")
    records.gate(f"{run}.alone", slow.pid)
    await reaches(records, f"{run}.both.{slow.pid}")


def gathered(records: Records, child: Child) -> list[Told]:
    found = records.told(child.pid)
    return [one for one in found if (one.script, one.word) == ("commit", "OK") and one.delivery.endswith("@gather")]


async def test_a_worker_with_one_place_dies_with_two_leases_and_never_with_three(records: Records) -> None:
    experiment = Experiment(records, "D2 two leases of one place")
    slow, quick = await asyncio.to_thread(experiment.workers, 2, 1)
    flow = Pairs(timeout=120, broker=experiment.cluster.settings)
    directory, runs = str(experiment.cluster.directory), ["first", "second", "third"]
    handlers = list[WorkflowHandler]()
    for run in runs[:2]:
        handlers.append(flow.run(run_id=run, directory=directory, run=run))
        await overtaken(records, run, slow, quick)
    assert experiment.cluster.held_by(slow) == 2
    handlers.append(flow.run(run_id=runs[2], directory=directory, run=runs[2]))
    await reaches(records, f"third.alone.{quick.pid}")
    await asyncio.sleep(LONG_ENOUGH_TO_CLAIM_S)
    assert experiment.cluster.held_by(slow) == 2
    assert not (experiment.cluster.directory / f"third.alone.{slow.pid}.came").exists()
    experiment.kill(slow, leases=2)
    for run in runs:
        for gate in ("alone", "both"):
            records.gate(f"{run}.{gate}", quick.pid)
    for handler in handlers:
        assert (await asyncio.wait_for(handler.stop_event_result(), 60)).result == quick.pid
    await asyncio.to_thread(at_rest, experiment.cluster)
    assert experiment.cluster.left() == {}
    assert after_crashes(records) == 2
    assert records.doubled() == []
    experiment.say(violations=0, executions=len(records.starts()), again=2, runs=len(runs))
