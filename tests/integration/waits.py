"""Events that are waited for, and when that is so."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import redis

from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent
from broker_wf.handler import WorkflowHandler
from tests.integration.stage import Stage, until


class Question(InputRequiredEvent):
    text: str = ""


class Reply(HumanResponseEvent):
    text: str = ""
    user: Any = None


class Other(HumanResponseEvent):
    text: str = ""


class Hint(Event):
    n: int


class Seen(Event):
    n: int
    answer: str


def raw(stage: Stage) -> redis.Redis:
    return redis.Redis.from_url(stage.url)


def count(stage: Stage, family: str, run_id: str) -> int:
    """The size of a hash of a run."""
    with raw(stage) as client:
        return cast(int, client.hlen(stage.keys.of(family, run_id)))


async def waiting(stage: Stage, run: WorkflowHandler, deliveries: int = 1) -> None:
    """Until so many deliveries of the run are parked."""
    await until(lambda: count(stage, "waiting", run.run_id) == deliveries)


async def published(run: WorkflowHandler) -> list[Event]:
    return [event async for event in run.stream_events()]


async def told_to_go(store: Any) -> None:
    """Until somebody sets ``go`` in the state."""
    give_up = asyncio.get_running_loop().time() + 20
    while not await store.get("go", default=False):
        assert asyncio.get_running_loop().time() < give_up
        await asyncio.sleep(0.01)
