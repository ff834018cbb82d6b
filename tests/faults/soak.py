"""Hours of everything at a low rate (D39): ``python -m tests.faults.soak --minutes 60 --seed 1``.

One server for all that time. Each five minutes are an experiment of their own, with its ledger and all invariants at
its end: loads W1 to W4 come and go while workers are killed (D1) or frozen (D6), the server is killed and restarted
(D3), and the link of one worker holds back all it is given (D12). Each begins with a calm part, whose latency must not
drift.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.apps.loads import CHAINS, W1, W2, W3, Load
from tests.faults.cluster import LEASE_MS, Cluster
from tests.faults.experiment import Experiment
from tests.faults.proxy import Link
from tests.faults.records import Records

PART_S = 300.0
KEPT_MS = 15 * 60_000
"""Longer than a part takes, so that its runs are there at its end; after that they are gone by themselves."""
CALM_RUNS = 100
WORKERS = 4
CONCURRENCY = 4
LOADS: tuple[tuple[Load, int, float], ...] = (
    (W1, 10, 0.05),
    (W2, 4, 0.0),
    (W3, 3, 0.0),
    (W1, 1, 3 * LEASE_MS / 1000),
    (CHAINS, 10, 0.02),
)
"""Load, size, pause in a step: W1, W2, W3, W4, and steps that are executed in one go."""
MOST_UNDER_WAY = 40


async def calm(experiment: Experiment) -> list[float]:
    """How long runs take one after the other, with nothing else going on; seconds, sorted."""
    took: list[float] = []
    for n in range(CALM_RUNS):
        began = time.monotonic()
        experiment.begin(W1, 3, [f"calm{experiment.seed}.{n}"])
        await experiment.all_over()
        took.append(time.monotonic() - began)
    return sorted(took)


async def disturb(experiment: Experiment, link: Link, url: str) -> None:
    """One fault of the four."""
    chance, cluster = experiment.chance, experiment.cluster
    experiment.fault()
    kind = chance.choice(["kill", "freeze", "restart", "silence"])
    if kind == "kill":
        # Some were frozen before: how long it takes until others begin what they held says nothing here.
        chance.choice(experiment.living()).kill()
        through = chance.choice([url, link.url])
        await asyncio.to_thread(
            experiment.records.fork, concurrency=CONCURRENCY, wait=False, max_crashes=50, url=through
        )
    elif kind == "freeze":
        victim = chance.choice(experiment.living())
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.8 * LEASE_MS / 1000)
        victim.send_signal(signal.SIGCONT)
    elif kind == "restart":
        await asyncio.to_thread(cluster.restart_server, chance.uniform(0.1, 1.0))
    else:
        link.dark = True
        await asyncio.sleep(chance.uniform(1, 10) * LEASE_MS / 1000)
        link.dark = False


async def part(cluster: Cluster, number: int, seconds: float) -> dict[str, object]:
    """One experiment; says what came of it."""
    records = Records(cluster)
    records.path = cluster.directory / f"records{number}"
    experiment = Experiment(records, "D39 soak", number)
    experiment.leases_lost = None
    url = cluster.settings.url or ""
    link = Link(url, Path(tempfile.mkdtemp(prefix="bwf-")))
    link.begin()
    try:
        experiment.workers(WORKERS - 1, CONCURRENCY, max_crashes=50)
        experiment.workers(1, CONCURRENCY, max_crashes=50, url=link.url)
        took = await calm(experiment)
        until, runs, next_fault = time.monotonic() + seconds, 0, time.monotonic() + 5
        while time.monotonic() < until:
            if experiment.under_way < MOST_UNDER_WAY:
                load, count, pause_s = experiment.chance.choice(LOADS)
                experiment.begin(load, count, [f"r{number}.{runs}"], pause_s=pause_s)
                runs += 1
            if time.monotonic() > next_fault:
                await disturb(experiment, link, url)
                next_fault = time.monotonic() + experiment.chance.uniform(2, 8)
            await asyncio.sleep(0.02)
        used = int(cluster.client.info("memory")["used_memory"])
        found = await experiment.violations(median_ms=_ms(took, 50), p99_ms=_ms(took, 99), server_bytes=used)
        return {"violations": found, "median_ms": _ms(took, 50), "p99_ms": _ms(took, 99), "server_bytes": used}
    finally:
        link.end()
        records.close()
        cluster.workers.clear()


def _ms(sorted_s: list[float], percent: int) -> float:
    return round(sorted_s[len(sorted_s) * percent // 100] * 1000, 1)


async def soak(minutes: float, seed: int) -> int:
    """All parts; 1 if anything was violated."""
    random.seed(seed)
    directory = Path(tempfile.mkdtemp(prefix="bwf-"))
    cluster = Cluster(directory)
    cluster.settings = replace(cluster.settings, keep_ms=KEPT_MS, keep_failed_ms=KEPT_MS)
    told: list[dict[str, object]] = []
    try:
        until = time.monotonic() + minutes * 60
        while (left_s := until - time.monotonic()) > 0:
            told.append(await part(cluster, seed * 1_000 + len(told), min(PART_S, left_s)))
    finally:
        cluster.close()
        shutil.rmtree(directory, ignore_errors=True)
    found = [one for line in told for one in line["violations"]]  # type: ignore[attr-defined]
    ends = [{name: value for name, value in line.items() if name != "violations"} for line in (told[0], told[-1])]
    print(json.dumps({"parts": len(told), "violations": found[:20], "how many": len(found), "first and last": ends}))
    return 1 if found else 0


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    raise SystemExit(asyncio.run(soak(given.minutes, given.seed)))
