"""What a worker executes now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from broker_wf.broker.renewal import HeldPlace, LeaseKey
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Lane
from broker_wf.engine.site import Leaving


@dataclass(slots=True)
class Active:
    """One delivery under execution.

    Attributes:
        timeout_ms: of its step.
        offers: its end is on its way, and the worker would go on in its slot with what follows.
        went_on: what follows has its slot now.
        stopped: why the worker cancelled it: ``ended``, ``lost`` or ``drain``; None while it may go on.
    """

    delivery: Delivery
    lane: Lane
    timeout_ms: int | None = None
    task: asyncio.Task[None] | None = None
    stopped: str | None = None
    offers: bool = False
    went_on: bool = False

    @property
    def key(self) -> LeaseKey:
        """What its lease is renewed by."""
        return self.delivery.run_id, self.delivery.id, self.delivery.fence

    @property
    def place(self) -> HeldPlace | None:
        """The place it holds of a limited step."""
        held = self.delivery.place
        return None if held is None else (self.lane, self.delivery.step, str(held))

    def stop(self, reason: str) -> None:
        """Cancel the user's code. The first reason stays."""
        if self.stopped is None:
            self.stopped = reason
            if self.task is not None:
                self.task.cancel()


@dataclass(slots=True)
class ActiveSet:
    """The deliveries of one worker. Read by the lease thread, changed by the event loop only."""

    _all: dict[LeaseKey, Active] = field(default_factory=dict[LeaseKey, Active])

    def __len__(self) -> int:
        return len(self._all)

    def add(self, active: Active) -> None:
        """Execution begins."""
        self._all[active.key] = active

    def remove(self, active: Active) -> None:
        """Execution is over."""
        self._all.pop(active.key, None)

    def get(self, key: LeaseKey) -> Active | None:
        """The one with this lease, if it is still under execution."""
        return self._all.get(key)

    def find(self, delivery: Delivery) -> Active | None:
        """The execution of a delivery."""
        return self._all.get((delivery.run_id, delivery.id, delivery.fence))

    def all(self) -> list[Active]:
        """A copy, safe from any thread."""
        return list(self._all.values())


class Once:
    """Calls an action the first time it is called."""

    def __init__(self, action: Leaving) -> None:
        self._action = action
        self.happened = False

    def __call__(self, *, hands_on: bool = True) -> None:
        """Do it, unless it was done."""
        if not self.happened:
            self.happened = True
            self._action(hands_on=hands_on)
