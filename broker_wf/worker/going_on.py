"""What follows from a delivery, where its worker goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Fence
from broker_wf.worker.active import ActiveSet
from broker_wf.worker.claimer import Claimer, new_fence
from broker_wf.worker.leases import LeaseKeeper

_KEPT_AT_MOST = 16
"""So many deliveries of a run may follow each other here while others wait for a slot."""


@dataclass(slots=True, kw_only=True)
class GoingOn:
    """Decides what the engine may go on with, and takes over what it was given.

    Attributes:
        ending: called when a delivery is about to end.
        start: begins an execution.
        give_back: hands a delivery back.
        executed: deliveries that were done in executions of others.
    """

    active: ActiveSet
    claimer: Claimer
    leases: LeaseKeeper
    ending: Callable[[], None]
    start: Callable[[Delivery], None]
    give_back: Callable[[Delivery], object]
    executed: int = 0

    def keep(self, delivery: Delivery, kept: int) -> Fence | None:
        """A fence for what follows from a delivery that is about to be done, if this worker would go on with it.

        Args:
            kept: how many deliveries have followed from the one that it claimed.
        """
        self.ending()
        active = self.active.find(delivery)
        is_turn_of_others = kept >= _KEPT_AT_MOST and self.claimer.is_full
        if active is None or not self.claimer.is_open or is_turn_of_others:
            return None
        active.offers = True
        return new_fence()

    def kept(self, done: Delivery, following: Delivery) -> None:
        """The server has leased it to this worker, in the slot of what was done."""
        if not self.claimer.is_open:
            self.give_back(following)
            return
        before = self.active.find(done)
        if before is not None:
            before.went_on = True
        self.start(following)

    def went_on(self, done: Delivery, following: Delivery) -> None:
        """The same, and the execution of what was done is that of what follows from now on."""
        active = self.active.find(done)
        if active is None:
            return
        self.executed += 1
        self.leases.over(active)
        self.active.remove(active)
        active.delivery, active.timeout_ms = following, None
        self.active.add(active)
        self.leases.begins(active)

    def followed(self, count: int) -> None:
        """So many were done that were never leased."""
        self.executed += count
