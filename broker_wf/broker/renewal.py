"""Leases renewed from a thread or a process of their own: blocking, with a connection of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from broker_wf.broker.clients import SyncClient
from broker_wf.broker.connection import Timeouts, call_sync, sync_client
from broker_wf.broker.keys import Keys
from broker_wf.broker.script import load
from broker_wf.broker.server_check import admit_blocking

LeaseKey = tuple[str, str, str]
"""Run, delivery, nonce."""
HeldPlace = tuple[str, str, str]
"""Lane, step, place."""


class Renewal:
    """A blocking connection that renews leases. For one thread.

    It looks at the server at each new connection: one that would be refused at the start is not asked, for what it says
    of a lease means nothing.
    """

    def __init__(self, url: str, keys: Keys, timeouts: Timeouts, lenient: Mapping[str, object]) -> None:
        """``lenient``: the settings that say what a server may be."""
        self._url, self._keys, self._timeouts, self._lenient = url, keys, timeouts, lenient
        self._client: SyncClient | None = None

    @classmethod
    def at(cls, url: str, namespace: str, timeouts: Mapping[str, int], lenient: Mapping[str, object]) -> Renewal:
        """From plain values, for another process."""
        return cls(url, Keys(namespace), Timeouts(**timeouts), lenient)

    def renew(self, leases: Sequence[LeaseKey], lease_ms: int) -> list[int]:
        """Renew leases.

        Returns:
            Positions, from 0, of those that are lost or whose run has ended.

        Raises:
            what ``connection.FAILED`` names: some may have been renewed.
        """
        raw = call_sync(self._connected(), self._keys, load("renew"), lease_ms, leases)
        return [position - 1 for position in cast("list[int]", raw)]

    def hold_places(self, holders: Sequence[tuple[HeldPlace, LeaseKey]], lease_ms: int) -> None:
        """Keep the places of deliveries that are no longer ours while their code still runs.

        Raises:
            what ``connection.FAILED`` names.
        """
        if holders:
            places = [[*place, *lease] for place, lease in holders]
            call_sync(self._connected(), self._keys, load("hold"), lease_ms, places)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> SyncClient:
        if self._client is None:
            admit = partial(admit_blocking, url=self._url, lenient=self._lenient)
            self._client = sync_client(self._url, self._timeouts, admit)
        return self._client
