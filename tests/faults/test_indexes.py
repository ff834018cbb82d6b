"""Entries that come twice, and streams, groups and watch sets that are destroyed under load."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.apps.loads import W1, W2, Sums
from tests.faults.experiment import Experiment, meanwhile, seeds
from tests.faults.invariants import after_crashes
from tests.faults.nursery import Child
from tests.faults.records import Records

DESTROYED = {"destroy": 2, "trim": 2, "delete": 2, "setid": 1, "delconsumer": 3, "watch": 1, "functions": 1}
CONCURRENCY = 4
HOUR_MS = 3_600_000
LINES = 5
"""What a worker may log of each of them."""
GONE_WITHIN_S = 1.0
"""Copies, once nobody has anything else to do; looked at at night."""
IDLE_S, IDLE_SHARE = 3.0, 0.2
"""What an idle worker may take of a processor."""


def streams(experiment: Experiment) -> list[bytes]:
    """Keys of all streams of work."""
    client, tag = cast(Any, experiment.cluster.client), experiment.cluster.keys.tag
    return sorted(key for family in ("work", "again") for key in client.scan_iter(match=f"{tag}{family}:*"))


class Copies:
    """Somebody who adds entries again, as a client that repeats XADD by itself would."""

    def __init__(self, experiment: Experiment, share: float) -> None:
        self.experiment, self.share = experiment, share
        self.client = cast(Any, experiment.cluster.client)
        self.seen: dict[tuple[bytes, bytes], dict[bytes, bytes]] = {}

    def add(self) -> None:
        """Copies of a share of what was not seen before."""
        for key in streams(self.experiment):
            for entry, fields in self.client.xrange(key):
                if (key, entry) not in self.seen:
                    self.seen[key, entry] = fields
                    if self.experiment.chance.random() < self.share:
                        self.seen[key, self.client.xadd(key, fields)] = fields
                        self.experiment.fault()

    def add_all_again(self) -> None:
        for (key, _), fields in list(self.seen.items()):
            self.client.xadd(key, fields)
            self.experiment.fault()

    def ring(self) -> None:
        """Say of all streams that they hold something, as whoever adds an entry does."""
        keys = self.experiment.cluster.keys
        for key in streams(self.experiment):
            family, lane, event = key.decode().removeprefix(keys.tag).split(":")
            for group in self.client.xinfo_groups(key):
                self.client.zadd(keys.of("ready", lane), {f"{family[0]}:{event}|{group['name'].decode()}": 0})
            self.client.rpush(keys.of("bell", lane), 1)


@pytest.mark.parametrize("seed", seeds(1, 10))
async def test_entries_that_come_twice_execute_nothing_twice(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D7 duplicate deliveries", seed)
    experiment.workers(3, CONCURRENCY)
    copies = Copies(experiment, 0.2)
    experiment.begin(W1, 10, [f"s{n}" for n in range(30 if seed == 1 else 150)], pause_s=0.05)
    experiment.begin(W2, 6, [f"m{n}" for n in range(8 if seed == 1 else 40)])
    while not experiment.is_over:
        await asyncio.to_thread(copies.add)
        await asyncio.sleep(0.02)
    await asyncio.to_thread(copies.add_all_again)
    # Whoever reads the streams next meets the copies of what has ended.
    began = time.monotonic()
    await asyncio.to_thread(copies.ring)
    await meanwhile(lambda: not any(copies.client.xlen(key) for key in streams(experiment)), "the copies to be gone")
    took_s = time.monotonic() - began
    print(f"D7 seed {seed}: {len(copies.seen)} copies of what had ended were gone after {took_s:.2f} s")
    assert seed == 1 or took_s < GONE_WITHIN_S
    experiment.begin(W1, 3, ["last"])
    experiment.begin(W2, 3, ["last-mixed"])
    assert await experiment.violations() == []
    assert experiment.faults > 50


def destroy(experiment: Experiment, what: str) -> None:
    client, keys, chance = cast(Any, experiment.cluster.client), experiment.cluster.keys, experiment.chance
    if what == "watch":
        for member in client.zrange(keys.of("watch"), 0, -1)[::2]:
            client.zrem(keys.of("watch"), member)
        return
    if what == "functions":
        client.function_flush()
        return
    key = keys.of("work", Sums(broker=experiment.cluster.settings).workflow_name, chance.choice(["Number", "Size"]))
    groups = [group["name"] for group in client.xinfo_groups(key)] if client.exists(key) else []
    actions: dict[str, Callable[[bytes], object]] = {
        "destroy": lambda group: client.xgroup_destroy(key, group),
        "trim": lambda group: client.xtrim(key, maxlen=0),
        "delete": lambda group: client.delete(key),
        "setid": lambda group: client.xgroup_setid(key, group, "$"),
        "delconsumer": lambda group: [
            client.xgroup_delconsumer(key, group, one["name"]) for one in client.xinfo_consumers(key, group)[:1]
        ],
    }
    for group in groups[:1]:
        actions[what](group)


@pytest.mark.parametrize("seed", seeds(1, 10))
async def test_destroyed_indexes_are_made_again_from_the_truth(records: Records, seed: int) -> None:
    experiment = Experiment(records, "D8 streams, groups and watch sets destroyed", seed)
    experiment.workers(3, CONCURRENCY, max_crashes=50)
    runs = 60 if seed == 1 else 300
    experiment.begin(W1, 10, [f"r{n}" for n in range(runs)], pause_s=0.1)
    order = [what for what, often in DESTROYED.items() for _ in range(often)] * (1 if seed == 1 else 2)
    experiment.chance.shuffle(order)
    for what in order:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(destroy, experiment, what)
        experiment.fault()
        if experiment.is_over:
            break
    share = await idle_share(experiment)
    log = (experiment.cluster.directory / "workers.log").read_text().splitlines()
    assert await experiment.violations(idle=share, lines=len(log)) == []
    assert len(log) <= LINES * experiment.faults * len(experiment.living()), log[-50:]
    assert share <= IDLE_SHARE


async def test_a_lease_that_a_clock_gave_before_it_was_put_back_is_not_waited_for(records: Records) -> None:
    experiment = Experiment(records, "D29 leases of another clock")
    (gone,) = await asyncio.to_thread(experiment.workers, 1, CONCURRENCY)
    experiment.begin(W1, 3, [f"r{n}" for n in range(3)], pause_s=1.0)
    client, watch = cast(Any, experiment.cluster.client), experiment.cluster.keys.of("watch")
    await meanwhile(lambda: records.starts("@work"), "a step that works for a second")
    experiment.kill(gone, leases=2 * CONCURRENCY)
    for member in client.zrange(watch, 0, -1):
        client.zincrby(watch, HOUR_MS, member)
    await asyncio.to_thread(experiment.workers, 1, CONCURRENCY)
    assert await experiment.violations() == []
    assert after_crashes(records) > 0


async def idle_share(experiment: Experiment) -> float:
    """What a worker takes of a processor when all runs have ended: nobody turns in a circle over what is missing."""
    await experiment.outcomes()
    workers = experiment.living()
    began_s, began = sum(map(used_s, workers)), time.monotonic()
    await asyncio.sleep(IDLE_S)
    return round((sum(map(used_s, workers)) - began_s) / (time.monotonic() - began) / len(workers), 3)


def used_s(child: Child) -> float:
    """Seconds of a processor that a process has had."""
    ticks = Path(f"/proc/{child.pid}/stat").read_text().rsplit(") ", 1)[1].split(" ")[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
