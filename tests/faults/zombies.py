"""The schedule of a zombie: a worker that is frozen inside a delivery, comes back, and commits.

The first worker is frozen beyond its lease, a second one is given the delivery, a third one keeps the run open. The
first comes back after the second has committed, or while it is inside.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from tests.apps.held import Held
from tests.faults.experiment import Experiment, meanwhile
from tests.faults.invariants import Faults, at_rest, violations

ORDERS = ["after the successor's commit", "while the successor is inside"]
ZOMBIE, KEEP = "hard.zombie", "keep"


async def zombie(experiment: Experiment, order: str, mutant: str | None = None) -> tuple[str, list[str]]:
    """What the zombie was told, and what does not hold at the end."""
    records = experiment.records
    frozen = await asyncio.to_thread(records.fork, concurrency=1, mutant=mutant)
    flow = Held(timeout=120, broker=experiment.cluster.settings)
    run = flow.run(directory=str(experiment.cluster.directory), gates=[ZOMBIE, KEEP])
    await meanwhile(lambda: records.starts("@wait"), "the first lease")
    delivery = records.starts("@wait")[0].delivery
    await asyncio.to_thread(records.fork, concurrency=1, mutant=mutant)
    await meanwhile(lambda: len(records.starts("@wait")) == 2, "the lease that keeps the run open")
    frozen.send_signal(signal.SIGSTOP)
    successor = await asyncio.to_thread(records.fork, concurrency=1, mutant=mutant)
    await meanwhile(lambda: len(records.starts(delivery)) == 2, "the successor's lease")
    experiment.fault(leases_lost=1)

    def told(pid: int) -> list[str]:
        return [one.word for one in records.told(pid) if one.delivery == delivery]

    if order == ORDERS[0]:
        records.gate(ZOMBIE, successor.pid)
        await meanwhile(lambda: told(successor.pid), "the successor's commit")
    records.gate(ZOMBIE, frozen.pid)
    frozen.send_signal(signal.SIGCONT)
    await meanwhile(lambda: told(frozen.pid), "the zombie's commit")
    records.gate(ZOMBIE, successor.pid)
    records.gate(KEEP)
    result: object = None
    with suppress(asyncio.TimeoutError):
        result = (await asyncio.wait_for(run.stop_event_result(), 20)).result
    await asyncio.to_thread(at_rest, experiment.cluster, 5.0)
    found = violations(records, {}, {}, Faults(count=1, leases_lost=1))
    if not isinstance(result, dict) or result.get("0") != successor.pid:
        found.append(f"I2: {result!r} is not the successor's, {successor.pid}")
    experiment.say(violations=len(found), executions=len(records.starts()), again=1, told=told(frozen.pid)[0])
    return told(frozen.pid)[0], found
