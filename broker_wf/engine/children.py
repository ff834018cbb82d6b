"""Runs that a step begins: their ids, and the step's places while it waits for them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId, WorkflowName
from broker_wf.core.spec import StepSpec
from broker_wf.engine.site import Site

T = TypeVar("T")

_ASK_AGAIN_S = (0.01, 0.5)
"""How soon a place is asked for again: at first, and at most. A reservation holds for 3 s."""
_STREAM_PATIENCE_S = 0.02
"""How long a step that reads a child's events keeps its places while none comes."""


@dataclass(slots=True, kw_only=True)
class Children:
    """What one execution of a step has to do with the runs it begins.

    A restart within one attempt makes the same ids, and so attaches to the runs there are. A retry is a new attempt and
    begins them anew.
    """

    site: Site
    delivery: Delivery
    step: StepSpec
    _begun: dict[tuple[WorkflowName, str], int] = field(default_factory=dict["tuple[WorkflowName, str]", int])
    _submitting: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    _waiting: int = 0
    _away: bool = False
    _lock: asyncio.Lock | None = None

    def run_id(self, workflow: WorkflowName, start_hash: str) -> RunId:
        """The id of the next run of a workflow with this start event."""
        delivery, nth = self.delivery, self._begun.get((workflow, start_hash), 0) + 1
        self._begun[workflow, start_hash] = nth
        parts = (delivery.run_id, delivery.id, str(delivery.attempt), workflow, start_hash, str(nth))
        return RunId(f"c{hashlib.blake2b('|'.join(parts).encode(), digest_size=12).hexdigest()}")

    def submit(self, submitting: Coroutine[object, object, object]) -> None:
        """A run is on its way; the step does not end before it was accepted."""
        self._submitting.append(asyncio.get_running_loop().create_task(_done(submitting)))

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[None]:
        """Hold no place inside the block. Where a step has several open, it holds one again after the last."""
        self._waiting += 1
        try:
            async with self._turn:
                if not self._away:
                    await self._leave()
            yield
        finally:
            self._waiting -= 1
            async with self._turn:
                if self._away and self._waiting == 0:
                    await self._come_back()

    async def close(self) -> None:
        """The step's code has ended: wait until the runs it has begun were accepted."""
        if self._away:
            self._away = False
            self.site.slots.forget(self.delivery)
        if self._submitting:
            await asyncio.wait(self._submitting)

    @property
    def _turn(self) -> asyncio.Lock:
        """Made when it is asked for: most executions begin no runs."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock

    @property
    def _is_limited(self) -> bool:
        return self.step.num_workers is not None or self.step.num_workers_per_run is not None

    async def _leave(self) -> None:
        self._away = True
        self.site.slots.give(self.delivery)
        if self._is_limited:
            await self.site.broker.deliveries.pause(self.delivery)

    async def _come_back(self) -> None:
        """First the places that all workers share, then that of the worker: who holds the latter waits for nothing."""
        if self._is_limited:
            pause_s, longest_s = _ASK_AGAIN_S
            store, lease_ms = self.site.broker.deliveries, self.site.settings.lease_ms
            while not await store.resume(self.delivery, self.step.num_workers, lease_ms):
                await self.site.clock.sleep_ms(round(pause_s * 1000))
                pause_s = min(2 * pause_s, longest_s)
        await self.site.slots.take(self.delivery)
        self._away = False


current_children: ContextVar[Children | None] = ContextVar("current_children", default=None)
"""Of the step that executes here; set around each execution."""


async def waited(children: Children, awaitable: Awaitable[T]) -> T:
    """Await what another run does; the step holds no places meanwhile."""
    async with children.waiting():
        return await awaitable


async def streamed(children: Children, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Give on what another run publishes; the step holds no places while nothing comes."""
    while True:
        task = asyncio.ensure_future(anext(events))
        try:
            done, _ = await asyncio.wait([task], timeout=_STREAM_PATIENCE_S)
            if not done:
                async with children.waiting():
                    await asyncio.wait([task])
            item = task.result()
        except StopAsyncIteration:
            return
        finally:
            task.cancel()
        yield item


async def _done(submitting: Coroutine[object, object, object]) -> None:
    await asyncio.gather(submitting, return_exceptions=True)
