"""A server without memory or disk: what was accepted goes on, new runs are refused or wait (D18, D20)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import redis

from broker_wf.errors import BackpressureError
from broker_wf.handler import WorkflowHandler
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.integration.key_audit import problems
from tests.security.app import Security
from tests.security.network import ENOUGH_S, port_server, serving_worker

ROOM_BYTES = 2 * 1024 * 1024
MOST_RUNS = 400


@pytest.fixture
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()


async def accepted_until_full(flow: Security) -> list[WorkflowHandler]:
    """Submit runs until the server refuses one."""
    accepted: list[WorkflowHandler] = []
    for n in range(MOST_RUNS):
        handler = flow.run(n=3, text=f"{n}" * 4_000)
        (refused,) = await asyncio.gather(handler.followed.broker(), return_exceptions=True)
        if isinstance(refused, BaseException):
            assert isinstance(refused, BackpressureError)
            assert "the server is out of memory; what was accepted goes on" in str(refused)
            return accepted
        accepted.append(handler)
    pytest.fail("the server was never full")


@pytest.mark.usefixtures("homes")
async def test_a_full_server_refuses_new_runs_and_finishes_those_it_accepted(tmp_path: Path) -> None:
    with port_server(tmp_path) as server, redis.Redis(port=server.port, decode_responses=True) as admin:
        url = f"redis://127.0.0.1:{server.port}"
        flow = Security(broker=Settings.load(url=url, namespace="security"))
        await asyncio.wait_for(flow.run().cancel_run(), ENOUGH_S)
        used = cast("dict[str, int]", admin.info("memory"))["used_memory"]
        admin.config_set("maxmemory", used + ROOM_BYTES)
        accepted = await accepted_until_full(flow)
        assert len(accepted) > 10
        with serving_worker(url, tmp_path / "worker.log"):
            results = await asyncio.wait_for(asyncio.gather(*accepted), ENOUGH_S)
            assert results == [0 + 1 + 2] * len(accepted)
            admin.config_set("maxmemory", 0)
            assert await asyncio.wait_for(flow.run(n=2), ENOUGH_S) == 1
        await close_homes()
        with redis.Redis(port=server.port) as client:
            left = [one for one in problems(client, "security") if "roster" not in one and "serving" not in one]
        assert left == []
