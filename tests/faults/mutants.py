"""The twelve faults of the plan, put into the scripts and the worker, each with the experiment that notices it.

``python -m tests.faults.mutants`` puts them in one by one and prints what noticed each.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

from tests.apps.held import Held
from tests.apps.loads import W1
from tests.faults.experiment import Experiment, meanwhile
from tests.faults.points import arm
from tests.faults.test_torn_logs import TornLog
from tests.faults.zombies import ORDERS, zombie

Check = Callable[[Experiment, "str | None"], Awaitable[list[str]]]


async def fenced(experiment: Experiment, mutant: str | None) -> list[str]:
    """A zombie that comes back while its successor is inside."""
    told, found = await zombie(experiment, ORDERS[1], mutant)
    return found + ([] if told == "FENCED" else [f"I8: the zombie was told {told}"])


async def fenced_in_another_time(experiment: Experiment, mutant: str | None) -> list[str]:
    """A zombie from a time that the server has lost: its lease was given out again, to another."""
    records, directory = experiment.records, str(experiment.cluster.directory)
    log = TornLog(experiment, repair=False)
    run = Held(timeout=120, broker=experiment.cluster.settings).run(directory=directory, gates=["hard.zombie"])
    await meanwhile(lambda: experiment.cluster.client.exists(experiment.cluster.keys.of("run", run.run_id)), "the run")
    kept = await asyncio.to_thread(log.note)
    zombie_ = await asyncio.to_thread(records.fork, concurrency=1, mutant=mutant)
    await meanwhile(lambda: records.starts("@wait"), "the first lease")
    zombie_.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(log.tear, kept, tail=0)
    other = await asyncio.to_thread(records.fork, concurrency=1, mutant=mutant)
    await meanwhile(lambda: len(records.starts("@wait")) == 2, "the second lease")
    records.gate("hard.zombie", zombie_.pid)
    zombie_.send_signal(signal.SIGCONT)
    await meanwhile(lambda: of_waiting(experiment, zombie_.pid), "the zombie's commit")
    records.gate("hard.zombie", other.pid)
    await asyncio.wait_for(run.stop_event_result(), 30)
    word = of_waiting(experiment, zombie_.pid)[0]
    return [] if word == "FENCED" else [f"I8: a zombie of a lost time was told {word}"]


def of_waiting(experiment: Experiment, pid: int) -> list[str]:
    """What a process was told of its commit of a step that waited."""
    return [one.word for one in experiment.records.told(pid) if one.delivery.endswith("@wait")]


async def without_faults(experiment: Experiment, mutant: str | None) -> list[str]:
    """A run submitted before there is a worker, and a fan-out; nothing is to be repaired."""
    experiment.begin(W1, 10, ["r0", "r1"])
    client, keys = experiment.cluster.client, experiment.cluster.keys
    await meanwhile(lambda: client.exists(keys.of("run", "r1")), "the runs")
    experiment.workers(1, 2, mutant=mutant)
    found = await experiment.violations(20)
    repairs = experiment.records.repairs()
    return found + ([f"I11: {repairs} repairs though there was no fault"] if repairs else [])


async def killed_after_the_end(experiment: Experiment, mutant: str | None) -> list[str]:
    """A worker dies right after the commit that ended the run."""
    arm(experiment.records.points, "after commit", "r0", 2)
    experiment.begin(W1, 1, ["r0"])
    await asyncio.to_thread(experiment.workers, 1, 1, mutant=mutant)
    await meanwhile(experiment.records.deaths, "the death")
    experiment.fault(leases_lost=1)
    return await experiment.violations(10)


PLAN: dict[str, Check | str] = {
    "no fence": fenced,
    "one nonce for all": fenced,
    "nonces of attempts": fenced_in_another_time,
    "acknowledged before the checks": "tests/stateful",
    "effects are repeated": "tests/stateful",
    "collected events are counted and not named": "tests/faults/test_mutants.py",
    "no re-dispatch": "tests/stateful",
    "work streams are trimmed": without_faults,
    "anybody may renew": "tests/faults/test_mutants.py",
    "groups begin at the end": without_faults,
    "the last event after the script": killed_after_the_end,
    "the feed never expires": without_faults,
}
"""Per mutant the experiment here, or where else the quick tier notices it."""

if __name__ == "__main__":
    tests = ["tests/faults/test_mutants.py", "tests/stateful/test_noticed.py"]
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-v", "--no-header", *tests]))
