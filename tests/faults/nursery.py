"""Worker processes in milliseconds: a process that has imported everything, and forks.

What is forked is a worker like any other, with a session of its own; it writes the ledger (``recorder.py``) and knows
the points at which it may be made to die (``points.py``).
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Child:
    """A worker that was forked. Its pid stays its own, dead or alive, until it is let go: no signal reaches a stranger.

    Attributes:
        pid: also the id of its session and process group.
    """

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery
        self._status: int | None = None
        self._gone = False

    def poll(self) -> int | None:
        """None while it lives, then how it ended: as `subprocess.Popen.poll` says it."""
        if self._status is None:
            self._status = self._nursery.ask("poll", self.pid)
        return self._status

    def wait(self, timeout: float = 30.0) -> int:
        give_up = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """To all of its group."""
        self._signal(os.killpg, number)

    def kill(self) -> None:
        """The worker alone: its renewer must notice by itself."""
        self._signal(os.kill, signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(os.kill, signal.SIGTERM)

    def let_go(self) -> None:
        """End it and its group; from now on its pid may be anybody's, and it is sent nothing more."""
        if not self._gone:
            self.kill()
            self.send_signal(signal.SIGKILL)
            self.wait()
            self._gone = True
            self._nursery.ask("reap", self.pid)

    def _signal(self, how: Callable[[int, int], None], number: int) -> None:
        if not self._gone:
            # There is no group before the worker has made it.
            with suppress(ProcessLookupError):
                how(self.pid, number)


class Nursery:
    """The forking process, from outside. May be asked by several threads."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def fork(self, environment: Mapping[str, str], **given: Any) -> Child:
        """A new worker; it may not serve yet. ``log``: where what it says is appended."""
        return Child(self.ask("fork", {"environment": dict(environment), "given": given}), self)

    def ask(self, what: str, value: object) -> Any:
        """What the forking process says to that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps([what, value]).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@cache
def nursery() -> Nursery:
    """The one of this process."""
    made = Nursery()
    atexit.register(made.close)
    return made


def _become_worker(environment: dict[str, str], given: dict[str, Any]) -> None:
    """Never returns."""
    from tests.faults import recorder
    from tests.mutants import mutated

    status = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        log = os.open(given["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(environment)
        with ExitStack() as stack:
            if given.get("mutant"):
                stack.enter_context(mutated(given["mutant"]))
            workflows = recorder.SERVED[given["serves"]]()
            asyncio.run(recorder.main(given["ledger"], workflows, points=given.get("points")))
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def fork(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _become_worker(asked["environment"], asked["given"])
    return pid


def poll(pid: int) -> int | None:
    """How a child ended; it stays a zombie, and its pid nobody else's."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def reap(pid: int) -> None:
    os.waitpid(pid, 0)


def main() -> None:
    from tests.faults import recorder  # noqa: F401  Imported before the first fork.

    print("ready", flush=True)
    while line := sys.stdin.readline():
        what, value = json.loads(line)
        print(json.dumps({"fork": fork, "poll": poll, "reap": reap}[what](value)), flush=True)


if __name__ == "__main__":
    main()
