"""Where a delivery executes: what its worker lends the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextvars import Context
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary

from broker_wf.broker.broker import Broker
from broker_wf.core.clock import Clock
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Fence, RunId, StepName, WorkerId
from broker_wf.engine.locks import LockLines
from broker_wf.engine.program import Program
from broker_wf.settings import Settings


@dataclass(slots=True)
class Grants:
    """Locks of runs that steps of this worker wait for, by token."""

    _waiting: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])

    def expect(self, token: str) -> asyncio.Event:
        """An event that is set when the lock is granted."""
        return self._waiting.setdefault(token, asyncio.Event())

    def granted(self, token: str) -> None:
        """The lock was granted to this token."""
        event = self._waiting.get(token)
        if event is not None:
            event.set()

    def forget(self, token: str) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(token, None)


@dataclass(slots=True)
class Turns:
    """Executions that ``collect_events`` made stale go one after the other, per step of a run.

    At one time they would all decide on the same buffer, and all but one in vain.
    """

    _locks: WeakValueDictionary[tuple[RunId, StepName], asyncio.Lock] = field(
        default_factory=WeakValueDictionary[tuple[RunId, StepName], asyncio.Lock]
    )

    def of(self, run_id: RunId, step: StepName) -> asyncio.Lock:
        """Held by the one whose turn it is."""
        return self._locks.setdefault((run_id, step), asyncio.Lock())


class Leaving(Protocol):
    """Called when the end of an attempt is on its way and not yet answered."""

    def __call__(self, *, hands_on: bool = True) -> None:
        """Its slot is free from now on.

        Args:
            hands_on: there may be work by that, which nobody else is woken for.
        """
        ...


class WorkerSlots(Protocol):
    """The concurrency of the worker, for deliveries that wait for child runs."""

    def give(self, delivery: Delivery) -> None:
        """The delivery waits: its slot is for others."""
        ...

    async def take(self, delivery: Delivery) -> None:
        """The delivery goes on; returns once it has a slot."""
        ...

    def forget(self, delivery: Delivery) -> None:
        """The delivery has ended, or is about to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A worker, as the engine sees it.

    Attributes:
        is_busy: no place is free, so others should be woken for new work.
        timer_set: a delivery will be due in so many milliseconds.
        work_made: new deliveries are on their way into streams; look for work.
        threads: where steps run that are not async.
        turns: of executions that are run again.
        locks: who of this worker waits for the locks of runs.
        settings: of the worker; runs that its steps begin have the same.
        serve: execute a workflow here too, if no worker does.
        stuck: the code of a delivery goes on though it was cancelled for its step's time-out.
        keep: whether the worker would go on with what follows from this delivery, or from others that followed from it:
            a fence for it, or None. The number: how many it has gone on with, one from the other, since it claimed.
        kept: it goes on with the second from the first.
        went_on: likewise, and the execution of the first is that of the second from now on.
        followed: so many deliveries were done that were never leased.
        context_of: the context variables that an execution of this delivery begins with.
    """

    broker: Broker
    worker: WorkerId
    grants: Grants
    threads: Executor
    is_busy: Callable[[], bool]
    timer_set: Callable[[int], None]
    work_made: Callable[[], None]
    slots: WorkerSlots
    settings: Settings
    clock: Clock
    serve: Callable[[Program], Awaitable[None]]
    stuck: Callable[[Delivery], None]
    keep: Callable[[Delivery, int], Fence | None]
    kept: Callable[[Delivery, Delivery], None]
    went_on: Callable[[Delivery, Delivery], None]
    followed: Callable[[int], None]
    context_of: Callable[[Delivery], Context]
    turns: Turns = field(default_factory=Turns)
    locks: LockLines = field(default_factory=LockLines)
