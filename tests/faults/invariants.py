"""What must hold at the end of each experiment, by the ledger and by Redis. The numbers are those of the fault plan.

* I1: each accepted run has exactly one end: status, result, place among the ended runs, last entry of the feed.
* I2: its result is the model's, in Redis and for its driver.
* I3: it executed what the model says; each delivery was committed once between any two rollbacks of the server.
* I4: what was begun again was begun again because a lease ran out, and no more ran out than the faults explain.
* I5: nothing is queued, pending, watched or live.
* I6: no key of a run is without an expiry.
* I7: readers see every event of committed attempts, the one that ends the run last, and end with it (readers.py).
* I8: who came too late was told so.
* I9: no worker met an exception of its own that it did not handle.
* I10: what a dead worker held is begun again in time (experiment.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from broker_wf.broker.keys import FAMILIES, Life
from tests.faults.cluster import Cluster
from tests.faults.records import Records
from tests.feed_entries import feed_entries

REFUSALS = {"FENCED", "GONE", "DONE", "STALE_BUFFER", "FORGOTTEN", "NO_BLOB", "FIELDS"}
TERMINAL = {b"completed", b"failed", b"cancelled", b"timed_out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the model says of a run.

    Attributes:
        executed: deliveries it consists of; None where that is not fixed.
        waits: its steps wait for events, and begin again when these have come.
    """

    workflow: str
    result: object
    executed: int | None = None
    waits: bool = False
    status: str = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What was done to the system: how often, and how much each could have begun again at most.

    Attributes:
        leases_lost: at most, over all faults; None where faults take whatever there is.
    """

    count: int
    leases_lost: int | None = None


def violations(
    records: Records,
    runs: Mapping[str, Expected],
    outcomes: Mapping[str, object],
    faults: Faults,
) -> list[str]:
    """Everything that does not hold; the namespace has come to rest when this is called.

    Args:
        outcomes: what each run's driver was given.
    """
    cluster = records.cluster
    found: list[str] = []
    for run, expected in runs.items():
        found += [f"{run}: {one}" for one in _of_run(cluster, run, expected)]
        if outcomes[run] != expected.result:
            found.append(f"{run}: I2: its driver was given {outcomes[run]!r}, not {expected.result!r}")
    found += [f"I5: {name}: {count}" for name, count in cluster.left().items()]
    found += _of_ledger(records, faults, {run for run, expected in runs.items() if expected.waits})
    found += _of_keys(cluster)
    log = cluster.directory / "workers.log"
    if log.exists() and "Traceback" in log.read_text():
        found.append(f"I9: {log.read_text()[-3000:]}")
    return found


def _of_run(cluster: Cluster, run: str, expected: Expected) -> list[str]:
    client, keys, found = cast(Any, cluster.client), cluster.keys, list[str]()
    record = client.hgetall(keys.of("run", run))
    if record.get(b"status") != expected.status.encode():
        return [f"I1: its status is {record.get(b'status')}, not {expected.status}"]
    if (b"result" in record) == (b"error" in record):
        found.append("I1: it has not one of result and error")
    if client.zscore(keys.of("live_runs", expected.workflow), run) is not None:
        found.append("I1: it is among the live runs")
    if client.zscore(keys.of("ended_runs", expected.workflow), run) is None:
        found.append("I1: it is not among the ended runs")
    feed = feed_entries(client, keys, run)
    ends = [i for i, (_, entry) in enumerate(feed) if entry[b"p"] == record.get(b"result", b"")]
    if ends != [len(feed) - 1]:
        found.append(f"I1: of {len(feed)} entries of its feed {ends} end it")
    done = client.hlen(keys.of("done", run))
    if expected.executed is not None and done != expected.executed:
        found.append(f"I3: {done} deliveries are done, the model has {expected.executed}")
    return found


def _of_ledger(records: Records, faults: Faults, waiting: set[str]) -> list[str]:
    found = [f"I3: committed again though that was not lost: {what}" for what in records.doubled()]
    for one in records.told():
        if one.word != "OK" and one.word not in REFUSALS:
            found.append(f"I8: told {one}")
    begun_again = after_crashes(records)
    if faults.leases_lost is not None and begun_again > faults.leases_lost:
        found.append(f"I4: {begun_again} were begun again; {faults.count} faults explain {faults.leases_lost}")
    if len(records.starts()) < sum(records.committed().values()):
        found.append("I4: more was committed than begun")
    if not records.rollbacks:
        repeated = [one for one in records.repeated_leases() if one.run not in waiting]
        found += [f"I4: begun twice under one lease: {one}" for one in repeated]
    return found


def after_crashes(records: Records) -> int:
    """Executions that began though another of the same attempt had begun, because its lease ran out."""
    leased = (one for one in records.starts() if one.crashes >= 0)
    began = {(one.run, one.delivery, one.attempt, one.crashes) for one in leased}
    return len(began) - len({one[:3] for one in began})


def _of_keys(cluster: Cluster) -> list[str]:
    client, found = cast(Any, cluster.client), list[str]()
    for raw in client.scan_iter(match=cluster.keys.tag + "*", count=1000):
        name = raw.decode().removeprefix(cluster.keys.tag).partition(":")[0]
        if name not in FAMILIES:
            found.append(f"I6: {raw!r} is of no family")
        elif FAMILIES[name].life not in (Life.NAMESPACE, Life.LANE) and client.pttl(raw) == -1:
            found.append(f"I6: {raw!r} never expires")
    return found


def at_rest(cluster: Cluster, within_s: float = 30.0) -> float:
    """Wait until nothing is live, or for so long; how long that took. The check of I5 says what was left."""
    began = time.monotonic()
    while cluster.left() and time.monotonic() - began < within_s:
        time.sleep(0.02)
    return time.monotonic() - began
