"""Where a scenario runs: in the process that starts it, or on two workers that share nothing with it but the server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import redis

from broker_wf import Workflow
from broker_wf.broker.broker import open_broker
from broker_wf.broker.keys import Keys
from broker_wf.core.ids import Lane
from broker_wf.home import close_homes, resolve_url
from broker_wf.settings import Settings
from broker_wf.worker.services import Served
from broker_wf.worker.worker import Worker
from tests.integration.key_audit import problems

PATIENCE_S = 20.0
"""Less than the check for lost entries takes, which would heal what a test is to find."""
W = TypeVar("W", bound=Workflow)


class WorkerThread(threading.Thread):
    """A worker with an event loop of its own."""

    def __init__(self, settings: Settings, make: Callable[[], list[Workflow]]) -> None:
        super().__init__(name="test-worker", daemon=True)
        self._settings, self._make = settings, make
        self._served: Future[None] = Future()
        self._drain_ms = settings.drain_timeout_ms
        self.loop: asyncio.AbstractEventLoop | None = None
        self.worker: Worker | None = None

    async def begin(self) -> WorkerThread:
        """Start, and wait until the worker serves; raises what kept it from serving."""
        self.start()
        await asyncio.wrap_future(self._served)
        return self

    async def end(self, drain_ms: int | None = None) -> None:
        """Drain and stop; returns when the worker has left."""
        if drain_ms is not None:
            self._drain_ms = drain_ms
        if self.is_alive() and self.loop is not None:
            self.loop.call_soon_threadsafe(self._leaving.set)
        await asyncio.to_thread(self.join, PATIENCE_S)
        assert not self.is_alive(), "the worker did not stop"

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self._leaving = asyncio.get_running_loop(), asyncio.Event()
        broker = await open_broker(self._settings, resolve_url(self._settings)[0], patience_s=None)
        worker = self.worker = Worker(broker, self._settings)
        try:
            for flow in self._make():
                program = flow.program()
                await worker.serve(Served(program=program, lane=Lane(program.spec.name)))
            worker.start()
            self._served.set_result(None)
            await self._leaving.wait()
        except Exception as error:
            self._served.set_exception(error)
        finally:
            await worker.stop(self._drain_ms)
            await broker.pipe.close()


@dataclass(slots=True)
class Stage:
    """One namespace for one test.

    Attributes:
        workers: those that run now; in process there are none.
    """

    settings: Settings
    workers: list[WorkerThread] = field(default_factory=list[WorkerThread])

    @property
    def in_process(self) -> bool:
        return self.settings.url is None

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.namespace)

    @property
    def url(self) -> str:
        return resolve_url(self.settings)[0]

    def change(self, **settings: Any) -> None:
        """Other settings for what is put on from now on."""
        self.settings = replace(self.settings, **settings)

    def flow(self, cls: type[W], **arguments: Any) -> W:
        """A workflow on this stage that nobody serves yet."""
        return cls(broker=self.settings, **arguments)

    async def put_on(self, cls: type[W], workers: int = 2, **arguments: Any) -> W:
        """A workflow, and who executes it: each worker has an instance of its own."""
        if not self.in_process:
            for _ in range(workers):
                await self.add_worker(cls, **arguments)
        return self.flow(cls, **arguments)

    async def add_worker(self, cls: type[Workflow], **arguments: Any) -> WorkerThread:
        """One more worker that serves a workflow."""
        worker = WorkerThread(self.settings, lambda: [self.flow(cls, **arguments)])
        await worker.begin()
        self.workers.append(worker)
        return worker

    async def stop_worker(self, worker: WorkerThread, drain_ms: int | None = None) -> None:
        """Let one worker leave."""
        self.workers.remove(worker)
        await worker.end(drain_ms)

    async def clear(self) -> None:
        """Stop all workers and everything this event loop has open."""
        for worker in list(self.workers):
            await self.stop_worker(worker, 0)
        await close_homes()

    def audit(self) -> list[str]:
        """What is wrong with the keys that are left."""
        with redis.Redis.from_url(self.url) as client:
            return problems(client, self.settings.namespace)


async def until(predicate: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + within_s
    while not predicate():
        assert time.monotonic() < give_up, "waited in vain"
        await asyncio.sleep(0.005)


async def within(awaitable: Awaitable[Any], seconds: float = PATIENCE_S) -> Any:
    """What an awaitable gives, soon."""
    return await asyncio.wait_for(awaitable, seconds)
