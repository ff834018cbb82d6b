"""A client without the code of the workflow, straight to Redis, however that is reached."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broker_wf.client import AsyncClient
from broker_wf.errors import RemoteError
from tests.security.network import ENOUGH_S

WORKFLOW = "tests.security.app.Security"


async def ask_everything(url: str, namespace: str = "security", **more: Any) -> None:
    """Start runs by name, follow one, do it again from a step, and look at what there is."""
    async with AsyncClient(url, namespace=namespace, **more) as client:
        run = await client.submit(WORKFLOW, {"n": 4})
        assert await asyncio.wait_for(run.result(), ENOUGH_S) == 0 + 1 + 2 + 3
        assert [event.type async for event in run.events()] == ["StopEvent"]
        assert {one.step for one in await run.steps()} == {"split", "work", "gather"}
        again = await run.rerun("gather")
        assert await asyncio.wait_for(again.result(), ENOUGH_S) == 0 + 1 + 2 + 3
        assert {one.step for one in await again.steps()} == {"gather"}
        with pytest.raises(RemoteError, match="told to fail"):
            await asyncio.wait_for(client.run(WORKFLOW, {"fails": True}), ENOUGH_S)
        assert [one.workflow for one in await client.workflows()] == [WORKFLOW]
        assert len(await client.workers()) == 1
        assert (await client.health()).ok
