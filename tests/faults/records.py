"""Workers that keep a ledger, and what the ledger says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.faults.cluster import ROOT, Cluster, until

SETTINGS = ("lease_ms", "heartbeat_ms", "audit_ms", "sweep_ms", "queued_check_ms", "block_ms")


@dataclass(frozen=True, slots=True)
class Start:
    """An execution that began: of which lease of which delivery, and where."""

    run: str
    delivery: str
    attempt: int
    crashes: int
    pid: int


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

    def work(
        self, *, concurrency: int = 8, url: str | None = None, mutant: str | None = None, **settings: int
    ) -> subprocess.Popen[bytes]:
        """One more worker; it has begun to serve when this returns."""
        given = {name: getattr(self.cluster.settings, name) for name in SETTINGS} | settings
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BROKER_WF_URL": url or self.cluster.settings.url or "",
            "BROKER_WF_NAMESPACE": self.cluster.settings.namespace,
            "BROKER_WF_CONCURRENCY": str(concurrency),
            **{f"BROKER_WF_{name.upper()}": str(value) for name, value in given.items()},
        }
        command = [sys.executable, "-m", "tests.faults.recorder", str(self.path)]
        with (self.cluster.directory / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *(["--mutant", mutant] if mutant else [])], env=environment, cwd=ROOT, stdout=log, stderr=log
            )
        self.cluster.workers.append(process)
        until(lambda: f"ready {process.pid}" in self._lines(), "the worker to serve")
        return process

    def starts(self, step: str = "") -> list[Start]:
        words = (line.split(" ") for line in self._lines() if line.startswith("start "))
        found = [Start(run, did, int(attempt), int(crashes), int(pid)) for _, run, did, attempt, crashes, pid in words]
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
        counted = Counter((one.run, one.delivery, one.attempt, one.crashes) for one in self.starts())
        return [one for one in self.starts() if counted[one.run, one.delivery, one.attempt, one.crashes] > 1]

    def gate(self, name: str, pid: int | None = None) -> None:
        """Open a gate, for one process or for all."""
        Path(self.cluster.directory / (name if pid is None else f"{name}.{pid}")).touch()

    def _lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []
