"""What is large: a fan-out, how many runs are live, what one step collects, how many processes work."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path

from benchmarks.rig import Rig, driver, memory_bytes, server, workers

_EACH_S = 0.05
FURTHER = 300
"""So many submits are timed while so many runs are live."""


@dataclass(frozen=True)
class Sizes:
    """How much of each. Of pairs the smaller one shows how it grows."""

    items: tuple[int, int]
    collected: tuple[int, int]
    runs: int
    cargoes: int
    burned: int


QUICK = Sizes(items=(5_000, 20_000), collected=(1_000, 5_000), runs=10_000, cargoes=100, burned=400)
FULL = Sizes(items=(25_000, 100_000), collected=(1_000, 5_000), runs=10_000, cargoes=400, burned=2_000)


@dataclass
class Peak:
    """The most that was seen of server and workers, in bytes beyond what was there before."""

    server: int = 0
    workers: int = 0


@contextmanager
def peak(rig: Rig) -> Iterator[Peak]:
    """Look again and again while the block lasts."""
    found, ended = Peak(), threading.Event()
    server_before, workers_before = rig.server_bytes(), memory_bytes(rig.workers)

    def look() -> None:
        while not ended.wait(_EACH_S):
            found.server = max(found.server, rig.server_bytes() - server_before)
            found.workers = max(found.workers, memory_bytes(rig.workers) - workers_before)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()


def long_fan_out(rig: Rig, sizes: tuple[int, int]) -> dict[str, float]:
    """Two fan-outs in one run each: how time and memory grow from the one to the other."""
    found: dict[str, float] = {}
    for name, size in zip(("small", "large"), sizes, strict=True):
        with peak(rig) as most:
            found[f"{name}_s"] = rig.ours.run("long", size)["took_s"]
        found[f"{name}_server_bytes_per_item"] = most.server / size
        found[f"{name}_worker_mib"] = most.workers / 2**20
    growth = found["large_s"] / found["small_s"]
    return {**found, "size": sizes[1], "growth": growth / (sizes[1] / sizes[0]), "per_s": sizes[1] / found["large_s"]}


def many_runs(rig: Rig, size: int) -> dict[str, float]:
    """So many live runs, each waiting for somebody."""
    before = rig.server_bytes()
    began = rig.ours.run("park", size)
    ends = time.monotonic() + 60
    while (queued := rig.queued()) and time.monotonic() < ends:
        time.sleep(0.2)
    waiting = rig.server_bytes()
    found = rig.ours.run("more", FURTHER)
    answered = rig.ours.run("answer", size + FURTHER)
    rates = {"submitted_per_s": began["per_s"], "answered_per_s": answered["per_s"], "not_parked": float(queued)}
    return {**found, **rates, "size": size, "bytes_per_run": (waiting - before) / size}


def collected(rig: Rig, sizes: tuple[int, int]) -> dict[str, float]:
    """Bytes that the server took in and gave out for one `collect_events` of so many events."""
    found: dict[str, float] = {}
    for name, size in zip(("small", "large"), sizes, strict=True):
        before = rig.moved_bytes()
        found[f"{name}_s"] = rig.ours.run("collects", size)["took_s"]
        found[f"{name}_bytes_per_event"] = (rig.moved_bytes() - before) / size
    ratio = found["large_bytes_per_event"] / found["small_bytes_per_event"]
    return {**found, "size": sizes[1], "growth": ratio}


def scale_out(size: int) -> dict[str, float]:
    """Steps of 5 ms of CPU on one worker process and on four."""
    found: dict[str, float] = {}
    for processes in (1, 4):
        with ExitStack() as stack:
            url = stack.enter_context(server())
            stack.enter_context(workers(url, processes, ("heavy",)))
            ours = {"BROKER_WF_URL": url, "BENCH_ENGINE": "ours", "BROKER_WF_NAMESPACE": "default"}
            one = stack.enter_context(driver(Path(sys.executable), ours))
            one.run("heavy", 50)
            found[f"{processes}_per_s"] = one.run("heavy", size)["per_s"]
    cores = min(4, cpu_count() or 1)
    return {**found, "cores": cores, "growth": found["4_per_s"] / found["1_per_s"] / cores}
