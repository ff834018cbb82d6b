"""Real servers that listen on a port, and real commands against them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.servers import START_S, free_port, server_binary

ROOT = Path(__file__).parents[2]
APP = "tests.security.app:flow"
SECRET = "hunter2-the-secret"
ENOUGH_S = 60.0


def wanted_binary() -> Path:
    """The kind of server that this run of the tests is about, as a binary that can be started here."""
    kind = os.environ.get("BROKER_WF_TEST_SERVER", "bundled")
    return server_binary("redis" if kind == "redis" else "bundled")


@dataclass(slots=True)
class PortServer:
    """A server process of its own.

    Attributes:
        words: what is on its command line, besides the binary.
    """

    binary: Path
    words: list[str]
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it as a power switch would."""
        self.process.kill()
        self.process.wait()


def start_process(binary: Path, directory: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Start a server; nobody waits for it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "server.log").open("ab") as log:
        return subprocess.Popen([binary, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)


@contextmanager
def port_server(directory: Path, *words: str, binary: Path | None = None) -> Iterator[PortServer]:
    """A server on 127.0.0.1 that keeps its log in a directory; it answers PING, if only by asking for a password."""
    port = free_port()
    given = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", *words]
    server = binary or wanted_binary()
    process = start_process(server, directory, given)
    try:
        wait_for_answer(port, process)
        yield PortServer(server, given, port, process)
    finally:
        process.kill()
        process.wait()


def wait_for_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server has loaded its data."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            with redis.Redis(port=port) as client:
                client.ping()
            return
        except redis.AuthenticationError:
            return
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("the server did not start") from error
            time.sleep(0.01)


def until(predicate: object, what: str, within_s: float = ENOUGH_S) -> None:
    """Wait for something to become true; fails, saying what."""
    assert callable(predicate)
    give_up = time.monotonic() + within_s
    while not predicate():
        assert time.monotonic() < give_up, f"waited in vain for {what}"
        time.sleep(0.01)


def worker_process(
    url: str, log: Path, namespace: str = "security", app: str = APP, **settings: object
) -> subprocess.Popen[bytes]:
    """A real worker; what it says is in a file."""
    variables = {f"BROKER_WF_{name.upper()}": str(value) for name, value in settings.items()}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "BROKER_WF_URL": url, "BROKER_WF_NAMESPACE": namespace}
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "broker_wf", "worker", app],
            env={**environment, **variables},
            cwd=ROOT,
            stdout=sink,
            stderr=sink,
        )


@contextmanager
def serving_worker(
    url: str, log: Path, namespace: str = "security", app: str = APP, **settings: object
) -> Iterator[int]:
    """A worker that has begun to serve; yields its process id."""
    process = worker_process(url, log, namespace, app, **settings)
    try:
        until(lambda: " serves " in log.read_text() or process.poll() is not None, "the worker to serve")
        assert process.poll() is None, log.read_text()
        yield process.pid
    finally:
        process.kill()
        process.wait()
