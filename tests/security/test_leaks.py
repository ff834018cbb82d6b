"""Nothing stays: no key of a run that has ended, and nothing in a worker that has worked for long (D38)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from broker_wf.broker.keys import FAMILIES, Keys, Life
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.integration.key_audit import problems
from tests.security.app import Security
from tests.security.network import ENOUGH_S, PortServer, port_server, serving_worker, until

NAMESPACE = "leaks"
KEEP_MS = 2_000
MOST_CONNECTIONS = 6
STEPS_PER_RUN = 52
KERNEL_TELLS = Path("/proc/self/fd").exists()


@pytest.fixture(autouse=True)
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()


async def end_in_every_way(settings: Settings, runs: int, in_flight: int = 50) -> set[str]:
    """Completed, failed, timed out, cancelled, in turn; the kinds of endings that were seen."""
    flow, hasty = Security(broker=settings), Security(broker=settings, timeout=0.05)
    seen: set[str] = set()

    async def one(n: int) -> None:
        kind = n % 4
        handler = (hasty if kind == 2 else flow).run(n=3, fails=kind == 1, sleeps=60 if kind > 1 else 0)
        if kind == 3:
            await handler.followed.broker()
            await handler.cancel_run()
        (ended,) = await asyncio.gather(handler.stop_event_result(), return_exceptions=True)
        seen.add(type(ended).__name__)

    for start in range(0, runs, in_flight):
        await asyncio.wait_for(asyncio.gather(*map(one, range(start, min(runs, start + in_flight)))), ENOUGH_S)
    return seen


def of_runs(client: redis.Redis) -> list[str]:
    """Keys that live only as long as a run is kept, or as a process lives."""
    keys = [key.decode() for key in client.scan_iter(match=f"{Keys(NAMESPACE).tag}*", count=1000)]
    tails = {key: key.removeprefix(Keys(NAMESPACE).tag).partition(":")[0] for key in keys}
    return [key for key, family in tails.items() if FAMILIES[family].life in (Life.RUN, Life.LIVE)]


async def no_key_stays(tmp_path: Path, runs: int) -> None:
    with port_server(tmp_path) as server, redis.Redis(port=server.port) as client:
        url = f"redis://127.0.0.1:{server.port}"
        kept = {"keep_ms": KEEP_MS, "keep_failed_ms": KEEP_MS, "heartbeat_ms": 300}
        settings = Settings.load(url=url, namespace=NAMESPACE, **kept)
        with serving_worker(url, tmp_path / "worker.log", NAMESPACE, **kept):
            seen = await end_in_every_way(settings, runs)
        await close_homes()
        assert seen == {"StopEvent", "WorkflowRuntimeError", "WorkflowTimeoutError", "WorkflowCancelledByUser"}
        # The worker was killed: that it is still in the roster is no leak.
        found = problems(client, NAMESPACE)
        assert [one for one in found if ":roster" not in one and ":serving" not in one] == []
        until(lambda: of_runs(client) == [], "the keys of all runs to expire")


async def test_runs_of_every_ending_leave_no_key(tmp_path: Path) -> None:
    await no_key_stays(tmp_path, runs=200)


@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_two_thousand_runs_of_every_ending_leave_no_key(tmp_path: Path) -> None:
    await no_key_stays(tmp_path, runs=2_000)


@dataclass(frozen=True)
class Use:
    """What a process uses: resident KiB, descriptors, connections to the server."""

    memory_kib: int
    descriptors: int
    connections: int


def use_of(pid: int, port: int) -> Use:
    """What the kernel says of a process."""
    proc = Path(f"/proc/{pid}")
    memory = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
    links = [str(one.readlink()) for one in (proc / "fd").iterdir()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in (proc / "net/tcp").read_text().splitlines()[1:]]
    connections = sum(row[9] in sockets and int(row[2].split(":")[1], 16) == port for row in rows)
    return Use(memory_kib=int(memory.split()[1]), descriptors=len(links), connections=connections)


async def work(flow: Security, steps: int) -> None:
    """So many steps, four runs at a time."""
    for _ in range(max(1, steps // (4 * STEPS_PER_RUN))):
        wanted = [sum(range(STEPS_PER_RUN - 2))] * 4
        begun = [flow.run(n=STEPS_PER_RUN - 2) for _ in range(4)]
        assert await asyncio.wait_for(asyncio.gather(*begun), ENOUGH_S) == wanted


def worker_pid(server: PortServer) -> int:
    with redis.Redis(port=server.port) as client:
        (worker,) = client.zrange(Keys(NAMESPACE).of("roster"), 0, -1)
    return int(worker.decode().rsplit("-", 2)[1])


async def stays_flat(tmp_path: Path, steps: int, most_kib: int) -> None:
    with port_server(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}"
        flow = Security(broker=Settings.load(url=url, namespace=NAMESPACE))
        with serving_worker(url, tmp_path / "worker.log", NAMESPACE):
            pid = worker_pid(server)
            await work(flow, max(1_000, steps // 5))
            before = use_of(pid, server.port)
            await work(flow, steps)
            after = use_of(pid, server.port)
    print(f"{steps} steps: {before} before, {after} after")
    assert 1 <= after.connections <= MOST_CONNECTIONS
    assert after.connections <= before.connections + 1
    assert after.descriptors <= before.descriptors + 2
    assert after.memory_kib - before.memory_kib < most_kib


@pytest.mark.skipif(not KERNEL_TELLS, reason="there is no /proc")
async def test_a_worker_stays_as_it_is_over_many_steps(tmp_path: Path) -> None:
    await stays_flat(tmp_path, steps=5_000, most_kib=8 * 1024)


@pytest.mark.nightly
@pytest.mark.skipif(not KERNEL_TELLS, reason="there is no /proc")
@pytest.mark.timeout(1_200)
async def test_a_worker_stays_as_it_is_over_very_many_steps(tmp_path: Path) -> None:
    """Less than 1 MiB for each 10,000 steps."""
    await stays_flat(tmp_path, steps=50_000, most_kib=5 * 1024)
