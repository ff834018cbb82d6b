"""Keep the leases, from a thread of its own: a blocked event loop loses nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from broker_wf.broker.broker import Broker
from broker_wf.broker.connection import FAILED
from broker_wf.broker.renewal import Renewal
from broker_wf.broker.server_check import lenience
from broker_wf.settings import Settings
from broker_wf.worker.active import Active, ActiveSet

log = logging.getLogger("broker_wf.worker")

_BATCH = 500


class LeaseKeeper(Protocol):
    """Renews the leases of a worker until closed. Its methods are for the worker's event loop."""

    def start(self) -> None:
        """Begin."""
        ...

    def begins(self, active: Active) -> None:
        """The execution of a delivery is about to begin: its task is made after this, in the same turn of the loop."""
        ...

    def stopping(self, active: Active) -> None:
        """A delivery is no longer ours; its code still runs."""
        ...

    def over(self, active: Active) -> None:
        """The code of a delivery has ended."""
        ...

    async def close(self) -> None:
        """End."""
        ...


class LeaseThread(threading.Thread):
    """Renews every lease each third of its length, and the places of steps that were stopped and still run."""

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        active: ActiveSet,
        on_lost: Callable[[Active], None],
        rests: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare; ``start()`` begins.

        Args:
            on_lost: called in the event loop of the caller for a delivery that is no longer ours.
            rests: asked, in the thread, whether it should renew nothing for now.
        """
        super().__init__(name="broker-wf-leases", daemon=True)
        self._lease_ms, self._active, self._on_lost, self._rests = settings.lease_ms, active, on_lost, rests
        self._renewal = Renewal(broker.url, broker.keys, broker.timeouts, lenience(settings))
        self._loop = asyncio.get_running_loop()
        self._over = threading.Event()

    def begins(self, active: Active) -> None:
        """Nothing to do: the thread looks into the set of what is active."""

    def stopping(self, active: Active) -> None:
        """As :meth:`begins`."""

    def over(self, active: Active) -> None:
        """As :meth:`begins`."""

    async def close(self) -> None:
        """End the thread; returns at once."""
        self._over.set()

    def run(self) -> None:
        """Renew until stopped."""
        pause_s = self._lease_ms / 3000
        while not self._over.wait(pause_s):
            pause_s = self._lease_ms / 3000
            if self._rests():
                self._renewal.close()
                continue
            try:
                self._renew_all()
            except FAILED as error:
                log.warning("leases could not be renewed: %s; trying again", error)
                self._renewal.close()
                pause_s = min(0.5, self._lease_ms / 3000)
        self._renewal.close()

    def _renew_all(self) -> None:
        executing = self._active.all()
        everything = [one for one in executing if one.stopped is None]
        for start in range(0, len(everything), _BATCH):
            batch = everything[start : start + _BATCH]
            for position in self._renewal.renew([one.key for one in batch], self._lease_ms):
                self._tell(batch[position])
        stopping = [(one.place, one.key) for one in executing if one.stopped is not None and one.place is not None]
        self._renewal.hold_places(stopping, self._lease_ms)

    def _tell(self, active: Active) -> None:
        try:
            self._loop.call_soon_threadsafe(self._on_lost, active)
        except RuntimeError:
            self._over.set()
