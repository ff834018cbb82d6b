"""What is used of redis-py, so that the types of the rest do not hang on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

log = logging.getLogger("broker_wf.connection")

_CANCELLED_AGAIN_AFTER_S = 0.2

Argument = bytes | str | int | float


class RedisClient(Protocol):
    """What is used of redis-py's asyncio client."""

    async def execute_command(self, *args: Argument) -> object:
        """Send one command and wait for its reply."""
        ...

    def pipeline(self, transaction: bool = ...) -> RedisPipeline:  # noqa: FBT001 - redis-py's signature
        """Collect commands for one round trip."""
        ...

    async def aclose(self) -> None:
        """Drop the connections."""
        ...


class NewConnection(Protocol):
    """What is used of a connection of redis-py that was just made."""

    async def on_connect(self) -> None:
        """Log in."""
        ...

    async def send_command(self, *args: Argument) -> None:
        """Send one command."""
        ...

    async def read_response(self) -> object:
        """Wait for its reply."""
        ...


class NewBlockingConnection(Protocol):
    """What is used of a blocking connection of redis-py that was just made."""

    def on_connect(self) -> None:
        """Log in."""
        ...

    def send_command(self, *args: Argument) -> None:
        """Send one command."""
        ...

    def read_response(self) -> object:
        """Wait for its reply."""
        ...


class RedisPipeline(Protocol):
    """What is used of redis-py's pipeline."""

    def execute_command(self, *args: Argument) -> object:
        """Add a command."""
        ...

    async def execute(self, raise_on_error: bool = ...) -> list[object]:  # noqa: FBT001 - redis-py's signature
        """Send all; give the replies in order, errors among them."""
        ...


class SyncClient(Protocol):
    """What is used of redis-py's blocking client."""

    def execute_command(self, *args: Argument) -> object:
        """Send one command and wait for its reply."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


async def drop_client(client: RedisClient) -> None:
    """Drop a client's connections: all of them, however often whoever waits for that is cancelled meanwhile.

    A task that reads for ever drops its client when the server is lost, and may be ended just then. The client would
    be known to nobody any more, and what it had not closed yet would stay open until the collector finds it.
    """
    dropping, cancelled = asyncio.ensure_future(client.aclose()), False
    while not dropping.done():
        try:
            await asyncio.wait([dropping])
        except asyncio.CancelledError:
            cancelled = True
    if not dropping.cancelled() and dropping.exception() is not None:
        log.debug("a connection was lost before it was closed: %s", dropping.exception())
    if cancelled:
        raise asyncio.CancelledError


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks that use a client, and wait until they have ended.

    More than once where need be: redis-py sends through ``asyncio.wait_for``, which before Python 3.12 swallows a
    cancellation that comes just as it ends.
    """
    ended, pending = set[asyncio.Task[None]](), set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_CANCELLED_AGAIN_AFTER_S)
        ended |= done
    for task in ended:
        if not task.cancelled():
            task.exception()
