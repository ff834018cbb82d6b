"""The one module that knows redis-py: clients, time-outs, retries.

Commands of one event loop go through a :class:`Pipe`, which sends what one tick asked for in one round trip. Writes
use no retry of the client library: every script is idempotent and is repeated here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import redis
import redis.asyncio as aredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry

from broker_wf.broker.calls import TOGETHER, Call, LateCall, SharedCall, Values, late_ones_last, unsettled
from broker_wf.broker.clients import (
    Argument,
    NewBlockingConnection,
    NewConnection,
    RedisClient,
    SyncClient,
    drop_client,
)
from broker_wf.broker.direct import DirectClient, Faults
from broker_wf.broker.keys import Keys
from broker_wf.broker.refusals import password_refused, reply_word
from broker_wf.broker.script import Script, is_missing, is_there
from broker_wf.broker.seal import Seal
from broker_wf.broker.sentinel import AsyncMaster, SyncMaster
from broker_wf.broker.sentinel_urls import is_watched
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.tasks import begin_apart
from broker_wf.errors import BackpressureError, BrokerError, ServerRefusedError, ServerUnreachableError

log = logging.getLogger("broker_wf.connection")

LOST = (ConnectionError, TimeoutError, OSError)
FAILED = (RedisError, OSError)
"""Whatever a command may meet: a lost server, or one that refuses it for a while (a failover, too few replicas)."""
RefusedByServer = RedisError
"""What a server may answer instead of a reply."""
_LATER = ("LOADING", "READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF")
_LATER_CLASSES = (BusyLoadingError, ReadOnlyError, MasterDownError, ClusterDownError, TryAgainError)
NOBODY = (ConnectionRefusedError, FileNotFoundError, socket.gaierror)
FIRST_WAIT_MS, LONGEST_WAIT_MS = 50, 2000


class UnfitServerError(ConnectionError):
    """A new connection leads to a server that must not be used; ``fault`` says why."""

    def __init__(self, fault: ServerRefusedError) -> None:
        super().__init__(str(fault))  # pyright: ignore[reportUnknownMemberType]
        self.fault = fault


class ServerLoadingError(ConnectionError):
    """A new connection leads to a server that still reads its data."""

    def __init__(self) -> None:
        super().__init__("it still reads its data")  # pyright: ignore[reportUnknownMemberType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Milliseconds: for a reply, for connecting, and for the longest blocked read."""

    socket_ms: int
    connect_ms: int
    block_ms: int


def async_client(
    url: str,
    timeouts: Timeouts,
    *,
    blocked: bool = False,
    admit: Callable[[NewConnection], Awaitable[None]] | None = None,
) -> RedisClient:
    """A client that repeats nothing by itself; of one connection, past redis-py, where that is a plain one.

    Args:
        blocked: for blocked reads; they may take ``block_ms`` longer.
        admit: makes each new connection ready; may raise UnfitServerError.
    """
    wait_ms = timeouts.socket_ms + (timeouts.block_ms if blocked else 0)
    options: dict[str, Any] = _options(timeouts, wait_ms)
    options |= {"retry": AsyncRetry(NoBackoff(), 0), "max_connections": 4, "redis_connect_func": admit}
    if is_watched(url):
        return cast(RedisClient, AsyncMaster(aredis.Sentinel, url, options))
    client = cast(RedisClient, cast(Any, aredis.Redis).from_url(url, **options))
    if url.startswith("rediss"):
        return client
    return DirectClient(client, wait_ms / 1000, Faults(ConnectionError, TimeoutError))


def _options(timeouts: Timeouts, wait_ms: int) -> dict[str, Any]:
    waits = {"socket_timeout": wait_ms / 1000, "socket_connect_timeout": timeouts.connect_ms / 1000}
    return {**waits, "protocol": 2, "decode_responses": False, "health_check_interval": 0}


def sync_client(
    url: str, timeouts: Timeouts, admit: Callable[[NewBlockingConnection], None] | None = None
) -> SyncClient:
    """A blocking client, for a thread of its own.

    Args:
        admit: makes each new connection ready; may raise UnfitServerError.
    """
    options: dict[str, Any] = _options(timeouts, timeouts.socket_ms)
    options |= {"retry": Retry(NoBackoff(), 0)}
    if admit is not None:
        options["redis_connect_func"] = admit
    if is_watched(url):
        return cast(SyncClient, SyncMaster(redis.Sentinel, url, options))
    client: object = cast(Any, redis.Redis).from_url(url, **options)
    return cast(SyncClient, client)


def call_sync(client: SyncClient, keys: Keys, script: Script, *values: object) -> object:
    """Run a script from a thread.

    Raises:
        redis-py's ConnectionError or TimeoutError: the script may or may not have run.
    """
    call = script.command(keys.tag, values)
    try:
        raw = client.execute_command(*call)
    except ResponseError as error:
        if not is_missing(error):
            raise
        try:
            client.execute_command(*script.loading)
        except OutOfMemoryError:
            call = ("EVAL", script.whole, *call[2:])
        except ResponseError:
            pass  # somebody else has loaded it meanwhile, or the next call says why not
        raw = client.execute_command(*call)
    return script.reply(raw)


