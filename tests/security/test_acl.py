"""deploy/users.acl on a real server: drivers and workers can work in their namespace, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from broker_wf.errors import ServerRefusedError
from broker_wf.home import close_homes
from broker_wf.inspecting import open_inspector
from broker_wf.settings import Settings
from tests.security.app import Security
from tests.security.network import ENOUGH_S, ROOT, SECRET, PortServer, port_server, serving_worker

USERS = ("broker_wf_driver", "broker_wf_worker")
DENIED = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET requirepass", "CONFIG SET maxmemory 1", "SHUTDOWN", "ROLE",
    "SAVE", "BGREWRITEAOF", "REPLICAOF no one", "MONITOR", "ACL LIST", "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MODULE LIST", "SWAPDB 0 1", "SORT {default/0}:x", "FUNCTION FLUSH", "FUNCTION DELETE x", "FUNCTION DUMP",
    "SCRIPT FLUSH", "PUBLISH a b", "LATENCY RESET", "SLOWLOG GET",
]  # fmt: skip
ELSEWHERE = ["GET other", "SET other 1", "DEL {other/0}:run:a", "HGETALL {default2/0}:run:a", "COPY {default/0}:x y"]


def url_of(server: PortServer, user: str) -> str:
    return f"redis://{user}:{SECRET}-{user}@127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortServer]:
    directory = tmp_path_factory.mktemp("acl")
    lines = (ROOT / "deploy" / "users.acl").read_text().splitlines()
    for user in USERS:
        digest = hashlib.sha256(f"{SECRET}-{user}".encode()).hexdigest()
        lines = [f"{line} #{digest}" if line.startswith(f"user {user} ") else line for line in lines]
    (directory / "users.acl").write_text("\n".join(lines) + "\n")
    with port_server(directory, "--aclfile", str(directory / "users.acl")) as one:
        yield one


@pytest.fixture(autouse=True)
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()


async def test_drivers_and_workers_can_do_their_work(server: PortServer, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    quick = {"audit_ms": 100, "sweep_ms": 100, "heartbeat_ms": 200}
    with serving_worker(url_of(server, "broker_wf_worker"), log, "default", **quick):
        settings = Settings.load(url=url_of(server, "broker_wf_driver"))
        flow = Security(broker=settings)
        handler = flow.run(n=4)
        assert await asyncio.wait_for(handler, ENOUGH_S) == 0 + 1 + 2 + 3
        seen = [event async for event in handler.stream_events(expose_internal=True)]
        assert seen
        assert await handler.ctx.store.get("pieces") == 4
        with pytest.raises(Exception, match="told to fail"):
            await asyncio.wait_for(flow.run(fails=True), ENOUGH_S)
        async with open_inspector(settings) as inspector:
            assert await inspector.waiting() is not None
            assert len(await inspector.workers()) == 1
    said = log.read_text()
    assert "NOPERM" not in said, said
    assert "permission" not in said, said


@pytest.mark.parametrize("user", USERS)
def test_nothing_else_is_allowed(server: PortServer, user: str) -> None:
    with redis.Redis.from_url(url_of(server, user)) as client:
        allowed: list[str] = []
        for command in (*DENIED, *ELSEWHERE):
            try:
                client.execute_command(*command.split())
            except redis.exceptions.NoPermissionError:
                continue
            allowed.append(command)
        assert allowed == []


async def test_another_namespace_is_refused_by_name(server: PortServer) -> None:
    flow = Security(broker=Settings.load(url=url_of(server, "broker_wf_driver"), namespace="elsewhere"))
    with pytest.raises(Exception, match=r"permission|NOPERM"):
        await asyncio.wait_for(flow.run(), ENOUGH_S)


async def test_nobody_comes_in_without_a_password(server: PortServer) -> None:
    flow = Security(broker=Settings.load(url=f"redis://127.0.0.1:{server.port}"))
    with pytest.raises(ServerRefusedError, match="BROKER_WF_PASSWORD_FILE"):
        await asyncio.wait_for(flow.run(), ENOUGH_S)
