"""A master that dies before its replica has what it acknowledged (D15): the runs go back in time, and on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from broker_wf.broker.keys import Keys
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.apps.held import Counting
from tests.faults.experiment import meanwhile
from tests.security.app import Security
from tests.security.network import PortServer, serving_worker, start_process, wait_for_answer
from tests.security.sentinels import PASSWORD, Guarded, guarded

SETTINGS = {
    "audit_ms": 500,
    "sweep_ms": 200,
    "lease_ms": 2_000,
    "heartbeat_ms": 500,
    "queued_check_ms": 1_000,
    "block_ms": 500,
}
BEHIND_S = 1.0
ENOUGH_S = 120.0
RUNS, PIECES = 30, 6


def asked(server: PortServer, *command: str) -> Any:
    with redis.Redis(port=server.port, password=PASSWORD, decode_responses=True) as client:
        return cast(Any, client.execute_command(*command))


def link_status(server: PortServer) -> str:
    with redis.Redis(port=server.port, password=PASSWORD) as client:
        return cast("dict[str, str]", client.info("replication")).get("master_link_status", "none")


@contextmanager
def severed(group: Guarded) -> Iterator[PortServer]:
    """The replica is not let in again by its master, and has what it had; yields the replica."""
    master, (replica,) = group.master(), [one for one in group.servers if one is not group.master()][:1]
    asked(replica, "CONFIG", "SET", "masterauth", "not-this-one")
    asked(master, "CLIENT", "KILL", "TYPE", "replica")
    yield replica
    asked(replica, "CONFIG", "SET", "masterauth", PASSWORD)


def begun(flow: Security, count: int) -> list[Any]:
    return [flow.run(n=PIECES, sleeps=0.2) for _ in range(count)]


async def all_right(handlers: list[Any]) -> None:
    results = await asyncio.wait_for(asyncio.gather(*handlers), ENOUGH_S)
    assert results == [sum(range(PIECES))] * len(handlers)


async def nothing_is_left(group: Guarded) -> None:
    keys = Keys("security")
    with redis.Redis(port=group.master_port(), password=PASSWORD) as client:
        for name in (keys.of("watch"), keys.of("queued"), keys.of("live_runs", "tests.security.app.Security")):
            await meanwhile(lambda name=name: client.zcard(name) == 0, f"{name} to be empty")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("round_", range(1, 4))
async def test_writes_that_a_failover_lost_are_made_again(tmp_path: Path, log: Path, round_: int) -> None:
    with guarded(tmp_path) as group, serving_worker(group.url, log, **SETTINGS):
        flow = Security(broker=Settings.load(url=group.url, namespace="security", **SETTINGS))
        handlers = begun(flow, RUNS)
        await asyncio.gather(*(one.followed.broker() for one in handlers))
        await asyncio.sleep(0.1 * round_)
        old = group.master()
        with severed(group) as replica:
            handlers += begun(flow, RUNS)
            await asyncio.sleep(BEHIND_S)
            behind = [int(asked(one, "INFO", "replication")["master_repl_offset"]) for one in (old, replica)]
            assert behind[0] > behind[1]
            await asyncio.to_thread(group.fail_over)
        handlers += begun(flow, RUNS)
        old.process = start_process(old.binary, tmp_path / "master", old.words)
        try:
            wait_for_answer(old.port, old.process)
            await all_right(handlers)
            await meanwhile(lambda: link_status(old) == "up", "the old master to follow the new one")
            await all_right(begun(flow, 1))
            await nothing_is_left(group)
        finally:
            old.kill()
            await close_homes()
    print(f"round {round_}: {len(handlers)} runs right; {behind[0] - behind[1]:,} bytes were lost")
    assert "Traceback" not in log.read_text()


async def test_a_step_that_changes_the_state_before_and_after_a_failover_that_lost_the_first(
    tmp_path: Path, log: Path
) -> None:
    """One master has done the first change, the next one the others alone: the step is executed again."""
    lasts = {**SETTINGS, "lease_ms": 30_000}  # Beyond the failover.
    with guarded(tmp_path) as group, serving_worker(group.url, log, app="tests.apps.held:Counting", **lasts):
        settings = Settings.load(url=group.url, namespace="security", **lasts)
        handler = Counting(timeout=ENOUGH_S, broker=settings).run(directory=str(tmp_path))
        await meanwhile((tmp_path / "before.came").exists, "the step to begin")
        assert asked(group.master(), "WAIT", "1", "10000") == 1, "the replica knows of the lease"
        with severed(group):
            (tmp_path / "before").touch()
            await meanwhile((tmp_path / "between.came").exists, "its first change to be acknowledged")
            await asyncio.to_thread(group.fail_over)
        for gate in ("between", "after"):
            (tmp_path / gate).touch()
        assert await asyncio.wait_for(handler, ENOUGH_S) == [1, 1, 1]
        await close_homes()
    assert "Traceback" not in log.read_text()


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_a_master_that_writes_only_with_its_replica_is_waited_for(tmp_path: Path, log: Path) -> None:
    words = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"]
    with guarded(tmp_path, words=words) as group, serving_worker(group.url, log, **SETTINGS):
        flow = Security(broker=Settings.load(url=group.url, namespace="security", **SETTINGS))
        handlers = begun(flow, RUNS)
        await asyncio.gather(*(one.followed.broker() for one in handlers))
        with severed(group), redis.Redis(port=group.master_port(), password=PASSWORD) as client:

            def refuses() -> bool:
                try:
                    client.set("somebody else's", 1)
                except redis.ResponseError as error:
                    return "NOREPLICAS" in str(error)
                return False

            await meanwhile(refuses, "writes to be refused")
            handlers += begun(flow, RUNS)
            await asyncio.sleep(BEHIND_S)
        await all_right(handlers)
        await nothing_is_left(group)
        await close_homes()
    assert "Traceback" not in log.read_text()
