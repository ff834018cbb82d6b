"""Garbage in everything that a worker reads: it goes on, healthy runs do not notice, what is refused is told (D22)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest
import redis

from broker_wf.broker.keys import Keys
from broker_wf.handler import WorkflowHandler
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.security.app import Security
from tests.security.fuzz import Fuzz
from tests.security.network import ENOUGH_S, PortServer, port_server, serving_worker, until

QUICK = {
    "audit_ms": 300,
    "sweep_ms": 100,
    "lease_ms": 1_000,
    "heartbeat_ms": 500,
    "queued_check_ms": 300,
    "skew_timeout_ms": 5_000,
}
NAMESPACE = "fuzz"


async def healthy(flow: Security, runs: int) -> list[float]:
    """Runs that must not notice; how long each took, sorted."""
    took: list[float] = []
    for _ in range(runs):
        begun = time.monotonic()
        assert await asyncio.wait_for(flow.run(n=4), ENOUGH_S) == 0 + 1 + 2 + 3
        took.append(time.monotonic() - begun)
    return sorted(took)


def p99(took: list[float]) -> float:
    return took[round(0.99 * (len(took) - 1))]


def letters(client: redis.Redis, keys: Keys) -> list[dict[str, Any]]:
    """The dead letters of the namespace."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(keys.of("dead")))
    return [
        msgpack.unpackb(f[b"letter"], raw=False, strict_map_key=False, unicode_errors="replace") for _, f in entries
    ]


async def spoiled_runs(client: redis.Redis, flow: Security, fuzz: Fuzz, count: int) -> list[WorkflowHandler]:
    """Live runs, nobody works at them yet, with garbage in what is kept of them."""
    begun = [flow.run(n=2) for _ in range(count)]
    for n, handler in enumerate(begun):
        await asyncio.wait_for(handler.followed.broker(), ENOUGH_S)
        (fuzz.spoil_record, fuzz.spoil_fields, fuzz.spoil_run)[n % 3](client, handler.run_id)
    return begun


async def play(
    server: PortServer, tmp_path: Path, seed: int, entries: int, members: int, runs: int, *, watched: int = 0
) -> float:
    """Put garbage everywhere while healthy runs go on.

    Args:
        watched: so many healthy runs before, and as many while it is met, and not five and ten.

    Returns:
        How much longer the slow ones of the latter took (99 of 100 are faster) than those before.
    """
    keys, log = Keys(NAMESPACE), tmp_path / "worker.log"
    url = f"redis://127.0.0.1:{server.port}"
    settings = Settings.load(url=url, namespace=NAMESPACE, **QUICK)
    flow = Security(broker=settings)
    with redis.Redis(port=server.port) as client:
        fuzz = Fuzz(keys, flow.workflow_name, "", seed)
        doomed = Security(broker=settings, timeout=5.0)
        spoiled = await spoiled_runs(client, doomed, fuzz, runs)
        with serving_worker(url, log, NAMESPACE, **QUICK) as pid:
            fuzz.worker = next(one.decode() for one in client.zrange(keys.of("roster"), 0, -1) if b"-%d-" % pid in one)
            before = await healthy(flow, watched or 5)
            for put in (*fuzz.entries(entries), *fuzz.members(members)):
                put(client)
            client.zadd(keys.of("ready", fuzz.lane), {f"{kind}:Piece|work": 0 for kind in "wa"})
            after = await healthy(flow, watched or 10)
            until(lambda: all(client.xlen(key) == 0 for key in work_streams(keys, flow)), "the garbage to be gone")
            ended = await asyncio.wait_for(asyncio.gather(*spoiled, return_exceptions=True), ENOUGH_S)
            await healthy(flow, 5)
            said, told = log.read_text(), letters(client, keys)
        await close_homes()
    print(
        f"seed {seed}: slowest run {before[-1]:.3f} s before, {after[-1]:.3f} s after; p99 of {len(before)} and "
        f"{len(after)} {p99(before):.3f} and {p99(after):.3f} s; {len(told)} dead letters"
    )
    assert "Traceback" not in said, said
    assert sum(one["kind"] == "malformed" for one in told) == fuzz.unread
    assert not [one for one in ended if isinstance(one, asyncio.TimeoutError)]
    return p99(after) / p99(before)


def work_streams(keys: Keys, flow: Security) -> list[str]:
    return [keys.of(family, flow.workflow_name, "Piece") for family in ("work", "again")]


async def test_a_worker_survives_garbage_of_every_kind(tmp_path: Path) -> None:
    with port_server(tmp_path) as server:
        await play(server, tmp_path, seed=1, entries=120, members=90, runs=12)


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(3, 21))])
async def test_a_worker_survives_a_thousand_entries_of_garbage(tmp_path: Path, seed: int) -> None:
    with port_server(tmp_path) as server:
        await play(server, tmp_path, seed, entries=1_000, members=700, runs=60)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(21, 24))
async def test_healthy_runs_take_less_than_twice_as_long_beside_garbage(tmp_path: Path, seed: int) -> None:
    with port_server(tmp_path) as server:
        slower = await play(server, tmp_path, seed, entries=1_000, members=700, runs=60, watched=500)
    assert slower < 2.0
