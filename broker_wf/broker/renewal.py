"""Leases renewed from a thread: blocking, with a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from broker_wf.broker.connection import SyncClient, Timeouts, call_sync, sync_client
from broker_wf.broker.keys import Keys
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Lane


class Renewal:
    """A blocking connection that renews leases. For one thread."""

    def __init__(self, url: str, keys: Keys, timeouts: Timeouts) -> None:
        self._url, self._keys, self._timeouts = url, keys, timeouts
        self._client: SyncClient | None = None

    def renew(self, deliveries: Sequence[Delivery], lease_ms: int) -> list[int]:
        """Renew leases.

        Returns:
            Positions, from 0, of those that are lost or whose run has ended.

        Raises:
            what ``connection.FAILED`` names: some may have been renewed.
        """
        leases = [[one.run_id, one.id, one.fence] for one in deliveries]
        raw = call_sync(self._connected(), self._keys, load("renew"), lease_ms, leases)
        return [position - 1 for position in cast("list[int]", raw)]

    def hold_places(self, holders: Sequence[tuple[Lane, Delivery]], lease_ms: int) -> None:
        """Keep the places of deliveries that are no longer ours while their code still runs.

        Raises:
            what ``connection.FAILED`` names.
        """
        places = [[lane, d.step, str(d.place), d.run_id, d.id, d.fence] for lane, d in holders if d.place is not None]
        if places:
            call_sync(self._connected(), self._keys, load("hold"), lease_ms, places)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> SyncClient:
        if self._client is None:
            self._client = sync_client(self._url, self._timeouts)
        return self._client
