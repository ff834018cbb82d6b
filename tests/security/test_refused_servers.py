"""A worker against a server that it must not use: it says why and what to do, and ends (D19)."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from broker_wf.broker.server_check import is_loopback
from broker_wf.errors import ServerRefusedError
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.old_servers import old_server
from tests.security.app import Security
from tests.security.network import ENOUGH_S, SECRET, PortServer, port_server, serving_worker, until, worker_process

ANYWHERE = "0.0.0.0"
"""Not the loopback address, though Linux brings whoever connects to it to this machine."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortServer]:
    with port_server(tmp_path_factory.mktemp("server")) as one:
        yield one


@pytest.fixture
def admin(server: PortServer) -> Iterator[redis.Redis]:
    """May change the server's configuration, which is as before after the test."""
    with redis.Redis(port=server.port, decode_responses=True) as client:
        names = ("maxmemory-policy", "appendonly", "requirepass")
        before = [(name, client.config_get(name)[name]) for name in names]
        yield client
        client.replicaof("no", "one")
        for name, value in before:
            client.config_set(name, value)


def refusal(url: str, tmp_path: Path, **settings: object) -> str:
    """What a worker says that does not start."""
    log = tmp_path / "worker.log"
    process = worker_process(url, log, **settings)
    try:
        code = process.wait(timeout=ENOUGH_S)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the worker did not end: {log.read_text()}")
    finally:
        process.kill()
        process.wait()
    assert code not in (0, 1), log.read_text()
    return re.sub(r"\s+", " ", log.read_text())


def test_a_server_that_evicts(server: PortServer, admin: redis.Redis, tmp_path: Path) -> None:
    admin.config_set("maxmemory-policy", "volatile-ttl")
    said = refusal(f"redis://127.0.0.1:{server.port}", tmp_path)
    assert "it may evict keys (maxmemory-policy volatile-ttl), which loses work" in said
    assert "Set maxmemory-policy noeviction." in said


def test_a_replica(server: PortServer, admin: redis.Redis, tmp_path: Path) -> None:
    admin.replicaof("127.0.0.1", 1)
    said = refusal(f"redis://127.0.0.1:{server.port}", tmp_path)
    assert "it is a replica" in said
    assert "Use the address of the master." in said


async def test_an_old_server(tmp_path: Path) -> None:
    with old_server() as url:
        said = await asyncio.to_thread(refusal, url, tmp_path)
    assert "its version is 6.2.14" in said
    assert "Use Redis 7.0 or later, or Valkey 7.2 or later." in said


def test_a_wrong_password(server: PortServer, admin: redis.Redis, tmp_path: Path) -> None:
    admin.config_set("requirepass", "right")
    said = refusal(f"redis://:{SECRET}@127.0.0.1:{server.port}", tmp_path)
    assert "Put the right password into the URL or BROKER_WF_PASSWORD_FILE." in said
    assert SECRET not in said


def test_no_log_on_another_machine(server: PortServer, admin: redis.Redis, tmp_path: Path) -> None:
    admin.config_set("requirepass", SECRET)
    admin.config_set("appendonly", "no")
    said = refusal(f"redis://:{SECRET}@{ANYWHERE}:{server.port}", tmp_path)
    assert "it keeps no log of what it was told (appendonly no), so a restart loses accepted runs" in said
    assert "Set appendonly yes; where that loss does not matter, set BROKER_WF_ALLOW_VOLATILE=1." in said
    assert SECRET not in said


@pytest.mark.usefixtures("admin")
def test_no_password_on_another_machine(server: PortServer, tmp_path: Path) -> None:
    said = refusal(f"redis://{ANYWHERE}:{server.port}", tmp_path)
    assert "it is on another machine and lets anybody in without a password" in said
    assert "Set requirepass or an ACL user there" in said
    assert "set BROKER_WF_ALLOW_INSECURE=1." in said


@pytest.mark.nightly
async def test_each_refusal_comes_within_three_seconds(server: PortServer, admin: redis.Redis, tmp_path: Path) -> None:
    here, elsewhere = f"redis://127.0.0.1:{server.port}", f"redis://{ANYWHERE}:{server.port}"
    took_s: list[float] = []

    async def refused(url: str, **settings: object) -> None:
        began = time.monotonic()
        await asyncio.to_thread(refusal, url, tmp_path, **settings)
        took_s.append(time.monotonic() - began)

    with old_server() as url:
        await refused(url)
    await refused(elsewhere)
    admin.config_set("appendonly", "no")
    await refused(elsewhere, allow_insecure="yes")
    admin.config_set("appendonly", "yes")
    admin.config_set("maxmemory-policy", "allkeys-lru")
    await refused(here)
    admin.config_set("maxmemory-policy", "noeviction")
    admin.replicaof("127.0.0.1", 1)
    await refused(here)
    print(f"D19: refused and ended after {', '.join(f'{one:.2f}' for one in took_s)} s")
    assert max(took_s) < 3.0


def test_both_are_used_where_somebody_said_so(server: PortServer, admin: redis.Redis, tmp_path: Path) -> None:
    admin.config_set("appendonly", "no")
    url = f"redis://{ANYWHERE}:{server.port}"
    log = tmp_path / "worker.log"
    with serving_worker(url, log, allow_insecure="yes", allow_volatile=1):
        until(lambda: "keeps no log (appendonly no)" in log.read_text(), "the warning")


@pytest.fixture
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()


@pytest.mark.usefixtures("homes", "admin")
async def test_a_driver_refuses_as_a_worker_does(server: PortServer) -> None:
    flow = Security(broker=Settings.load(url=f"redis://{ANYWHERE}:{server.port}"))
    with pytest.raises(ServerRefusedError) as caught:
        await asyncio.wait_for(flow.run(), ENOUGH_S)
    assert "BROKER_WF_ALLOW_INSECURE=1" in caught.value.cure


@pytest.mark.usefixtures("homes")
async def test_a_server_on_another_machine_is_used_with_its_password(server: PortServer, admin: redis.Redis) -> None:
    admin.config_set("requirepass", SECRET)
    url = f"redis://{ANYWHERE}:{server.port}"
    for given in (f"redis://:{SECRET}@{ANYWHERE}:{server.port}", f"{url}?password={SECRET}"):
        handler = Security(broker=Settings.load(url=given, namespace="driver")).run()
        await asyncio.wait_for(handler.cancel_run(), ENOUGH_S)
        await close_homes()


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("unix:///tmp/s", True),
        ("redis://", True),
        ("redis://localhost", True),
        ("redis://a.localhost:1", True),
        ("redis://127.3.2.1:6379/1", True),
        ("rediss://user:p%40@[::1]:6379", True),
        ("redis+sentinel://127.0.0.1:1,localhost:2/m", True),
        ("redis+sentinel://127.0.0.1:1,other:2/m", False),
        ("redis://localhost.example.org", False),
        ("redis://:pw@10.0.0.1", False),
        ("redis://0.0.0.0", False),
        ("rediss://redis", False),
    ],
)
def test_what_counts_as_this_machine(url: str, near: bool) -> None:
    assert is_loopback(url) is near
