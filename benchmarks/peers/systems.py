"""The peers: what each needs, and how its driver and its two worker processes are started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.postgres import postgres, programs
from benchmarks.rig import CACHE, START_S, Driver, MissingError, workers
from benchmarks.rig import HERE as OURS

HERE = Path(__file__).parent
SIZES: Mapping[str, int] = {"chain": 1000, "single": 200, "fan": 1000, "carry": 60}


@dataclass(frozen=True)
class System:
    """A queue, or another engine of workflows.

    Attributes:
        needs: what is installed.
        work: the command of a worker, behind the environment's `bin`.
        copies: how often it is started: 1 where it makes two processes itself, 0 where the driver executes.
        node: runs on node.
        postgres: gets a PostgreSQL of its own instead of the Redis of all.
        sizes: how much it does of each workload; fewer where it takes seconds for what others do in one.
    """

    name: str
    needs: tuple[str, ...]
    work: tuple[str, ...] = ()
    copies: int = 1
    node: bool = False
    postgres: bool = False
    sizes: Mapping[str, int] = field(default_factory=lambda: SIZES)

    @property
    def home(self) -> Path:
        """Where its environment is."""
        return CACHE / "peers" / self.name

    def install(self) -> None:
        """Make the environment, unless it is there.

        Raises:
            MissingError: it cannot be made.
        """
        if self.postgres:
            programs()
        if self.node:
            if shutil.which("node") is None or shutil.which("npm") is None:
                raise MissingError("node and npm are not on PATH")
            if not (self.home / "node_modules").exists():
                self.home.mkdir(parents=True, exist_ok=True)
                _said(("npm", "install", "--silent", "--no-audit", "--no-fund", *self.needs), self.home)
        elif not (self.home / "bin" / "python").exists():
            venv.create(self.home, with_pip=True)
            _said((str(self.home / "bin" / "python"), "-m", "pip", "install", "-q", "hiredis", *self.needs), self.home)

    def command(self, words: tuple[str, ...]) -> list[str]:
        """A command in its environment."""
        return ["node", *words] if self.node else [str(self.home / "bin" / words[0]), *words[1:]]

    @contextmanager
    def ready(self, url: str) -> Iterator[tuple[Driver, Mapping[str, str]]]:
        """Its driver and workers; what versions they are of."""
        script = f"{self.name}_peer.{'mjs' if self.node else 'py'}"
        with ExitStack() as stack:
            environment = {
                **os.environ,
                "BENCH_URL": stack.enter_context(postgres()) if self.postgres else url,
                "BENCH_MODULES": str(self.home),
                "BENCH_ENGINE": "original",
                "PYTHONPATH": f"{HERE}{os.pathsep}{OURS}",
            }
            for _ in range(self.copies):
                started = subprocess.Popen(
                    self.command(self.work),
                    cwd=HERE,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                stack.callback(_stopped, started)
            driving = subprocess.Popen(
                self.command((script,) if self.node else ("python", script)),
                cwd=HERE,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(_stopped, driving)
            line = driving.stdout.readline() if driving.stdout is not None else ""
            if not line:
                raise MissingError(f"the driver of {self.name} did not start")
            yield Driver(driving), json.loads(line)


SYSTEMS = (
    System("arq", ("arq",), ("arq", "arq_peer.WorkerSettings"), copies=2),
    System(
        "taskiq",
        ("taskiq", "taskiq-redis", "uvloop"),
        ("taskiq", "worker", "taskiq_peer:broker", "--workers", "2", "--log-level", "ERROR"),
    ),
    System(
        "celery", ("celery[redis]",), ("celery", "-A", "celery_peer", "worker", "--concurrency", "2", "-l", "CRITICAL")
    ),
    System("dramatiq", ("dramatiq[redis]",), ("dramatiq", "dramatiq_peer", "--processes", "2", "--threads", "8")),
    System("docket", ("pydocket",), ("python", "docket_peer.py", "work"), copies=2),
    System("bullmq", ("bullmq", "ioredis"), ("bullmq_peer.mjs", "work"), copies=2, node=True),
    System(
        "dbos",
        # Its newest, 0.7.0, asks for any dbos from 2.18 on, and does not start with 3.
        ("llama-agents-dbos", "dbos<3"),
        copies=0,
        postgres=True,
        sizes={"chain": 60, "single": 15, "fan": 100, "carry": 12},
    ),
)


@contextmanager
def ours(url: str) -> Iterator[tuple[Driver, Mapping[str, str]]]:
    """This project's driver and two workers."""
    with ExitStack() as stack:
        stack.enter_context(workers(url, 2, ("chain", "fan", "carry")))
        process = subprocess.Popen(
            [sys.executable, str(OURS / "drive.py")],
            env={**os.environ, "PYTHONPATH": str(OURS.parent), "BROKER_WF_URL": url, "BENCH_ENGINE": "ours"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(_stopped, process)
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise MissingError("the driver did not start")
        yield Driver(process), {}


def _stopped(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=START_S)


def _said(command: tuple[str, ...], home: Path) -> None:
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(home, ignore_errors=True)
        raise MissingError((done.stderr or done.stdout).strip().splitlines()[-1][:200])
