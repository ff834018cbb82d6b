"""The one blocked read of a worker: its bells, and messages to its inbox."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.broker import Broker, blocked_client
from broker_wf.broker.clients import RedisClient, drop_client
from broker_wf.broker.connection import FAILED
from broker_wf.broker.packing import message_of
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.ids import Lane, WorkerId
from broker_wf.errors import BrokerError
from broker_wf.worker.claimer import Claimer

log = logging.getLogger("broker_wf.worker")

Message = Mapping[str, str]

_TURNS = 2
"""Of the event loop, after which the claim that a bell has asked for is sent, or the commit of what is quick."""


@dataclass(slots=True, kw_only=True)
class Mailbox:
    """Waits at the bells while there is a free place, and for messages always.

    Attributes:
        claimer: is told of bells, and that a wait has timed out; its claim goes along with a read.
        on_message: a grant of the lock, or that a run has ended.
    """

    broker: Broker
    worker: WorkerId
    claimer: Claimer
    on_message: Callable[[Message], None]
    clock: Clock = field(default_factory=SystemClock)
    _bells: dict[str, Lane] = field(default_factory=dict[str, Lane])
    _client: RedisClient | None = None
    _deaf: bool = False
    _poking: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Read until cancelled."""
        wait_ms = 50
        while True:
            try:
                await self._read()
                wait_ms = 50
            except (*FAILED, BrokerError) as error:
                log.debug("the blocked read was lost: %s", error)
                await self.close()
                await self.clock.sleep_ms(round(wait_ms * random.uniform(0.5, 1.0)))
                wait_ms = min(wait_ms * 2, 2000)
                self.claimer.hear(None)

    def hear(self, lanes: Iterable[Lane]) -> None:
        """Wait at the bells of these lanes from the next read on."""
        self._bells = {self.broker.keys.of("bell", lane): lane for lane in lanes}

    async def ring(self, lanes: Iterable[Lane]) -> None:
        """Ring for others what was heard here."""
        try:
            await asyncio.gather(
                *(self.broker.pipe.command("RPUSH", self.broker.keys.of("bell", one), b"1") for one in lanes)
            )
        except BrokerError as error:
            log.debug("a bell was not rung for others: %s", error)

    def listen(self) -> None:
        """Hear the bells again, now that a place is free: a read that began when none was does not hear them."""
        if self._deaf:
            self._deaf = False
            self._poking = asyncio.ensure_future(self.poke())

    async def poke(self) -> None:
        """End the read under way, because it is to hear other bells."""
        key = self.broker.keys.of("inbox", self.worker)
        try:
            await self.broker.pipe.command("RPUSH", key, b"\x80")
        except BrokerError as error:
            log.debug("the blocked read goes on as it is: %s", error)

    async def close(self) -> None:
        """Drop the connection; the next read makes a new one."""
        if self._client is not None:
            client, self._client = self._client, None
            await drop_client(client)

    async def _read(self) -> None:
        if self._client is None:
            self._client = blocked_client(self.broker)
        inbox = self.broker.keys.of("inbox", self.worker)
        self._deaf = self.claimer.is_full
        bells = () if self._deaf else self._bells
        batch = self._client.pipeline(transaction=False)
        batch.execute_command("BLPOP", inbox, *bells, self.broker.timeouts.block_ms / 1000)
        # Done by the server when the read has ended, and answered with it.
        claim = self.claimer.along()
        if claim is not None:
            batch.execute_command(*claim)
        raw, *claimed = await batch.execute(raise_on_error=False)
        key, value = (b"", b"") if raw is None or isinstance(raw, Exception) else cast("tuple[bytes, bytes]", raw)
        lane = self._bells.get(key.decode())
        has_claimed = bool(claimed) and self.claimer.came(claimed[0], lane)
        if isinstance(raw, Exception):
            raise raw
        if key.decode() == inbox:
            self._take(value)
        if not has_claimed and (claimed or key.decode() != inbox):
            self.claimer.hear(lane)
        if key:
            # What is quick is committed before the next read, so that a claim can go along with that again.
            await self.claimer.rest()
            for _ in range(_TURNS):
                await self.clock.sleep_ms(0)

    def _take(self, raw: bytes) -> None:
        message = message_of(raw)
        if message:
            self.on_message({name: value.decode("utf-8", "replace") for name, value in message.items()})
