"""A namespace for the length of one command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from broker_wf.broker.broker import Broker, open_broker
from broker_wf.home import resolve_url
from broker_wf.settings import Settings


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
