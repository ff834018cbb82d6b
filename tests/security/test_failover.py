"""The master dies and its sentinels name another: runs go on there (D14)."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from broker_wf.broker.clients import drop_client
from broker_wf.broker.connection import RedisClient, Timeouts, async_client
from broker_wf.cli import health
from broker_wf.client import AsyncClient
from broker_wf.errors import ServerUnreachableError
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.security.app import Security
from tests.security.clients import WORKFLOW, ask_everything
from tests.security.network import ENOUGH_S, serving_worker, start_process, wait_for_answer, wanted_binary
from tests.security.sentinels import PASSWORD, SERVICE, Guarded, guarded
from tests.servers import free_port

QUICK = {
    "audit_ms": 500,
    "sweep_ms": 200,
    "lease_ms": 2_000,
    "heartbeat_ms": 500,
    "queued_check_ms": 1_000,
    "block_ms": 500,
}


@pytest.fixture(autouse=True)
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()
    gc.collect()


async def in_step(group: Guarded) -> None:
    """Whatever was acknowledged is on the replicas too."""
    with redis.Redis(port=group.master_port(), password=PASSWORD) as client:
        await asyncio.to_thread(client.wait, 1, 5_000)


async def play(tmp_path: Path, failovers: int, runs: int) -> None:
    log = tmp_path / "worker.log"
    with guarded(tmp_path, replicas=failovers) as group, serving_worker(group.url, log, **QUICK):
        flow = Security(broker=Settings.load(url=group.url, namespace="security", **QUICK))
        for n in range(failovers):
            begun = [flow.run(n=4) for _ in range(runs)]
            await asyncio.gather(*(one.followed.broker() for one in begun))
            await in_step(group)
            killed = time.monotonic()
            await asyncio.to_thread(group.fail_over)
            assert await asyncio.wait_for(asyncio.gather(*begun), ENOUGH_S) == [0 + 1 + 2 + 3] * runs
            assert await asyncio.wait_for(flow.run(n=2), ENOUGH_S) == 1
            print(f"failover {n}: all {runs} runs and a new one ended {time.monotonic() - killed:.1f} s after the kill")
        assert "Traceback" not in log.read_text()
        assert PASSWORD not in log.read_text()


async def test_runs_go_on_at_the_next_master(tmp_path: Path) -> None:
    await play(tmp_path, failovers=1, runs=40)


async def test_a_client_without_the_code_goes_on_at_the_next_master(tmp_path: Path) -> None:
    with guarded(tmp_path, replicas=1) as group, serving_worker(group.url, tmp_path / "worker.log", **QUICK):
        await ask_everything(group.url)
        async with AsyncClient(group.url, namespace="security", patience_s=ENOUGH_S) as client:
            run = await client.submit(WORKFLOW, {"n": 3, "sleeps": 1})
            await in_step(group)
            await asyncio.to_thread(group.fail_over)
            assert await asyncio.wait_for(run.result(), ENOUGH_S) == 0 + 1 + 2
            assert [event.type async for event in run.events()] == ["StopEvent"]
            assert await asyncio.wait_for(client.run(WORKFLOW, {"n": 2}), ENOUGH_S) == 1


@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_runs_go_on_through_five_failovers(tmp_path: Path) -> None:
    await play(tmp_path, failovers=5, runs=200)


@pytest.mark.parametrize("gone", ["[::1]", "127.0.0.1"])
async def test_a_sentinel_that_is_gone_does_not_matter(
    tmp_path: Path, gone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with guarded(tmp_path, replicas=0) as group:
        last = f"127.0.0.1:{group.sentinels[-1]}"
        for hosts in (f"{gone}:{free_port()},{last}", f"{last},{gone}:{free_port()}"):
            url = f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}"
            assert await asyncio.to_thread(health.main, ["--url", url]) == 0
            assert PASSWORD not in capsys.readouterr().out
            with serving_worker(url, tmp_path / "worker.log", **QUICK):
                flow = Security(broker=Settings.load(url=url, namespace="security", **QUICK))
                assert await asyncio.wait_for(flow.run(n=3), ENOUGH_S) == 0 + 1 + 2
                await close_homes()
        unknown = f"redis+sentinel://:{PASSWORD}@{last}/another"
        assert await asyncio.to_thread(health.main, ["--url", unknown]) == 4
        told = capsys.readouterr().err
        assert "does not know it" in told
        assert PASSWORD not in told


async def answers(client: RedisClient) -> bool:
    try:
        return await client.execute_command("PING") in (b"PONG", True)
    except (redis.ConnectionError, redis.TimeoutError):
        return False


async def test_connections_made_at_once_forget_no_sentinel(tmp_path: Path) -> None:
    with guarded(tmp_path, replicas=0) as group:
        first, second, third = group.processes
        first.kill()
        first.wait()
        client = async_client(group.url, Timeouts(socket_ms=3_000, connect_ms=3_000, block_ms=0))
        assert all(await asyncio.gather(*(answers(client) for _ in range(4))))
        config = tmp_path / "sentinel0" / "sentinel.conf"
        again = start_process(wanted_binary(), tmp_path / "sentinel0", [str(config), "--sentinel"])
        try:
            wait_for_answer(group.sentinels[0], again)
            for one in (second, third):
                one.kill()
                one.wait()
            with redis.Redis(port=group.servers[0].port, password=PASSWORD) as server:
                server.client_kill_filter(_type="normal")
            tries = [await answers(client) for _ in range(12)]
            assert tries[-1], "the one that has come back is asked for the master"
        finally:
            await client.aclose()
            again.kill()
            again.wait()


async def test_a_client_leaves_no_connection_whenever_its_end_is_cut_short(tmp_path: Path) -> None:
    with guarded(tmp_path, replicas=0) as group:
        for turns in range(1, 12):
            client = async_client(group.url, Timeouts(socket_ms=3_000, connect_ms=3_000, block_ms=0))
            assert await answers(client)
            dropping = asyncio.ensure_future(drop_client(client))
            for _ in range(turns):
                await asyncio.sleep(0)
            dropping.cancel()
            await asyncio.wait([dropping])
            del client, dropping
            gc.collect()  # Of a connection that is still open there is a warning, which is an error here.


async def test_sentinels_that_do_not_answer_are_told_without_the_password() -> None:
    url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:{free_port()},127.0.0.1:{free_port()}/mymaster?sentinel_password={PASSWORD}"
    flow = Security(broker=Settings.load(url=url, connect_timeout_ms=300))
    with pytest.raises(ServerUnreachableError) as caught:
        await asyncio.wait_for(flow.run(), ENOUGH_S)
    assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "mymaster" in str(caught.value)
