"""Read a feed to the end of its run without knowing the class of the event that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from broker_wf.broker.feed import FeedEntry
from broker_wf.core.ids import RunId
from broker_wf.driver.client import Client

_PAUSE_S = 0.05


async def until_its_end(client: Client, run_id: RunId, after: int) -> AsyncGenerator[FeedEntry, None]:
    """The entries of a run's feed behind a cursor, as they come, until the run has ended and there are no more.

    Raises:
        EventsTrimmedError: the feed no longer has the next one.
        RunNotFoundError: no such run.
    """
    entries = client.events(run_id, after)
    coming = asyncio.ensure_future(_next(entries))
    try:
        while True:
            # A feed's last entry comes with the end of its run, so that is asked once behind each.
            if not (await asyncio.wait([coming], timeout=_PAUSE_S))[0] and await _is_over(client, run_id, after):
                break
            entry = await coming
            if entry is None:
                break
            coming, after = asyncio.ensure_future(_next(entries)), entry.seq
            yield entry
    finally:
        coming.cancel()


async def _is_over(client: Client, run_id: RunId, after: int) -> bool:
    state = await client.broker.runs.attach(run_id, None)
    return state.status != "running" and not await client.broker.feed.read(run_id, after, 1)


async def _next(entries: AsyncIterator[FeedEntry]) -> FeedEntry | None:
    return await anext(entries, None)
