from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_S = 20.0

CHILD = """
import os, signal, sys, threading
from pathlib import Path
from broker_wf.worker.pool import READY, tell_parent, watch_parent

folder, alive, report = Path(sys.argv[1]), *map(int, sys.argv[2].split(","))
stopped = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: stopped.set())
watch_parent(alive, stopped.set)

def note(word):
    (folder / f"{word}-{os.getpid()}").touch()
"""

PARENT = """
import logging, sys
from pathlib import Path
from broker_wf.worker.pool import Pool, PoolPlan

logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
folder, count, drain_ms = sys.argv[1:4]
plan = PoolPlan(
    command=[sys.executable, f"{folder}/child.py", folder],
    link=lambda alive, report: [f"{alive},{report}"],
    processes=int(count),
    drain_ms=int(drain_ms),
    start_errors={3},
    first_errors={4},
)
sys.exit(Pool(plan).run())
"""

SERVES = CHILD + "tell_parent(report, READY); note('began'); stopped.wait(); note('drained')"


class Group:
    """A pool with children of the test's own making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def start(self, child: str, processes: int = 2, drain_ms: int = 5_000) -> subprocess.Popen[str]:
        (self.folder / "child.py").write_text(textwrap.dedent(child))
        (self.folder / "parent.py").write_text(PARENT)
        command = [sys.executable, self.folder / "parent.py", self.folder, str(processes), str(drain_ms)]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
        )
        return self.process

    def pids(self, word: str) -> set[int]:
        return {int(path.name.partition("-")[2]) for path in self.folder.glob(f"{word}-*")}

    def ended(self, within_s: float = PATIENCE_S) -> tuple[int, str]:
        assert self.process is not None
        _, told = self.process.communicate(timeout=within_s)
        return self.process.returncode, told


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path)
    yield made
    if made.process is not None:
        with made.process as process:
            process.kill()


def until(predicate: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not predicate():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_every_child_drain(group: Group, number: signal.Signals) -> None:
    parent = group.start(SERVES, processes=3)
    until(lambda: len(group.pids("began")) == 3)
    parent.send_signal(number)
    assert group.ended()[0] == 0
    assert group.pids("drained") == group.pids("began")


def test_ctrl_c_in_a_terminal_reaches_the_children_once(group: Group) -> None:
    group.start(SERVES)
    until(lambda: len(group.pids("began")) == 2)
    assert group.process is not None
    assert {os.getsid(pid) for pid in group.pids("began")}.isdisjoint({os.getsid(group.process.pid)})
    group.process.send_signal(signal.SIGINT)
    assert group.ended()[0] == 0


def test_a_child_that_dies_is_replaced(group: Group) -> None:
    parent = group.start(SERVES)
    until(lambda: len(group.pids("began")) == 2)
    victim = min(group.pids("began"))
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(group.pids("began")) == 3)
    parent.send_signal(signal.SIGTERM)
    code, told = group.ended()
    assert code == 0
    assert f"worker process {victim} died with SIGKILL" in told
    assert group.pids("drained") == group.pids("began") - {victim}


def test_a_child_that_keeps_dying_is_replaced_ever_more_slowly(group: Group) -> None:
    child = (
        CHILD
        + """
tell_parent(report, READY)
note("began")
if len(list(folder.glob("began-*"))) < 4:
    sys.exit(9)
stopped.wait()
"""
    )
    parent = group.start(child, processes=1)
    until(lambda: len(group.pids("began")) == 4)
    parent.send_signal(signal.SIGTERM)
    code, told = group.ended()
    assert code == 0
    waits = [line.rpartition(" starts in ")[2] for line in told.splitlines() if "died with exit code 9" in line]
    assert waits[:3] == ["0.1 s", "0.2 s", "0.4 s"]


def test_a_child_that_cannot_start_ends_the_pool_and_its_reason_is_told_once(group: Group) -> None:
    group.start(CHILD + "tell_parent(report, b'Error: no such module'); sys.exit(3)", processes=3)
    code, told = group.ended()
    assert code == 3
    assert told.count("Error: no such module") == 1


def test_a_server_that_is_not_there_at_first_ends_the_pool(group: Group) -> None:
    group.start(CHILD + "tell_parent(report, b'Error: no server'); sys.exit(4)")
    code, told = group.ended()
    assert code == 4
    assert told.count("Error: no server") == 1


def test_a_server_that_is_lost_later_does_not_end_the_pool(group: Group) -> None:
    child = (
        CHILD
        + """
if list(folder.glob("began-*")):
    note("again")
    tell_parent(report, b"Error: no server")
    sys.exit(4)
tell_parent(report, READY)
note("began")
stopped.wait()
"""
    )
    parent = group.start(child, processes=1)
    until(lambda: len(group.pids("began")) == 1)
    os.kill(min(group.pids("began")), signal.SIGKILL)
    until(lambda: len(group.pids("again")) == 2)
    parent.send_signal(signal.SIGTERM)
    assert group.ended()[0] == 0


def test_a_child_that_does_not_stop_is_killed(group: Group) -> None:
    child = CHILD + "tell_parent(report, READY); note('began')\nwhile True: threading.Event().wait()"
    parent = group.start(child, processes=1, drain_ms=0)
    until(lambda: len(group.pids("began")) == 1)
    parent.send_signal(signal.SIGTERM)
    code, told = group.ended()
    assert code == 1
    assert "did not stop in time" in told


def test_a_second_signal_is_passed_on_too(group: Group) -> None:
    child = (
        CHILD
        + """
second = threading.Event()
def hear(number, frame):
    (second if stopped.is_set() else stopped).set()
signal.signal(signal.SIGTERM, hear)
tell_parent(report, READY); note("began"); stopped.wait(); note("first"); second.wait(); note("second")
"""
    )
    parent = group.start(child, processes=1, drain_ms=60_000)
    until(lambda: len(group.pids("began")) == 1)
    parent.send_signal(signal.SIGTERM)
    until(lambda: len(group.pids("first")) == 1)
    parent.send_signal(signal.SIGTERM)
    assert group.ended()[0] == 0
    assert group.pids("second") == group.pids("began")


def test_children_drain_when_their_parent_was_killed(group: Group) -> None:
    parent = group.start(SERVES, processes=2)
    until(lambda: len(group.pids("began")) == 2)
    parent.kill()
    until(lambda: group.pids("drained") == group.pids("began"))


def test_a_child_that_fails_while_it_stops_is_told_by_the_exit_code(group: Group) -> None:
    parent = group.start(CHILD + "tell_parent(report, READY); note('began'); stopped.wait(); sys.exit(7)")
    until(lambda: len(group.pids("began")) == 2)
    parent.send_signal(signal.SIGTERM)
    code, told = group.ended()
    assert code == 1
    assert "exit code 7 while it stopped" in told


def test_a_signal_that_comes_before_the_children_listen_is_no_failure(group: Group) -> None:
    parent = group.start("import time; time.sleep(60)")
    until(lambda: len(_children(parent.pid)) == 2)
    parent.send_signal(signal.SIGTERM)
    assert group.ended()[0] == 0


def _children(pid: int) -> list[str]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.split()
