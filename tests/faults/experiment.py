"""An experiment: load, faults, and the invariants at its end. What it measured is printed, and kept if asked for.

``BROKER_WF_TEST_FIGURES=<file>`` collects a line of JSON per experiment, of which ``figures.py`` makes a table.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from broker_wf import Workflow
from broker_wf.handler import WorkflowHandler
from tests.apps.loads import W1, Load
from tests.faults.cluster import LEASE_MS, until
from tests.faults.invariants import Expected, Faults, after_crashes, at_rest, violations
from tests.faults.nursery import Child
from tests.faults.readers import Readers, now_ms
from tests.faults.records import Records

SLOW_S = 100.0
RECOVERED_WITHIN_MS = LEASE_MS + 2_000
READ_ONE_OF = 3


async def meanwhile(predicate: Callable[[], object], what: str) -> None:
    """Wait for a predicate without holding the event loop up."""
    await asyncio.to_thread(until, predicate, what)


def seeds(quick: int, nightly: int) -> list[Any]:
    """Fixed seeds: the first ones are for every day, the others for the night."""
    marks = [[] if seed <= quick else [pytest.mark.nightly] for seed in range(1, nightly + 1)]
    return [pytest.param(seed, marks=mark) for seed, mark in enumerate(marks, 1)]


class Experiment:
    """Runs of loads among workers to which things happen.

    Attributes:
        chance: seeded; every choice of the experiment is made by it.
        faults: how many things were done to the system.
        leases_lost: how many executions these can have cost at most; None: no bound is known.
        clock_is_true: the server's clock is that of the machine.
        read_one_of: of so many runs the first is streamed.
    """

    def __init__(self, records: Records, name: str, seed: int = 0) -> None:
        self.records, self.name, self.seed = records, name, seed
        self.cluster = records.cluster
        self.chance = random.Random(seed)
        self.faults = 0
        self.leases_lost: int | None = 0
        self.expected: dict[str, Expected] = {}
        self.clock_is_true = True
        self.read_one_of = READ_ONE_OF
        self._readers = Readers()
        self._last_fault_ms = 0
        self._flows: dict[type[Workflow], Workflow] = {}
        self._waiting: dict[str, asyncio.Future[object]] = {}
        self._began = time.monotonic()
        self._killed: dict[int, int] = {}
        self.handlers: dict[str, WorkflowHandler] = {}

    def begin(self, load: Load, count: int, runs: Iterable[str], *, pause_s: float = 0.0) -> None:
        """Submit runs, and send what a person would send them. One of three is streamed, and publishes what it does."""
        flow = self._flow(load)
        for run in runs:
            reads = len(self.handlers) % self.read_one_of == 0
            handler = flow.run(run_id=run, count=count, pause_s=pause_s, tells=reads)
            if reads:
                self._readers.read(run, handler, set(range(count)) if load is W1 else set())
            self.handlers[run] = handler
            self.expected[run] = Expected(
                workflow=flow.workflow_name,
                result=load.result(count),
                executed=load.executed(count),
                waits=bool(load.answers(count)),
            )
            self._waiting[run] = asyncio.ensure_future(self._followed(load, count, handler))

    def _flow(self, load: Load) -> Workflow:
        if load.flow not in self._flows:
            self._flows[load.flow] = load.flow(timeout=300, broker=self.cluster.settings)
        return self._flows[load.flow]

    async def _followed(self, load: Load, count: int, handler: WorkflowHandler) -> object:
        for event in load.answers(count):
            await handler.send_event(event)
        return (await handler.stop_event_result()).result

    def workers(self, count: int, concurrency: int = 4, **settings: Any) -> list[Child]:
        """So many more workers."""
        forked = [self.records.fork(concurrency=concurrency, wait=False, **settings) for _ in range(count)]
        for child in forked:
            self.records.serves(child)
        return forked

    def living(self) -> list[Child]:
        return [one for one in self.cluster.workers if isinstance(one, Child) and one.poll() is None]

    def kill(self, child: Child, leases: int) -> None:
        """Kill -9 a worker that holds so many leases at most."""
        child.kill()
        self._killed[child.pid] = time.monotonic_ns() // 1_000_000
        self.fault(leases_lost=leases)

    def fault(self, leases_lost: int = 0) -> None:
        """Count one thing done to the system."""
        self.faults += 1
        self._last_fault_ms = now_ms()
        if self.leases_lost is not None:
            self.leases_lost += leases_lost

    @property
    def under_way(self) -> int:
        """Runs whose drivers still wait."""
        return sum(not one.done() for one in self._waiting.values())

    def are_accepted(self) -> bool:
        """Whether the server knows each run whose driver still waits."""
        client, keys = cast(Any, self.cluster.client), self.cluster.keys
        waited_for = [keys.of("run", run) for run, one in self._waiting.items() if not one.done()]
        return not waited_for or client.exists(*waited_for) == len(waited_for)

    async def all_over(self) -> None:
        """Wait until no driver waits."""
        await asyncio.wait(self._waiting.values())

    @property
    def is_over(self) -> bool:
        return all(one.done() for one in self._waiting.values())

    async def outcomes(self, within_s: float = SLOW_S) -> dict[str, object]:
        """What each run's driver was given: the result, or what it raised, or that it waits."""
        await asyncio.wait(self._waiting.values(), timeout=within_s)
        found: dict[str, object] = {}
        for run, one in self._waiting.items():
            if not one.done():
                one.cancel()
                with suppress(asyncio.CancelledError):
                    await one
                found[run] = "still waits"
            else:
                found[run] = one.exception() or one.result()
        return found

    async def violations(self, within_s: float = SLOW_S, **more: object) -> list[str]:
        """Wait for the end, look at everything, and say what it came to."""
        outcomes = await self.outcomes(within_s)
        await asyncio.to_thread(at_rest, self.cluster)
        faults = Faults(count=self.faults, leases_lost=self.leases_lost)
        found = violations(self.records, self.expected, outcomes, faults)
        recoveries = self.records.recoveries_ms(self._killed | self.records.deaths())
        found += await self._readers.violations(self.cluster, self._last_fault_ms if self.clock_is_true else None)
        bound_ms = RECOVERED_WITHIN_MS + self._readers.lag_ms
        if recoveries and recoveries[-1] > bound_ms and self.clock_is_true:
            found.append(
                f"I10: work was begun again {recoveries[-1]} ms after its worker's death, not in {bound_ms} ms"
            )
        if recoveries:
            more = {"recovery_ms": [recoveries[len(recoveries) // 2], recoveries[-1]], **more}
        self.say(
            violations=len(found),
            executions=len(self.records.starts()),
            again=after_crashes(self.records),
            **more,
        )
        return found

    def say(self, **figures: object) -> None:
        """Print the figures of the experiment, and keep them where asked to."""
        line = {
            "experiment": self.name,
            "seed": self.seed,
            "runs": len(self.expected),
            "faults": self.faults,
            "seconds": round(time.monotonic() - self._began, 1),
            **figures,
        }
        print(json.dumps(line))
        path = os.environ.get("BROKER_WF_TEST_FIGURES")
        if path:
            with Path(path).open("a", encoding="utf-8") as kept:
                kept.write(json.dumps(line) + "\n")
