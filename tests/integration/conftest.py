"""The stages on which scenarios run. After each, the namespace is audited."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from broker_wf.settings import Settings
from tests.integration.stage import Stage

QUICK = {"lease_ms": 3_000, "sweep_ms": 200, "heartbeat_ms": 1_000, "drain_timeout_ms": 0}


async def _audited(stage: Stage) -> AsyncIterator[Stage]:
    try:
        yield stage
    finally:
        await stage.clear()
    assert stage.audit() == []


@pytest_asyncio.fixture(params=["in_process", "workers"])
async def stage(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Stage]:
    """Both ways in which a run can execute, one after the other."""
    url = None if request.param == "in_process" else request.getfixturevalue("server_url")
    async for one in _audited(Stage(Settings.load(url=url, namespace=namespace, **QUICK))):
        yield one


@pytest_asyncio.fixture
async def cluster(server_url: str, namespace: str) -> AsyncIterator[Stage]:
    """Runs execute on workers only."""
    async for one in _audited(Stage(Settings.load(url=server_url, namespace=namespace, **QUICK))):
        yield one


@pytest_asyncio.fixture
async def alone(namespace: str) -> AsyncIterator[Stage]:
    """Runs execute in the process that starts them."""
    async for one in _audited(Stage(Settings.load(namespace=namespace, **QUICK))):
        yield one


@pytest.fixture
def raw_server(server_url: str) -> str:
    """The server as others see it who do not know the library."""
    return server_url
