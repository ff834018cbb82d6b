"""Workers that keep a ledger, and what the ledger says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.cluster import ROOT, Cluster, until
from tests.faults.nursery import Child, nursery

SETTINGS = ("lease_ms", "heartbeat_ms", "audit_ms", "sweep_ms", "queued_check_ms", "block_ms")


@dataclass(frozen=True, slots=True)
class Start:
    """An execution that began: of which lease of which delivery, and where."""

    run: str
    delivery: str
    attempt: int
    crashes: int
    pid: int
    at_ms: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Told:
    """What a script that ends an attempt said."""

    script: str
    run: str
    delivery: str
    word: str
    pid: int


class Records:
    """The ledger of a cluster's recording workers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.path = cluster.directory / "records"
        self.points = cluster.directory / "points"
        self.rollbacks = 0

    def work(
        self, *, concurrency: int = 8, url: str | None = None, mutant: str | None = None, **settings: int
    ) -> subprocess.Popen[bytes]:
        """One more worker; it has begun to serve when this returns."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, **self._environment(url, concurrency, settings)}
        command = [sys.executable, "-m", "tests.faults.recorder", str(self.path)]
        with (self.cluster.directory / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *(["--mutant", mutant] if mutant else [])], env=environment, cwd=ROOT, stdout=log, stderr=log
            )
        self.cluster.workers.append(process)
        until(lambda: f"ready {process.pid}" in self._lines(), "the worker to serve")
        return process

    def fork(
        self,
        *,
        concurrency: int = 8,
        mutant: str | None = None,
        url: str | None = None,
        serves: str = "loads",
        wait: bool = True,
        **settings: int,
    ) -> Child:
        """One more worker, in milliseconds; it has begun to serve when this returns, if ``wait``.

        Args:
            serves: of ``recorder.SERVED``.
        """
        child = nursery().fork(
            self._environment(url, concurrency, settings),
            log=str(self.cluster.directory / "workers.log"),
            ledger=str(self.path),
            mutant=mutant,
            serves=serves,
            points=str(self.points),
        )
        self.cluster.workers.append(child)
        if wait:
            self.serves(child)
        return child

    def serves(self, child: Child) -> None:
        """Wait until a worker serves, or has died at a point before that."""
        until(lambda: f"ready {child.pid}" in self._lines() or child.poll() is not None, "the worker to serve")

    def keeps(self) -> None:
        """Whatever the server loses from now on, what has been told by now is not lost."""
        self._mark("keeps")

    def rolled_back(self) -> None:
        """The server has lost the end of its log; what was committed since `keeps` may be committed again."""
        self.rollbacks += 1
        self._mark("rollback")

    def doubled(self) -> list[str]:
        """Deliveries whose commit was accepted as new though it had been before, and had not been lost."""
        found, firm, recent = list[str](), set[str](), set[str]()
        for line in self._lines():
            words = line.split(" ")
            if words[0] == "keeps":
                firm, recent = firm | recent, set()
            elif words[0] == "rollback":
                recent = set()
            elif words[0] == "told" and (words[1], words[4]) == ("commit", "OK"):
                what = f"{words[2]} {words[3]}"
                if what in firm or what in recent:
                    found.append(what)
                recent.add(what)
        return found

    def _mark(self, word: str) -> None:
        with self.path.open("a") as ledger:
            ledger.write(word + "\n")

    def repairs(self) -> int:
        """What sweeps and audits put right; a retry that is due counts as well."""
        return sum(int(line.split(" ")[2]) for line in self._lines() if line.startswith("repaired "))

    def deaths(self) -> dict[int, int]:
        """Workers that have died at a point, and when."""
        words = (line.split(" ") for line in self._lines() if line.startswith("died "))
        return {int(pid): int(at_ms) for _, _, at_ms, pid in words}

    def recoveries_ms(self, deaths: dict[int, int]) -> list[int]:
        """How long after the death of the process it was in each execution began again."""
        starts = self.starts()
        next_of = {(one.run, one.delivery, one.attempt, one.crashes): one.at_ms for one in reversed(starts)}
        found: list[int] = []
        for one in starts:
            again = next_of.get((one.run, one.delivery, one.attempt, one.crashes + 1))
            if again is not None and one.pid in deaths:
                found.append(again - deaths[one.pid])
        return sorted(found)

    def close(self) -> None:
        for child in self.cluster.workers:
            if isinstance(child, Child):
                child.let_go()

    def starts(self, step: str = "") -> list[Start]:
        words = (line.split(" ") for line in self._lines() if line.startswith("start "))
        found = [Start(one[1], one[2], int(one[3]), int(one[4]), int(one[6]), int(one[5])) for one in words]
        return [one for one in found if one.delivery.endswith(step)]

    def told(self, pid: int | None = None) -> list[Told]:
        words = (line.split(" ") for line in self._lines() if line.startswith("told "))
        found = [Told(script, run, did, word, int(where)) for _, script, run, did, word, where in words]
        return [one for one in found if pid in (None, one.pid)]

    def committed(self) -> Counter[tuple[str, str]]:
        """How often each delivery's commit was accepted as new."""
        return Counter((one.run, one.delivery) for one in self.told() if (one.script, one.word) == ("commit", "OK"))

    def repeated_leases(self) -> list[Start]:
        """Executions that began twice under one lease, which no fault may cause."""
        leased = [one for one in self.starts() if one.crashes >= 0]
        counted = Counter((one.run, one.delivery, one.attempt, one.crashes) for one in leased)
        return [one for one in leased if counted[one.run, one.delivery, one.attempt, one.crashes] > 1]

    def gate(self, name: str, pid: int | None = None) -> None:
        """Open a gate, for one process or for all."""
        Path(self.cluster.directory / (name if pid is None else f"{name}.{pid}")).touch()

    def _environment(self, url: str | None, concurrency: int, settings: dict[str, int]) -> dict[str, str]:
        given = {name: getattr(self.cluster.settings, name) for name in SETTINGS} | settings
        return {
            "BROKER_WF_URL": url or self.cluster.settings.url or "",
            "BROKER_WF_NAMESPACE": self.cluster.settings.namespace,
            "BROKER_WF_CONCURRENCY": str(concurrency),
            **{f"BROKER_WF_{name.upper()}": str(value) for name, value in given.items()},
        }

    def _lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


@contextmanager
def own_records(cluster: Cluster) -> Iterator[Records]:
    """The ledger of a cluster's workers."""
    made = Records(cluster)
    try:
        yield made
    finally:
        made.close()
