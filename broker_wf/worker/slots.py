"""A worker's concurrency, as deliveries see it that wait for child runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import DeliveryId, Fence, RunId

_Key = tuple[RunId, DeliveryId, Fence]


@dataclass(slots=True, kw_only=True)
class Slots:
    """Who gave a slot of the worker back, and who wants it again, first come, first served.

    Attributes:
        is_free: whether a slot is neither taken nor promised to a claim under way.
        given: called when a slot has fallen free.
    """

    is_free: Callable[[], bool]
    given: Callable[[], None]
    _away: set[_Key] = field(default_factory=set[_Key])
    _asking: deque[tuple[_Key, asyncio.Future[None]]] = field(
        default_factory=deque[tuple[_Key, "asyncio.Future[None]"]]
    )

    @property
    def away(self) -> int:
        """How many deliveries are under execution and hold no slot."""
        return len(self._away)

    def give(self, delivery: Delivery) -> None:
        """The delivery waits: its slot is for others."""
        self._away.add(_key(delivery))
        self.given()

    async def take(self, delivery: Delivery) -> None:
        """The delivery goes on; returns once it has a slot."""
        key = _key(delivery)
        if key not in self._away:
            return
        granted = asyncio.get_running_loop().create_future()
        self._asking.append((key, granted))
        self.grant()
        await granted

    def forget(self, delivery: Delivery) -> None:
        """The delivery has ended, or is about to, or was stopped: it waits for no slot."""
        self._away.discard(_key(delivery))
        self.grant()

    def grant(self) -> None:
        """Hand out what is free."""
        if not self._asking:
            return
        gone = [one for one in self._asking if one[0] not in self._away]
        for one in gone:
            self._asking.remove(one)
            _set(one[1])
        while self._asking and self.is_free():
            key, granted = self._asking.popleft()
            self._away.discard(key)
            _set(granted)


def _set(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)


def _key(delivery: Delivery) -> _Key:
    return delivery.run_id, delivery.id, delivery.fence
