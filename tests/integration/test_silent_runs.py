"""Runs that publish nothing but their end, which has no stream of its own unless somebody waits there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from broker_wf import Workflow, step
from broker_wf.broker.feed import FeedStore
from broker_wf.driver import feeds
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from tests.integration.stage import Stage, until, within


class Go(Event):
    pass


class Silent(Workflow):
    """Ends when it is told to."""

    @step
    async def begin(self, ev: StartEvent) -> Go | None:
        return None

    @step
    async def end(self, ev: Go) -> StopEvent:
        return StopEvent(result="done")


class Silence:
    """One such run, and what the server has of it."""

    def __init__(self, stage: Stage, handler: WorkflowHandler, client: redis.Redis) -> None:
        self.handler, self.client = handler, client
        self.record = stage.keys.of("run", handler.run_id)
        self.feed = stage.keys.of("feed", handler.run_id)

    @property
    def is_streamed(self) -> bool:
        return self.client.hget(self.record, "streamed") is not None

    async def read(self, after: int | None = None) -> list[Event]:
        return [event async for event in self.handler.stream_events(after=after)]


@pytest.fixture
def client(cluster: Stage) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(cluster.url) as client:
        yield client


async def begun(cluster: Stage, client: redis.Redis) -> Silence:
    silence = Silence(cluster, (await cluster.put_on(Silent)).run(), client)
    await until(lambda: client.hexists(silence.record, "started_ms"))
    return silence


async def test_its_end_is_told_to_who_waits_for_it(cluster: Stage, client: redis.Redis) -> None:
    run = await begun(cluster, client)
    reading = asyncio.ensure_future(run.read())
    await until(lambda: run.is_streamed)
    await run.handler.send_event(Go())
    assert await within(reading) == [StopEvent(result="done")]
    assert client.xlen(run.feed) == 1


async def test_its_end_is_told_to_who_comes_later(cluster: Stage, client: redis.Redis) -> None:
    run = await begun(cluster, client)
    await run.handler.send_event(Go())
    assert await within(run.handler) == "done"
    assert not client.exists(run.feed)
    assert await within(run.read(after=0)) == [StopEvent(result="done")]
    assert await within(run.read(after=1)) == []
    assert await within(run.read()) == [StopEvent(result="done")]
    assert not client.exists(run.feed)


async def test_its_end_is_found_where_the_server_has_lost_that_somebody_waits(
    cluster: Stage, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = await begun(cluster, client), asyncio.Event()

    async def accepted_and_lost(store: FeedStore, run_id: str) -> bool:
        asked.set()
        return True

    monkeypatch.setattr(FeedStore, "stream", accepted_and_lost)
    reading = asyncio.ensure_future(run.read())
    await within(asked.wait())
    await run.handler.send_event(Go())
    assert await within(reading) == [StopEvent(result="done")]
    assert not client.exists(run.feed)


async def test_its_end_is_told_to_who_waits_for_it_on_a_full_server(cluster: Stage, client: redis.Redis) -> None:
    run = await begun(cluster, client)
    client.config_set("maxmemory", 1)
    try:
        reading = asyncio.ensure_future(run.read())
        await until(lambda: run.is_streamed)
    finally:
        client.config_set("maxmemory", 0)
    await run.handler.send_event(Go())
    assert await within(reading) == [StopEvent(result="done")]
    assert client.xlen(run.feed) == 1


@pytest.mark.parametrize("moment", ["between", "inside"])
async def test_its_end_is_told_again_over_a_new_connection(
    cluster: Stage, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A server that has lost its last seconds has lost that somebody waits; lost between two reads, or in one."""
    run, original = await begun(cluster, client), feeds.wait_for_feeds
    lost: list[None] = []

    def lose() -> None:
        client.hdel(run.record, "streamed")
        client.client_kill_filter(_type="normal", skipme=True)
        lost.append(None)

    async def lost_before(*read: Any) -> Any:
        if run.is_streamed and not lost:
            lose()
        return await original(*read)

    if moment == "between":
        monkeypatch.setattr(feeds, "wait_for_feeds", lost_before)
    reading = asyncio.ensure_future(run.read())
    await until(lambda: run.is_streamed or bool(lost))
    if moment == "inside":
        await until(lambda: any(one["cmd"] == "xread" for one in client.client_list()))
        lose()
    await until(lambda: bool(lost) and run.is_streamed)
    await run.handler.send_event(Go())
    assert await within(reading) == [StopEvent(result="done")]
    assert client.xlen(run.feed) == 1
