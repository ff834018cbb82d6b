"""Steps that hold their worker's event loop up, or the whole process; processes that renew leases and die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from broker_wf.handler import WorkflowHandler
from tests.apps.faulty import Pair
from tests.apps.stubborn import Holding, Regex, Sleep, Spin
from tests.faults.cluster import LEASE_MS, Cluster, until

HOLD_S = 3 * LEASE_MS / 1000
TARGET = "tests.apps.stubborn:holding"
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes as Linux shows them")


async def within(handler: WorkflowHandler, seconds: float = 60.0) -> object:
    return await asyncio.wait_for(handler.stop_event_result(), seconds)


async def meanwhile(predicate: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(until, predicate, what)


def renewers(worker: subprocess.Popen[bytes]) -> list[int]:
    """Processes that renew leases for a worker."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    return [int(one) for one in children.read_text().split() if b"renewer" in command_of(int(one))]


def command_of(pid: int) -> bytes:
    """What the process was started with; nothing if it has ended, as it may between its parent's list and this."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def holding(cluster: Cluster, kind: type[Holding], hold_s: float = HOLD_S) -> WorkflowHandler:
    return kind(broker=cluster.settings).run(ledger=str(cluster.ledger), hold_s=hold_s)


async def test_what_holds_a_worker_up_for_three_leases_is_not_begun_twice(cluster: Cluster) -> None:
    cluster.work(1, target=TARGET, processes=3)
    handlers = [holding(cluster, kind) for kind in (Regex, Sleep, Spin)]
    await asyncio.gather(*map(within, handlers))
    assert cluster.starts() == {"regex": 1, "sleep": 1, "spin": 1}


async def test_a_thread_alone_could_not_renew_the_lease_of_what_holds_the_interpreter(cluster: Cluster) -> None:
    cluster.work(1, target=TARGET, processes=2, renewal_process=0)
    handler = holding(cluster, Regex)
    await meanwhile(lambda: cluster.starts()["regex"] > 1, "the second start")
    await handler.cancel_run()


async def test_a_worker_that_stands_still_for_longer_than_it_may_loses_its_leases(cluster: Cluster) -> None:
    first = cluster.work(1, target=TARGET, stall_limit_ms=LEASE_MS)
    handler = holding(cluster, Sleep, 60.0)
    await meanwhile(lambda: cluster.starts()["sleep"] == 1, "the first start")
    cluster.work(1, target=TARGET)
    await meanwhile(lambda: cluster.starts()["sleep"] == 2, "the start elsewhere")
    await meanwhile(lambda: first.poll() == -signal.SIGKILL, "its end, for it still stands")
    await handler.cancel_run()


async def test_leases_are_kept_when_the_process_that_renews_them_is_killed(cluster: Cluster) -> None:
    worker = cluster.work(1, target="tests.apps.faulty:Pair")
    await meanwhile(lambda: len(renewers(worker)) == 1, "the process that renews")
    (killed,) = renewers(worker)
    handler = Pair(broker=cluster.settings).run(count=0, pause_s=HOLD_S, ledger=str(cluster.ledger))
    await meanwhile(lambda: cluster.starts()["first"] == 1, "the start")
    cluster.work(1, target="tests.apps.faulty:Pair")
    os.kill(killed, signal.SIGKILL)
    await meanwhile(lambda: [one for one in renewers(worker) if one != killed], "another process that renews")
    await within(handler)
    assert cluster.starts() == {"first": 1, "second": 1}


async def test_the_process_that_renews_ends_with_its_worker(cluster: Cluster) -> None:
    worker = cluster.work(1, target=TARGET)
    await meanwhile(lambda: len(renewers(worker)) == 1, "the process that renews")
    (renewer,) = renewers(worker)
    os.kill(renewer, signal.SIGTERM)  # as a service manager does to all processes of a service at once
    worker.kill()
    worker.wait()
    await meanwhile(lambda: not Path(f"/proc/{renewer}").exists(), "the renewer's end")
