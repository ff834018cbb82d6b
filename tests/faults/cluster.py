"""Real worker processes on a real server that may be killed, and a ledger of what they began."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import redis

from broker_wf import Settings
from broker_wf.broker.keys import Keys
from broker_wf.broker.packing import unpack_text
from tests.faults.nursery import Child
from tests.servers import server_binary, socket_url, start_server

ROOT = Path(__file__).parents[2]
LEASE_MS = 1500
TARGET = "tests.apps.faulty:workflows"
WAIT_S = 60.0


def until(predicate: Callable[[], object], what: str, within_s: float = WAIT_S) -> None:
    """Wait for something to become true; fails, saying what."""
    give_up = time.monotonic() + within_s
    while not predicate():
        assert time.monotonic() < give_up, f"waited in vain for {what}"
        time.sleep(0.01)


class Cluster:
    """A server, workers, a ledger. Nobody else uses the server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = directory / "ledger"
        self.binary = server_binary(os.environ.get("BROKER_WF_TEST_SERVER", "bundled"))
        self.server = start_server(self.binary, directory)
        self.workers: list[subprocess.Popen[bytes] | Child] = []
        self.settings = Settings(
            url=socket_url(directory),
            namespace="faults",
            lease_ms=LEASE_MS,
            heartbeat_ms=500,
            audit_ms=500,
            sweep_ms=200,
            queued_check_ms=500,
            block_ms=500,
        )
        self.keys = Keys("faults")
        self.client = redis.Redis.from_url(socket_url(directory))

    def work(
        self, concurrency: int = 8, *, target: str = TARGET, url: str | None = None, processes: int = 1, **more: int
    ) -> subprocess.Popen[bytes]:
        """One more worker process; it has begun to serve when this returns. ``more`` are further settings."""
        settings = self.settings
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BROKER_WF_URL": url or settings.url or "",
            "BROKER_WF_NAMESPACE": settings.namespace,
            **{
                f"BROKER_WF_{name.upper()}": str(getattr(settings, name))
                for name in ("lease_ms", "heartbeat_ms", "audit_ms", "sweep_ms", "queued_check_ms", "block_ms")
            },
            **{f"BROKER_WF_{name.upper()}": str(value) for name, value in more.items()},
            "BROKER_WF_PROCESSES": str(processes),
        }
        before = self.alive()
        with (self.directory / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "broker_wf", "worker", target, "--concurrency", str(concurrency)],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        self.workers.append(process)
        until(lambda: len(self.alive() - before) >= processes, "the worker to serve")
        return process

    def alive(self) -> set[bytes]:
        """Ids of the workers in the roster."""
        return set(cast("list[bytes]", self.client.zrange(self.keys.of("roster"), 0, -1)))

    def starts(self) -> Counter[str]:
        """How often each thing was begun, by the ledger."""
        return Counter(line.rsplit(" ", 1)[0] for line in self.lines())

    def lines(self) -> list[str]:
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def held_by(self, process: subprocess.Popen[bytes] | Child) -> int:
        """How many leased deliveries of all runs that process holds."""
        held = 0
        for key in self.client.scan_iter(match=self.keys.of("live", "*")):
            for raw in self.client.hvals(key):
                record = unpack_text(cast(bytes, raw))
                held += record["st"] == "l" and f"-{process.pid}-" in str(record.get("w"))
        return held

    def restart_server(self, down_s: float) -> None:
        """Kill the server's process, and start it again on what its log holds: all that it has acknowledged.

        With ``appendfsync everysec`` a server holds writes back for up to two seconds while the disk lags behind. A
        kill takes those along as a power loss does, which is another experiment (D4).
        """
        if self.server.poll() is None:
            self.client.config_set("appendfsync", "no")
        self.server.kill()
        self.server.wait()
        time.sleep(down_s)
        self.server = start_server(self.binary, self.directory)

    def left(self) -> dict[str, int]:
        """What must be nothing once all runs have ended."""
        found = {
            "watch": self.client.zcard(self.keys.of("watch")),
            "queued": self.client.zcard(self.keys.of("queued")),
        }
        for key in self.client.scan_iter(match=self.keys.tag + "*"):
            name = key.decode()
            family = name.removeprefix(self.keys.tag).split(":", 1)[0]
            if family in ("work", "again"):
                pending = sum(group["pending"] for group in self.client.xinfo_groups(name))
                found[name] = self.client.xlen(name) + pending
            elif family in (
                "live",
                "backlog",
                "open",
                "batch",
                "aux",
                "staged",
                "collections",
                "waiting",
                "waits",
                "waiters",
                "early",
                "once",
                "inside",
                "held",
                "children",
            ):
                found[name] = 1
            elif family == "live_runs":
                found[name] = self.client.zcard(name)
        return {name: count for name, count in found.items() if count}

    def close(self) -> None:
        """Kill everything."""
        for process in self.workers:
            if isinstance(process, Child):
                process.let_go()
            elif process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self.client.close()
        self.server.kill()
        self.server.wait()


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A server of its own, in a short path: a unix socket's may not be long."""
    directory = Path(tempfile.mkdtemp(prefix="bwf-"))
    made = Cluster(directory)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)
