"""The engines that play the scenarios: the original, this one in process, and this one on two worker processes."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from broker_wf.home import close_homes
from broker_wf.integrations.llama_index import distribute
from broker_wf.settings import Settings
from tests.conformance.play import Play
from tests.conformance.pool import worker_pool
from tests.conformance.translation import PACKAGE, SERVED, translate
from tests.servers import server_binary

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"lease_ms": 3_000, "sweep_ms": 200, "heartbeat_ms": 1_000, "drain_timeout_ms": 0}


@pytest.fixture(scope="session")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the scenarios whose import root is changed; it is on the import path."""
    folder = tmp_path_factory.mktemp("conformance")
    translate(folder)
    return folder


@pytest.fixture(scope="session")
def worker_processes(translated: Path, server_url: str) -> Iterator[Settings]:
    """Two processes that serve the workflows of all scenarios."""
    settings = Settings.load(url=server_url, namespace=f"c{uuid.uuid4().hex[:12]}", **QUICK)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(translated), str(ROOT))),
        "BROKER_WF_URL": server_url,
        "BROKER_WF_NAMESPACE": settings.namespace,
        **{f"BROKER_WF_{name.upper()}": str(value) for name, value in QUICK.items()},
    }
    served = [f"{PACKAGE}.{SERVED}:{name}" for name in ("workflows", "distributed")]
    with worker_pool(server_url, settings.namespace, translated, environment, *served):
        yield settings


async def _original(cls: Any, **arguments: Any) -> Any:
    return cls(**arguments)


@pytest.fixture
def original() -> Play:
    """The original, in this process."""
    return _original


def _changed(settings: Settings) -> Play:
    """Scenarios whose import root is changed."""

    async def play(cls: Any, **arguments: Any) -> Any:
        return cls(broker=settings, **arguments)

    return play


def _distributed(settings: Settings) -> Play:
    """Scenarios as they are."""

    async def play(cls: Any, **arguments: Any) -> Any:
        return distribute(cls(**arguments), broker=settings)

    return play


@pytest_asyncio.fixture
async def at_home(namespace: str) -> AsyncIterator[Settings]:
    """Runs execute in this process."""
    wanted = os.environ.get("BROKER_WF_TEST_SERVER")
    server_bin = str(server_binary("redis")) if wanted == "redis" else None
    yield Settings.load(namespace=namespace, server_bin=server_bin, **QUICK)
    await close_homes()


@pytest_asyncio.fixture
async def on_workers(worker_processes: Settings) -> AsyncIterator[Settings]:
    """Runs execute on two worker processes."""
    yield worker_processes
    await close_homes()


@pytest.fixture
def in_process(translated: Path, at_home: Settings) -> Play:
    """This library, in this process."""
    return _changed(at_home)


@pytest.fixture
def in_two_processes(on_workers: Settings) -> Play:
    """This library, on two worker processes."""
    return _changed(on_workers)


@pytest.fixture
def distributed_in_process(at_home: Settings) -> Play:
    """The original's classes on this engine, in this process."""
    return _distributed(at_home)


@pytest.fixture
def distributed_in_two_processes(on_workers: Settings) -> Play:
    """The original's classes on this engine, on two worker processes."""
    return _distributed(on_workers)