@dataclass(slots=True, kw_only=True)
class Pipe:
    """Commands of one event loop, coalesced: what is asked for while a round trip is under way goes with the next.

    Attributes:
        patience_s: how long a lost server is waited for; None: for ever.
        revive: called, in a thread, when the server was lost: starts the bundled one again.
        seal: is behind every round trip; a reply is none before the seal is kept.
        sealing: the pipe with a seal, for what has to be durable; closed with this one. None: nothing has to be.
    """

    url: str
    client: RedisClient
    keys: Keys
    patience_s: float | None
    revive: Callable[[], object] | None = None
    seal: Seal | None = None
    sealing: Pipe | None = None
    clock: Clock = field(default_factory=SystemClock)
    _waiting: list[Call] = field(default_factory=list[Call])
    _sender: asyncio.Task[None] | None = None
    _closed: bool = False
    connected: bool = True
    _told: str = ""
    _pausing: bool = False
    _unsealed: str = ""
    _lacking: dict[str, Script] = field(default_factory=dict[str, Script])
    _refused: dict[str, str] = field(default_factory=dict[str, str])
    _unloadable: set[str] = field(default_factory=set[str])
    _open: dict[tuple[object, ...], SharedCall] = field(default_factory=dict[tuple[object, ...], SharedCall])

    def call(self, script: Script, *values: object) -> Awaitable[object]:
        """Run a script; it is repeated until its reply has come.

        Raises (when awaited):
            ServerUnreachableError: no server for ``patience_s``.
            ServerRefusedError: the server wants another password.
            BackpressureError: the server is out of memory and this script is one it may refuse.
        """
        return self.call_again(script, values, values)

    def call_again(self, script: Script, values: tuple[object, ...], again: tuple[object, ...]) -> Awaitable[object]:
        """As :meth:`call`, with other arguments for the repetition."""
        first = script.command(self.keys.tag, values)
        return self._add(Call.of(first, first if again is values else script.command(self.keys.tag, again), script))

    def call_late(self, script: Script, values: Values, again: Values) -> Awaitable[object]:
        """As :meth:`call_again`, behind all that is asked for before it is sent; then the arguments are asked for."""
        command, tag = script.command, self.keys.tag
        return self._add(LateCall.by(lambda: command(tag, values()), lambda: command(tag, again()), script))

    def call_together(self, script: Script, head: tuple[object, ...], part: tuple[Argument, ...]) -> Awaitable[object]:
        """As :meth:`call`, of a script that does something for several: for all who ask before it is sent, 100 at most.

        ``head`` is what they have in common, ``part`` is of the script's last argument; the reply is that for the part.
        """
        key = script.name, *head
        shared = self._open.get(key)
        if shared is None or shared.sent or len(shared.parts) == TOGETHER:
            shared = self._open[key] = SharedCall.by(script.command(self.keys.tag, (*head, ())), script)
            self._add(shared)
        return shared.add(part)

    @property
    def firm(self) -> Pipe:
        """The pipe whose replies are as durable as was asked for: this one, if nothing was."""
        return self.sealing or self

    def command(self, *args: Argument) -> Awaitable[object]:
        """Run a command that may be repeated without harm."""
        return self._add(Call.of(args, args, None))

    async def close(self) -> None:
        """Send what still waits, then close the client."""
        if self.sealing is not None:
            await self.sealing.close()
        self._closed = True
        if self._sender is not None and not self._sender.done():
            if self.connected:
                await asyncio.wait([self._sender], timeout=2.0)
            self._sender.cancel()
            # A connection that it is just making would outlive the client.
            await asyncio.wait([self._sender])
        for call in self._waiting:
            call.reply.cancel()
        await drop_client(self.client)

    def _add(self, call: Call) -> Awaitable[object]:
        self._waiting.append(call)
        if self._sender is None or self._sender.done():
            self._begin_to_send()
        return call.reply

    def _begin_to_send(self) -> None:
        self._sender = begin_apart(self._send())
        self._sender.add_done_callback(self._has_sent)

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = late_ones_last(self._waiting), []
            self._open.clear()
            try:
                await self._deliver(batch)
            except asyncio.CancelledError:
                self._waiting = batch + self._waiting
                raise
            except Exception as error:
                # A fault of ours: who waits for a reply is to hear of it, and others to go on.
                log.exception("calls that could not be made")
                self._fail(batch, error)
            # Whoever was answered may ask for more: it goes with what has waited meanwhile.
            await self.clock.sleep_ms(0)

    def _has_sent(self, sender: asyncio.Task[None]) -> None:
        """An event loop that ends cancels all its tasks, this one too; others may still wait for their replies then."""
        if sender.cancelled() and not self._closed:
            self._waiting = [call for call in self._waiting if not call.reply.done()]
            if self._waiting:
                self._begin_to_send()

    async def _deliver(self, batch: list[Call]) -> None:
        loop = asyncio.get_running_loop()
        began, wait_ms = loop.time(), FIRST_WAIT_MS
        while batch:
            reason: Exception | None = None
            self._pausing = False
            try:
                batch = await self._round_trip(batch)
            except LOST as error:
                if wants_password(error):
                    self._fail(batch, password_refused(self.url, error))
                    return
                reason, self._pausing = error, True
                await self._noticed_loss(error)
            if batch and self._pausing:
                if self.patience_s is not None and loop.time() - began > self.patience_s:
                    late = ServerUnreachableError(self.url, str(reason or self._unsealed or "it takes no commands now"))
                    self._fail(batch, reason.fault if isinstance(reason, UnfitServerError) else late)
                    return
                await self.clock.sleep_ms(round(wait_ms * random.uniform(0.5, 1.0)))
                wait_ms = min(wait_ms * 2, LONGEST_WAIT_MS)

    async def _noticed_loss(self, error: Exception) -> None:
        if isinstance(error, UnfitServerError) and str(error) != self._told:
            self._told = str(error)
            log.error("%s It is given nothing until then.", error)
        elif self.connected:
            log.warning("lost the server: %s; trying again", error)
        self.connected = False
        if self.revive is not None:
            await asyncio.to_thread(self.revive)

    def _fail(self, batch: list[Call], error: Exception) -> None:
        for call in batch:
            if not call.reply.done():
                call.reply.set_exception(error)

    async def _round_trip(self, batch: list[Call]) -> list[Call]:
        """Send the batch once; what has to be sent again comes back."""
        pipeline = self.client.pipeline(transaction=False)
        lacking, self._lacking = list(self._lacking.values()), {}
        for script in lacking:
            pipeline.execute_command(*script.loading)
        for call in batch:
            pipeline.execute_command(*call.command())
            call.sent = True
        for command in self.seal.commands if self.seal else ():
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
        if not self.connected and not any(isinstance(reply, ReadOnlyError) for reply in replies):
            self.connected, self._told = True, ""
            log.warning("the server is back")
        self._note_loads(lacking, replies)
        replies = replies[len(lacking) :]
        if self.seal is not None:
            self._unsealed = self.seal.fault(replies[len(batch) :])
            if self._unsealed:
                self._pausing = True not in [self._helped(*one) for one in zip(batch, replies, strict=False)]
                return batch
            replies = replies[: len(batch)]
        return unsettled(batch, replies, self._settle)

    def _note_loads(self, scripts: list[Script], replies: list[object]) -> None:
        self._refused.clear()
        self._unloadable.clear()
        for script, reply in zip(scripts, replies, strict=False):
            if isinstance(reply, Exception) and _is_for_a_while(reply):
                self._pause(reply)
            elif isinstance(reply, OutOfMemoryError):
                self._unloadable.add(script.name)
            elif isinstance(reply, Exception) and not is_there(reply):
                self._refused[script.name] = str(reply)

    def _pause(self, reply: Exception) -> None:
        """The server refuses for a while."""
        self._pausing = True
        if isinstance(reply, ReadOnlyError) and self.connected:
            self.connected = False
            log.error("the server takes no writes: it has become a replica. Use the address of the master.")

    def _helped(self, call: Call, reply: object) -> bool:
        """Whether the server lacks the script; it gets it: as a function, or if too full for that with the call."""
        script = call.script
        if script is None or not is_missing(reply) or script.name in self._refused:
            return False
        if script.name in self._unloadable:
            call.args = call.again = ("EVAL", script.whole, *call.command()[2:])
        else:
            self._lacking[script.name] = script
        return True

    def _settle(self, call: Call, reply: object) -> bool:
        if call.reply.done():
            return True
        if not isinstance(reply, Exception):
            call.reply.set_result(call.script.reply(reply) if call.script else reply)
            return True
        if self._helped(call, reply):
            return False
        if _is_for_a_while(reply):
            self._pause(reply)
            return False
        if isinstance(reply, OutOfMemoryError) or reply_word(reply) == "OOM":
            call.reply.set_exception(BackpressureError("the server is out of memory; what was accepted goes on"))
        else:
            name = call.script.name if call.script else str(call.args[0])
            call.reply.set_exception(BrokerError(f"the server refused {name}: {self._refused.get(name, reply)}"))
        return True


def _is_for_a_while(error: Exception) -> bool:
    """Whether the server will take the same command later."""
    return isinstance(error, (*LOST, *_LATER_CLASSES)) or reply_word(error) in _LATER


def wants_password(error: Exception) -> bool:
    """Whether the server wants another password; redis-py wraps that in a ConnectionError where it connects."""
    return isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError)
