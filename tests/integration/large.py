"""Events with large parts, and what a run of them has on the server."""

from __future__ import annotations

from contextlib import closing
from typing import ClassVar, cast

import redis

from broker_wf import Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from tests.integration.stage import Stage, until


class Text(Event):
    text: str
    n: int = 0


class Data(Event):
    data: bytes
    n: int = 0


class Done(Event):
    data: bytes
    n: int


class Held:
    """Keeps steps waiting until it is let go."""

    waiting: ClassVar[int] = 0
    closed: ClassVar[bool] = False

    @classmethod
    async def here(cls) -> None:
        cls.waiting += 1
        await until(lambda: not cls.closed)


class Server:
    """What a run has on the server."""

    def __init__(self, stage: Stage, run_id: str) -> None:
        self._stage, self._run_id = stage, run_id
        self.client = redis.Redis.from_url(stage.url)

    def close(self) -> None:
        self.client.close()

    @property
    def blob_key(self) -> str:
        return self._stage.keys.of("blob", self._run_id)

    @property
    def blobs(self) -> list[int]:
        """Sizes of the blobs as they are stored."""
        fields = cast("dict[bytes, bytes]", self.client.hgetall(self.blob_key))
        return sorted(len(part) for field, part in fields.items() if len(field) == 16)

    @property
    def live(self) -> int:
        return cast("int", self.client.hlen(self._stage.keys.of("live", self._run_id)))

    @property
    def bytes_held(self) -> int:
        """By all keys of the namespace."""
        keys = self.client.scan_iter(match=f"{self._stage.keys.tag}*", count=1000)
        return sum(cast("int", self.client.memory_usage(key, samples=0) or 0) for key in keys)


def server_of(stage: Stage, run_id: str) -> closing[Server]:
    return closing(Server(stage, run_id))


class Chain(Workflow):
    @step
    async def first(self, ev: StartEvent) -> Text:
        return Text(text=ev.text, n=1)

    @step
    async def second(self, ev: Text) -> Data:
        return Data(data=ev.text.encode(), n=2)

    @step
    async def third(self, ev: Data) -> StopEvent:
        return StopEvent(result=ev.data.decode())


class SameText(Workflow):
    @step
    async def first(self, ev: StartEvent) -> Text:
        return Text(text=ev.text, n=1)

    @step
    async def second(self, ev: Text) -> Text | StopEvent:
        if ev.n < 10:
            return Text(text=ev.text, n=ev.n + 1)
        await Held.here()
        return StopEvent(result=len(ev.text))


async def published(handler: WorkflowHandler) -> list[str]:
    return [event.text async for event in handler.stream_events() if isinstance(event, Text)]
