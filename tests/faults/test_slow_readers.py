"""A reader that is slower than what it reads: workers do not notice, and it is told what it missed (D32)."""

from __future__ import annotations

import asyncio

import pytest

from broker_wf.errors import EventsTrimmedError
from broker_wf.handler import WorkflowHandler
from tests.apps.loud import Heard, Loud
from tests.faults.cluster import Cluster

TARGET = "tests.apps.loud:workflow"
EACH = 1_000
KEPT = 10_000
"""Entries of a feed."""


def begun(cluster: Cluster, parts: int) -> WorkflowHandler:
    return Loud(broker=cluster.settings, timeout=600).run(parts=parts, each=EACH)


async def listened(handler: WorkflowHandler, pause_s: float, ended: asyncio.Event) -> tuple[int, int | None]:
    """How many events a slow reader got without a gap, and the first that it was told to have missed."""
    got = 0
    try:
        async for event in handler.stream_events():
            got += isinstance(event, Heard)
            if not ended.is_set():
                await asyncio.sleep(pause_s)
    except EventsTrimmedError as error:
        return got, error.first_missing
    return got, None


async def results(handler: WorkflowHandler) -> list[float]:
    stop = await asyncio.wait_for(handler.stop_event_result(), 300)
    return sorted(stop.result)


def spread(took_s: list[float]) -> tuple[float, float]:
    """Median and the slowest but one in a hundred."""
    return took_s[len(took_s) // 2], took_s[len(took_s) * 99 // 100]


@pytest.mark.parametrize("parts", [pytest.param(20), pytest.param(50, marks=pytest.mark.nightly)])
async def test_a_slow_reader_is_told_what_it_missed_and_holds_nobody_up(cluster: Cluster, parts: int) -> None:
    cluster.work(4, target=TARGET)
    alone = await results(begun(cluster, parts))
    handler, ended = begun(cluster, parts), asyncio.Event()
    reading = asyncio.ensure_future(listened(handler, 0.01, ended))
    beside = await results(handler)
    ended.set()
    got, first_missing = await asyncio.wait_for(reading, 120)
    size = cluster.client.xlen(cluster.keys.of("feed", handler.run_id))
    (median, p99), (median_beside, p99_beside) = spread(alone), spread(beside)
    print(
        f"{parts * EACH:,} events: a part of {EACH:,} took {median:.3f} s (p99 {p99:.3f}) alone, "
        f"{median_beside:.3f} s (p99 {p99_beside:.3f}) beside the reader, which got {got:,}; {size:,} are kept"
    )
    assert first_missing == got + 1, "the first event it missed is the one behind the last it got"
    assert got < parts * EACH - KEPT, "it read no further than it could"
    assert size < KEPT + 2 * 128
    assert median_beside < 1.5 * median + 0.05
