"""What is used of redis-py, so that the types of the rest do not hang on it."""

from __future__ import annotations

from typing import Protocol

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
