"""The stages on which scenarios run. After each, the namespace is audited."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from broker_wf.settings import Settings
from broker_wf.wire.blobs import BlobCache
from tests.integration.console import Console
from tests.integration.stage import Stage
from tests.servers import server_binary

QUICK = {"lease_ms": 3_000, "sweep_ms": 200, "heartbeat_ms": 1_000, "drain_timeout_ms": 0}


def _in_process(namespace: str) -> Settings:
    wanted = os.environ.get("BROKER_WF_TEST_SERVER")
    server_bin = str(server_binary("redis")) if wanted == "redis" else None
    return Settings.load(namespace=namespace, server_bin=server_bin, **QUICK)


def _on_workers(server_url: str, namespace: str) -> Settings:
    return Settings.load(url=server_url, namespace=namespace, **QUICK)


async def _audited(stage: Stage) -> AsyncIterator[Stage]:
    try:
        yield stage
    finally:
        await stage.clear()
    assert stage.audit() == []


@pytest.fixture
def console(server_url: str, namespace: str, tmp_path: Path) -> Iterator[Console]:
    """Where commands are typed; what they have started is ended."""
    made = Console(server_url, namespace, tmp_path / "data")
    try:
        yield made
    finally:
        made.close()


@pytest_asyncio.fixture(params=["in_process", "workers"])
async def stage(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Stage]:
    """Both ways in which a run can execute, one after the other."""
    if request.param == "in_process":
        settings = _in_process(namespace)
    else:
        settings = _on_workers(request.getfixturevalue("server_url"), namespace)
    async for one in _audited(Stage(settings)):
        yield one


@pytest_asyncio.fixture
async def cluster(server_url: str, namespace: str) -> AsyncIterator[Stage]:
    """Runs execute on workers only."""
    async for one in _audited(Stage(_on_workers(server_url, namespace))):
        yield one


@pytest_asyncio.fixture
async def alone(namespace: str) -> AsyncIterator[Stage]:
    """Runs execute in the process that starts them."""
    async for one in _audited(Stage(_in_process(namespace))):
        yield one


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers and workers know nothing of what another has met, as if each were a process of its own."""

    def find(self: BlobCache, hash_: bytes) -> None:
        return None

    monkeypatch.setattr(BlobCache, "find", find)
