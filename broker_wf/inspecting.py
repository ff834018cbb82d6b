"""Look into a namespace from any process: ``async with open_inspector("redis://…") as inspector``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from broker_wf.broker.broker import Broker, open_broker
from broker_wf.configuration import current_settings
from broker_wf.home import resolve_url
from broker_wf.inspector import Inspector
from broker_wf.settings import Settings


@asynccontextmanager
async def open_inspector(broker: Settings | str | None = None) -> AsyncGenerator[Inspector, None]:
    """Connect, and close at the end: lists of runs, what they wait for, workers; reading only.

    Args:
        broker: as a workflow's: settings, or the URL; None: what ``configure()`` and the environment say.

    Raises:
        ServerUnreachableError, ServerRefusedError, ServerStartError: there is no server to ask.
    """
    async with opened_broker(current_settings(broker)) as opened:
        yield Inspector(opened)


@asynccontextmanager
async def opened_broker(settings: Settings) -> AsyncGenerator[Broker, None]:
    """Connect, and close at the end. A server that is lost meanwhile is waited for as long as a connection.

    Raises:
        ServerUnreachableError, ServerRefusedError, ServerStartError: there is no server to ask.
    """
    url, revive = await asyncio.to_thread(resolve_url, settings)
    broker = await open_broker(settings, url, patience_s=settings.connect_timeout_ms / 1000, revive=revive)
    try:
        yield broker
    finally:
        await broker.pipe.close()
