"""What a worker executes now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import DeliveryId, Fence, Lane, RunId


@dataclass(slots=True)
class Active:
    """One delivery under execution.

    Attributes:
        stopped: why the worker cancelled it: ``ended``, ``lost`` or ``drain``; None while it may go on.
    """

    delivery: Delivery
    lane: Lane
    task: asyncio.Task[None] | None = None
    stopped: str | None = None

    def stop(self, reason: str) -> None:
        """Cancel the user's code. The first reason stays."""
        if self.stopped is None:
            self.stopped = reason
            if self.task is not None:
                self.task.cancel()


@dataclass(slots=True)
class ActiveSet:
    """The deliveries of one worker. Read by the lease thread, changed by the event loop only."""

    _all: dict[tuple[DeliveryId, RunId, Fence], Active] = field(
        default_factory=dict[tuple[DeliveryId, RunId, Fence], Active]
    )

    def __len__(self) -> int:
        return len(self._all)

    def add(self, active: Active) -> None:
        """Execution begins."""
        self._all[_key(active.delivery)] = active

    def remove(self, active: Active) -> None:
        """Execution is over."""
        self._all.pop(_key(active.delivery), None)

    def all(self) -> list[Active]:
        """A copy, safe from any thread."""
        return list(self._all.values())

    def of_run(self, run_id: RunId) -> Iterable[Active]:
        """Those of one run."""
        return [one for one in self.all() if one.delivery.run_id == run_id]


def _key(delivery: Delivery) -> tuple[DeliveryId, RunId, Fence]:
    return delivery.id, delivery.run_id, delivery.fence
