"""A client at the bundled server, which it starts or joins, beside a worker in another process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from broker_wf.client import Client
from broker_wf.embedded.binary import find_server_binary
from tests.security.clients import WORKFLOW, ask_everything
from tests.security.network import serving_worker


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_server_binary(None)
    monkeypatch.setenv("BROKER_WF_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BROKER_WF_LINGER_MS", "0")


async def test_a_client_shares_the_bundled_server_with_a_worker(tmp_path: Path) -> None:
    def script() -> object:
        with Client("bundled://", namespace="security") as client:
            return client.run(WORKFLOW, {"n": 3}, timeout_s=60)

    with serving_worker("bundled://", tmp_path / "worker.log", data=str(tmp_path / "data")):
        await ask_everything("bundled://")
        assert await asyncio.to_thread(script) == 0 + 1 + 2


def test_a_client_starts_the_bundled_server_where_there_is_none(tmp_path: Path) -> None:
    with Client("bundled://") as client:
        assert client.health().ok
        assert client.workflows() == []
    assert (tmp_path / "data" / "appendonlydir").is_dir()
