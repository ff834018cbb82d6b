"""The command line as a person uses it: processes, their two outputs and their exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from broker_wf.broker.keys import Keys

ROOT = Path(__file__).resolve().parents[2]
APP = "tests.apps.verbs"
PATIENCE_S = 60.0
"""Two processes of a worker have been seen to take 32 s to begin, beside others that want the same two cores."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(slots=True)
class Console:
    """A shell with one server and one namespace in its environment."""

    url: str
    namespace: str
    data: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list["subprocess.Popen[str]"])

    def environment(self, **more: str) -> dict[str, str]:
        """What a command sees; an empty value takes a variable away."""
        ours = {
            "BROKER_WF_URL": self.url,
            "BROKER_WF_NAMESPACE": self.namespace,
            "BROKER_WF_DATA": str(self.data),
            "BROKER_WF_LEASE_MS": "3000",
            "BROKER_WF_SWEEP_MS": "200",
            "BROKER_WF_HEARTBEAT_MS": "1000",
            **more,
        }
        return {name: value for name, value in {**os.environ, **ours}.items() if value}

    def known_workers(self) -> int:
        """How many the roster names: one that was killed stays in it until another's heartbeat finds it silent."""
        with redis.Redis.from_url(self.url) as client:
            return client.zcard(Keys(self.namespace).of("roster"))

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Begin a command."""
        process = subprocess.Popen(
            [sys.executable, "-m", "broker_wf", *arguments],
            cwd=ROOT,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run a command to its end."""
        return self.end(self.start(*arguments, **variables))

    def end(self, process: subprocess.Popen[str], number: signal.Signals | None = None) -> Ended:
        """Wait for a command's end, after a signal if one is given."""
        if number is not None:
            process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
        return Ended(process.returncode, out, err)

    def worker(self, *arguments: str, count: int = 1, **variables: str) -> subprocess.Popen[str]:
        """Begin a worker command, and wait until all of its processes are on the roster."""
        there = len(self.workers())
        process = self.start("worker", *arguments, **variables)
        until(lambda: process.poll() is not None or len(self.workers()) >= there + count)
        assert process.poll() is None, process.communicate()
        return process

    def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive."""
        return self.run("workers", "ls", "--json").json

    def status_of(self, run_id: str) -> str:
        """How a run stands."""
        return self.run("runs", "show", run_id, "--json").json["status"]

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            with process:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(timeout=10)
                    except subprocess.TimeoutExpired:
                        process.kill()


def until(predicate: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + within_s
    while not predicate():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)


def lines(path: Path) -> list[str]:
    """Lines of a file that may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []
