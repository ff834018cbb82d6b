"""A step that never gives the interpreter back: its process is ended and replaced, and it is poison in the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker_wf.errors import PoisonError
from tests.apps.stubborn import HangsAlways, HangsOnce, Spin
from tests.faults.cluster import LEASE_MS, ROOT, Cluster, until

TARGET = "tests.apps.stubborn:hanging"
QUICK = {"stall_limit_ms": LEASE_MS}
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes as Linux shows them")


def hung(cluster: Cluster, word: str) -> list[int]:
    """Processes in which that was begun, in order."""
    return [int(line.split()[1]) for line in cluster.lines() if line.startswith(word)]


def log(cluster: Cluster) -> str:
    return (cluster.directory / "workers.log").read_text()


def has_ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_a_process_that_hangs_is_ended_and_another_takes_its_place(cluster: Cluster) -> None:
    pool = cluster.work(1, target=TARGET, processes=2, **QUICK)
    result = await asyncio.wait_for(HangsOnce(broker=cluster.settings).run(ledger=str(cluster.ledger)), 60)
    (first,) = hung(cluster, "once")
    assert result != first
    await asyncio.to_thread(until, lambda: has_ended(first), "the end of the process that hangs")
    await asyncio.to_thread(until, lambda: "died with SIGKILL" in log(cluster), "its parent's word")
    await asyncio.to_thread(until, lambda: len(cluster.alive()) == 2, "two workers, as before")
    assert pool.poll() is None
    told = log(cluster)
    assert f"worker process {first} has stood still for" in told
    assert "in hang" in told.split("(most recent call first)", 1)[1], "it says where it hangs"


async def test_a_step_that_always_hangs_is_poison_and_leaves_no_process_behind(cluster: Cluster) -> None:
    cluster.work(1, target=TARGET, processes=2, **QUICK)
    ledger = str(cluster.ledger)
    with pytest.raises(PoisonError, match="3"):
        await asyncio.wait_for(HangsAlways(broker=cluster.settings).run(ledger=ledger), 90)
    pids = hung(cluster, "always")
    assert len(set(pids)) == len(pids) == 3
    await asyncio.to_thread(until, lambda: all(map(has_ended, pids)), "the end of all that hang")
    healthy = Spin(broker=cluster.settings).run(ledger=ledger, hold_s=0.01)
    assert await asyncio.wait_for(healthy, 60) not in pids
    assert cluster.client.xlen(cluster.keys.of("dead")) == 1
    assert cluster.left() == {}


async def test_time_in_which_a_worker_is_stopped_by_a_signal_does_not_count(cluster: Cluster) -> None:
    worker = cluster.work(1, target=TARGET, **QUICK)
    worker.send_signal(signal.SIGSTOP)
    await asyncio.sleep(4 * LEASE_MS / 1000)
    worker.send_signal(signal.SIGCONT)
    healthy = Spin(broker=cluster.settings).run(ledger=str(cluster.ledger), hold_s=0.01)
    assert await asyncio.wait_for(healthy, 60) == worker.pid
    assert "has stood still" not in log(cluster)


def in_a_container(*command: str) -> list[str]:
    """A command as process 1."""
    return ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", *command]


def can_be_process_1() -> bool:
    return shutil.which("unshare") is not None and subprocess.run(in_a_container("true"), check=False).returncode == 0


async def test_the_first_process_of_a_container_ends_itself(cluster: Cluster) -> None:
    if not can_be_process_1():
        pytest.skip("needs the right to make a namespace of processes")
    variables = {
        "URL": cluster.settings.url or "",
        "NAMESPACE": "faults",
        "LEASE_MS": LEASE_MS,
        "STALL_LIMIT_MS": LEASE_MS,
    }
    with (cluster.directory / "workers.log").open("ab") as sink:
        worker = subprocess.Popen(
            in_a_container(sys.executable, "-m", "broker_wf", "worker", TARGET),
            env={**os.environ, **{f"BROKER_WF_{name}": str(value) for name, value in variables.items()}},
            cwd=ROOT,
            stdout=sink,
            stderr=sink,
        )
    cluster.workers.append(worker)
    handler = HangsAlways(broker=cluster.settings).run(ledger=str(cluster.ledger))
    began = time.monotonic()
    await asyncio.to_thread(until, lambda: worker.poll() is not None, "the worker's end")
    assert hung(cluster, "always") == [1]
    assert time.monotonic() - began > LEASE_MS / 1000
    assert "Timeout (" in log(cluster)
    await handler.cancel_run()
