"""Commands and replies of one connection, past the machinery of redis-py.

redis-py makes the connection, logs in and has it admitted; then hiredis packs and parses, and nothing else is between.
A single command costs 10 µs of CPU so, one of fifty 1 µs; in a pipeline of redis-py 80 and 11. What needs more than a
plain connection (TLS, Sentinel) stays with redis-py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from broker_wf.broker.clients import Argument, RedisClient, RedisPipeline

Command = tuple[Argument, ...]
_packed = cast("Callable[[Command], bytes]", cast(Any, hiredis).pack_command)

_MORE = object()
"""What the parser gives when it has no whole reply."""
_LOST = "the connection was lost"
_LONG_BYTES = 32 * 1024
"""From here on hiredis takes much longer to pack an argument than it takes to leave that where it is."""
_GRACE_S = 0.05


@dataclass(frozen=True, slots=True)
class Faults:
    """How redis-py calls what may befall a connection."""

    lost: Callable[[str], Exception]
    late: Callable[[str], Exception]


class DirectClient:
    """A client of one connection, for who asks one thing after the other."""

    def __init__(self, client: RedisClient, timeout_s: float, faults: Faults) -> None:
        """Prepare; the connection is made when it is needed, and anew when it was lost.

        Args:
            client: redis-py's; its options are those of the connection.
            timeout_s: how long nothing may be heard while a reply is waited for.
        """
        self._client, self._timeout_s, self._faults = client, timeout_s, faults
        self._link: Link | None = None
        self._turn, self._stays = asyncio.Lock(), False

    async def execute_command(self, *args: Argument) -> object:
        """Send one command and wait for its reply."""
        (reply,) = await self.round_trip([args])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def pipeline(self, transaction: bool = False) -> RedisPipeline:  # noqa: FBT001, FBT002 - redis-py's signature
        """Collect commands for one round trip, which is no transaction."""
        assert not transaction
        return _Batch(self)

    async def round_trip(self, commands: Sequence[Command]) -> list[object]:
        """Send all; give the replies in order, errors among them.

        Raises:
            redis-py's ConnectionError or TimeoutError, OSError: some may have been executed, or all.
        """
        async with self._turn:
            if self._link is None:
                self._link = await self._connected()
            if self._link is None:
                return await self._by_redis_py(commands)
            try:
                return await self._link.ask(commands)
            except BaseException:
                # What may still come would be taken for the replies to other commands.
                await self._unlink()
                raise

    async def aclose(self) -> None:
        """Drop the connection."""
        await self._unlink()
        await self._client.aclose()

    async def _by_redis_py(self, commands: Sequence[Command]) -> list[object]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)

    async def _connected(self) -> Link | None:
        """A new connection; None where redis-py keeps its connections to itself, as another version might."""
        if self._stays:
            return None
        connection = cast(Any, self._client).connection_pool.make_connection()
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._stays = not can_take(connection)
        if self._stays:
            await connection.disconnect()
            return None
        return Link(connection, self._timeout_s, self._faults)

    async def _unlink(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


class _Batch:
    """What goes with one round trip."""

    def __init__(self, client: DirectClient) -> None:
        self._client, self._commands = client, list[Command]()

    def execute_command(self, *args: Argument) -> object:
        """Add a command."""
        self._commands.append(args)
        return self

    async def execute(self, raise_on_error: bool = False) -> list[object]:  # noqa: FBT001, FBT002 - redis-py's
        """Send all; give the replies in order, errors among them."""
        assert not raise_on_error
        return await self._client.round_trip(self._commands)


def written(command: Command) -> Sequence[bytes]:
    """The command as the server reads it, in pieces; a long argument is one of them and not copied."""
    for argument in command:
        if type(argument) is bytes and len(argument) >= _LONG_BYTES:
            return _in_pieces(command)
    return (_packed(command),)


def _in_pieces(command: Command) -> list[bytes]:
    pieces = [b"*%d\r\n" % len(command)]
    for argument in command:
        value = argument if isinstance(argument, bytes) else str(argument).encode()
        pieces += (b"$%d\r\n" % len(value), value, b"\r\n")
    return pieces


def can_take(connection: object) -> bool:
    """Whether a connection of redis-py lets us have what :class:`Link` needs."""
    inside = getattr(connection, "_writer", None), getattr(connection, "_parser", None)
    return hasattr(inside[0], "transport") and hasattr(inside[1], "parse_error")


class Link(asyncio.Protocol):
    """A connection that redis-py has made, from now on in our hands."""

    def __init__(self, connection: Any, timeout_s: float, faults: Faults) -> None:  # noqa: ANN401 - it has no types
        self._connection, self._timeout_s, self._faults = connection, timeout_s, faults
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001 - redis-py gives it to nobody
        self._former = self._transport.get_protocol()
        self._transport.set_protocol(self)
        error_of = connection._parser.parse_error  # noqa: SLF001 - so that errors have the classes of redis-py
        self._reader: Any = hiredis.Reader(replyError=error_of, notEnoughData=_MORE)
        self._asked: asyncio.Future[list[object]] | None = None
        self._replies: list[object] = []
        self._count = self._unsent = 0
        self._heard = 0.0
        self._late = False
        self._timer: asyncio.TimerHandle | None = None
        self._lost = self._transport.is_closing()

    async def ask(self, commands: Sequence[Command]) -> list[object]:
        """Send commands and wait for all replies; one call at a time."""
        if self._lost:
            raise self._faults.lost(_LOST)
        asked = self._asked = self._loop.create_future()
        self._replies, self._count, self._heard = [], len(commands), self._loop.time()
        self._transport.writelines([piece for command in commands for piece in written(command)])
        self._unsent, self._late = self._transport.get_write_buffer_size(), False
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)
        return await asked

    async def close(self) -> None:
        """Drop it, with what is not sent yet."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """Replies, or parts of some."""
        self._heard = self._loop.time()
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self._fail(self._faults.lost(f"what it sent is no reply: {error}"))
            return
        if self._asked is not None and len(self._replies) >= self._count:
            asked, self._asked = self._asked, None
            if not asked.done():
                asked.set_result(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has hung up, or we have."""
        self._lost = True
        self._fail(self._faults.lost(str(exc) if exc else _LOST))
        self._former.connection_lost(exc)

    def _fail(self, error: Exception) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(error)
        self._asked = None

    def _look(self) -> None:
        """Whether there is still hope for a reply."""
        self._timer = None
        if self._asked is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._heard = self._loop.time()
        self._unsent = unsent
        left_s = self._heard + self._timeout_s - self._loop.time()
        if left_s <= 0 and self._late:
            self._fail(self._faults.late(f"no reply within {self._timeout_s:g} s"))
            return
        # The loop may have stood still, and the reply wait to be read.
        self._late = left_s <= 0
        self._timer = self._loop.call_later(max(left_s, _GRACE_S), self._look)
