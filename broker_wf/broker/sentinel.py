"""Clients that ask sentinels where the master is, at every new connection: after a failover they find the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from broker_wf.broker.sentinel_urls import watched


class _Order(list[object]):
    """The sentinels; the one that has answered is asked first next time.

    The client library swaps two places when it has waited for the answer. Of two connections that are made at once the
    second then puts a sentinel where it is already, and another one is asked by nobody and closed by nobody any more.
    """

    def __setitem__(self, place: object, sentinel: object) -> None:
        if place == 0:
            self.remove(sentinel)
            self.insert(0, sentinel)


class AsyncMaster:
    """A client of redis.asyncio for whichever server is the master."""

    def __init__(self, sentinel: object, url: str, options: Mapping[str, object]) -> None:
        self._client, self._sentinels = _clients(sentinel, url, options)

    async def execute_command(self, *args: object) -> object:
        """As the client library has it."""
        return await self._client.execute_command(*args)

    def pipeline(self, transaction: bool = True) -> Any:  # noqa: FBT001, FBT002, ANN401 - redis-py's signature
        """As the client library has it."""
        return self._client.pipeline(transaction=transaction)

    async def aclose(self) -> None:
        """Drop the connections, those to the sentinels too, which the client library leaves open."""
        clients = (self._client, *self._sentinels)
        await asyncio.gather(*(one.aclose() for one in clients), return_exceptions=True)


class SyncMaster:
    """The blocking client for it."""

    def __init__(self, sentinel: object, url: str, options: Mapping[str, object]) -> None:
        self._client, self._sentinels = _clients(sentinel, url, options)

    def execute_command(self, *args: object) -> object:
        """As the client library has it."""
        return self._client.execute_command(*args)

    def close(self) -> None:
        """Drop the connections."""
        for one in (self._client, *self._sentinels):
            one.close()


def _clients(sentinel: object, url: str, options: Mapping[str, object]) -> tuple[Any, list[Any]]:
    """A client for the master, and those for the sentinels."""
    found, wait = watched(url), options["socket_connect_timeout"]
    # Left to itself the library asks a sentinel that is gone again and again, for seconds, before it asks the next.
    own = {"socket_timeout": wait, "socket_connect_timeout": wait, "retry": options["retry"], **found.own}
    asked = cast(Any, sentinel)(found.sentinels, sentinel_kwargs=own)
    asked.sentinels = _Order(asked.sentinels)
    return asked.master_for(found.service, **options, **found.server), asked.sentinels
